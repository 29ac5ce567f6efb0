import Glibc
import Synchronization

/// Runs `body` on `count` new threads at once and waits for all of them.
///
/// - Returns: what each returned, in no particular order; fewer when a thread could not be made.
package func onOtherThreads<Result: Sendable>(
    _ count: Int, _ body: @escaping @Sendable () -> Result
) -> [Result] {
    let results = Collected<Result>()
    let job = ThreadJob {
        let result = body()
        results.values.withLock { $0.append(result) }
    }
    var threads: [pthread_t] = []
    for _ in 0..<count {
        var thread = pthread_t()
        let context = Unmanaged.passRetained(job)
        let code = pthread_create(
            &thread, nil,
            { context in
                guard let context else { return nil }
                Unmanaged<ThreadJob>.fromOpaque(context).takeRetainedValue().run()
                return nil
            }, context.toOpaque())
        if code == 0 { threads.append(thread) } else { context.release() }
    }
    for thread in threads { pthread_join(thread, nil) }
    return results.values.withLock { $0 }
}

/// `body` of every index below `count`, in order, computed on all processors (at most eight threads).
///
/// For work at load time that is bound by memory: beyond eight threads nothing is gained.
package func concurrentMap<Result: Sendable>(
    _ count: Int, _ body: @escaping @Sendable (Int) -> Result
) -> [Result] {
    let next = Counter()
    let work: @Sendable () -> [(Int, Result)] = {
        var done: [(Int, Result)] = []
        while true {
            let index = next.value.wrappingAdd(1, ordering: .relaxed).oldValue
            guard index < count else { return done }
            done.append((index, body(index)))
        }
    }
    let processors = max(1, min(8, sysconf(Int32(_SC_NPROCESSORS_ONLN)), count))
    var results = onOtherThreads(processors, work).flatMap { $0 }
    // What is left when no thread could be made.
    results += work()
    return results.sorted { $0.0 < $1.0 }.map(\.1)
}

private final class Counter: Sendable {
    let value = Atomic<Int>(0)
}

private final class Collected<Element: Sendable>: Sendable {
    let values = Mutex<[Element]>([])
}

private final class ThreadJob: Sendable {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
}
