import Glibc
import Synchronization

/// Runs `body` on `count` new threads at once and waits for all of them.
///
/// - Returns: what each returned, in no particular order; fewer when a thread could not be made.
func onOtherThreads<Result: Sendable>(
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
        let code = pthread_create(&thread, nil, { context in
            guard let context else { return nil }
            Unmanaged<ThreadJob>.fromOpaque(context).takeRetainedValue().run()
            return nil
        }, context.toOpaque())
        if code == 0 { threads.append(thread) } else { context.release() }
    }
    for thread in threads { pthread_join(thread, nil) }
    return results.values.withLock { $0 }
}

private final class Collected<Element: Sendable>: Sendable {
    let values = Mutex<[Element]>([])
}

private final class ThreadJob: Sendable {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
}
