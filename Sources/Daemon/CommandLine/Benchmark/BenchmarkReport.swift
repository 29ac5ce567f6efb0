import Encoders
import IPC
import JSON
import System

/// What `guidanced bench` measured.
struct BenchmarkReport {
    private struct Row {
        let work: BenchmarkWork
        let batch: Int
        /// Seconds of every round, ascending.
        let seconds: [Double]
        /// Operations a second of the products, at the median; `nil` for work without any.
        let operationsPerSecond: Double?
        /// The other's seconds by ours, median over rounds.
        let ratio: Double?
        /// Seconds by stage, longest first, a round.
        let stages: [(stage: Stage, seconds: Double)]

        var median: Double { seconds[seconds.count / 2] }
        func percentile(_ share: Double) -> Double {
            seconds[min(Int(share * Double(seconds.count)), seconds.count - 1)]
        }
    }

    private let rows: [Row]
    private let peak: Double
    /// The same in the text tower's precision.
    private let textPeak: Double
    private let threads: Int
    private let packedBytes: Int
    private let activationBytes: Int
    private let residentBytes: Int

    /// Measures.
    ///
    /// - Throws: `WireFault` for work that the model cannot do.
    init(
        bench: BenchmarkBench, other: BenchmarkBench?, works: [BenchmarkWork], batches: [Int],
        rounds: Int, threads: Int, precision: Precision, isProfiled: Bool
    ) throws(WireFault) {
        peak = MachinePeak.operationsPerSecond(precision, threads: threads)
        textPeak =
            precision.ofText == precision
            ? peak : MachinePeak.operationsPerSecond(precision.ofText, threads: threads)
        var rows: [Row] = []
        for work in works {
            for batch in batches {
                _ = try bench.run(work, batch: batch)
                _ = try other?.run(work, batch: batch)
                _ = bench.takeProfile()
                var seconds: [Double] = []
                var ratios: [Double] = []
                for _ in 0..<rounds {
                    let own = try bench.run(work, batch: batch)
                    seconds.append(own)
                    if let other { ratios.append(try other.run(work, batch: batch) / own) }
                }
                let stages = bench.takeProfile().map {
                    (stage: $0.key, seconds: Double($0.value) / 1e9 / Double(rounds))
                }
                seconds.sort()
                ratios.sort()
                let operations = Double(bench.operations(work) * batch)
                rows.append(
                    Row(
                        work: work, batch: batch, seconds: seconds,
                        operationsPerSecond: operations > 0
                            ? operations / seconds[seconds.count / 2] : nil,
                        ratio: ratios.isEmpty ? nil : ratios[ratios.count / 2],
                        stages: isProfiled ? stages.sorted { $0.seconds > $1.seconds } : []))
            }
        }
        self.rows = rows
        self.threads = threads
        packedBytes = bench.packedBytes
        activationBytes = bench.activationBytes
        residentBytes = ProcessMemory.resident
    }

    private func peak(of work: BenchmarkWork) -> Double {
        switch work {
        case .text, .text77: textPeak
        case .image, .gradient, .preprocess: peak
        }
    }

    /// What the registers allow on all threads.
    static func peak(threads: Int) -> JSONObject {
        var object = JSONObject()
        for precision in Precision.allCases {
            object["\(precision.rawValue)_gflops"] = .number(
                MachinePeak.operationsPerSecond(precision, threads: threads) / 1e9)
        }
        object["threads"] = .integer(threads)
        object["instructions"] = .string(InstructionSet.current.name)
        return object
    }

    func text(against: String?) -> String {
        var columns = [
            Table.Column("work"), Table.Column("batch", .right), Table.Column("a second", .right),
            Table.Column("median ms", .right), Table.Column("90 % within ms", .right),
            Table.Column("worst ms", .right), Table.Column("GFLOP/s", .right),
            Table.Column("of the peak", .right),
        ]
        if let against { columns.append(Table.Column("× \(against)", .right)) }
        var table = Table(columns)
        for row in rows {
            var cells = [
                row.work.rawValue, "\(row.batch)",
                Numbers.fixed(Double(row.batch) / row.median, 2),
                Numbers.fixed(row.median * 1e3, 2), Numbers.fixed(row.percentile(0.9) * 1e3, 2),
                Numbers.fixed(row.percentile(1) * 1e3, 2),
                row.operationsPerSecond.map { Numbers.fixed($0 / 1e9, 0) } ?? "–",
                row.operationsPerSecond.map {
                    Numbers.fixed(100 * $0 / peak(of: row.work), 0) + " %"
                } ?? "–",
            ]
            if against != nil { cells.append(row.ratio.map { Numbers.fixed($0, 2) } ?? "–") }
            table.append(cells)
        }
        var text = table.text()
        for row in rows where !row.stages.isEmpty {
            text += "\n\(row.work.rawValue), batch \(row.batch): milliseconds by stage\n"
            let total = row.stages.reduce(0) { $0 + $1.seconds }
            text += VerificationReport.facts(
                row.stages.map { stage, seconds in
                    (
                        stage.rawValue,
                        Numbers.fixed(seconds * 1e3, 2) + "  ("
                            + Numbers.fixed(100 * seconds / total, 1) + " %)"
                    )
                })
        }
        text += "\n\(threads) threads, \(InstructionSet.current.name); the peak is "
        text += "\(Numbers.fixed(peak / 1e9, 0)) GFLOP/s"
        if textPeak != peak { text += ", of text \(Numbers.fixed(textPeak / 1e9, 0))" }
        text += "\n"
        text += "weights \(packedBytes >> 20) MiB, workspaces \(activationBytes >> 20) MiB, "
        text += "resident \(residentBytes >> 20) MiB\n"
        return text
    }

    func json(against: String?) -> JSONValue {
        [
            "threads": .integer(threads), "instructions": .string(InstructionSet.current.name),
            "peak_gflops": .number(peak / 1e9), "packed_bytes": .integer(packedBytes),
            "activation_bytes": .integer(activationBytes),
            "resident_bytes": .integer(residentBytes),
            "rows": .array(
                rows.map { row in
                    var object: JSONObject = [
                        "work": .string(row.work.rawValue), "batch": .integer(row.batch),
                        "per_second": .number(Double(row.batch) / row.median),
                        "seconds": .array(row.seconds.map { .number($0) }),
                    ]
                    if let rate = row.operationsPerSecond {
                        object["gflops"] = .number(rate / 1e9)
                    }
                    if let against, let ratio = row.ratio {
                        object["against"] = .string(against)
                        object["ratio"] = .number(ratio)
                    }
                    if !row.stages.isEmpty {
                        var stages = JSONObject()
                        for (stage, seconds) in row.stages {
                            stages[stage.rawValue] = .number(seconds)
                        }
                        object["stages"] = .object(stages)
                    }
                    return .object(object)
                }),
        ]
    }
}
