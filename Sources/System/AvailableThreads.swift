import Glibc

/// How many threads are worth running at once: the physical cores among the processors that this
/// process is allowed to use (two threads of one core share its multipliers), less when a container's
/// quota gives it less time than that.
package enum AvailableThreads {
    /// At least 1.
    package static var current: Int {
        let quota = ControlGroup.paths(from: readSmallFile("/proc/self/cgroup") ?? "")
            .compactMap { readSmallFile("/sys/fs/cgroup\($0)/cpu.max") }
            .compactMap(ControlGroup.processors(quota:))
            .min()
        let allowed = readSmallFile("/proc/self/status").flatMap(processors(status:))
        let count = allowed.map { cores(of: $0, siblings: siblings) }
        return max(min(count ?? sysconf(Int32(_SC_NPROCESSORS_ONLN)), quota ?? .max), 1)
    }

    /// The processors of one processor's core, as the kernel writes them; `nil` where it does not.
    private static func siblings(_ processor: Int) -> String? {
        readSmallFile("/sys/devices/system/cpu/cpu\(processor)/topology/thread_siblings_list")
    }

    /// Physical cores that some processors belong to.
    ///
    /// - Parameter siblings: what names a processor's core, the same for all processors of it; a
    ///   processor without one counts as a core.
    package static func cores(of processors: [Int], siblings: (Int) -> String?) -> Int {
        var known: Set<String> = []
        var alone = 0
        for processor in processors {
            if let name = siblings(processor) { known.insert(name) } else { alone += 1 }
        }
        return known.count + alone
    }

    /// From the text of `/proc/self/status`: the processors in this process's affinity mask, in
    /// order; `nil` when it does not say.
    package static func processors(status text: String) -> [Int]? {
        let name = "Cpus_allowed:"
        guard let line = text.split(separator: "\n").first(where: { $0.hasPrefix(name) }) else {
            return nil
        }
        // Groups of 32 bits, the highest first.
        let digits = line.dropFirst(name.count).filter { $0 != "," && $0 != "\t" && $0 != " " }
        var processors: [Int] = []
        for (place, digit) in digits.reversed().enumerated() {
            guard let value = digit.hexDigitValue else { return nil }
            for bit in 0..<4 where value & (1 << bit) != 0 { processors.append(4 * place + bit) }
        }
        return digits.isEmpty ? nil : processors
    }

    /// The first 16 KiB of a file of the kernel's; `nil` where it cannot be read.
    private static func readSmallFile(_ path: String) -> String? {
        guard let file = fopen(path, "r") else { return nil }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 16_384)
        let count = fread(&bytes, 1, bytes.count, file)
        return String(decoding: bytes[..<count], as: UTF8.self)
    }
}

/// Linux control groups, version 2 (the kernel's `Documentation/admin-guide/cgroup-v2.rst`).
package enum ControlGroup {
    /// From the text of `/proc/self/cgroup`: this process's group and all above it; a quota of any
    /// of them binds.
    package static func paths(from text: String) -> [String] {
        for line in text.split(separator: "\n") where line.hasPrefix("0::/") {
            var path = String(line.dropFirst(3))
            var paths: [String] = []
            while path.count > 1 {
                paths.append(path)
                guard let slash = path.lastIndex(of: "/") else { break }
                path = String(path[..<slash])
            }
            return paths + [""]
        }
        return []
    }

    /// From the text of `cpu.max`, "QUOTA PERIOD" in microseconds: the processors that it pays
    /// for, rounded up; `nil` when it sets no limit.
    package static func processors(quota text: String) -> Int? {
        let fields = text.split { $0 == " " || $0 == "\n" }
        guard fields.count == 2, let quota = Int(fields[0]), let period = Int(fields[1]),
            quota > 0, period > 0
        else { return nil }
        return max((quota - 1) / period + 1, 1)
    }
}
