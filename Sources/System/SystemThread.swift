import Glibc

/// A named operating-system thread; work that blocks or computes stays off Swift's pool.
package final class SystemThread: @unchecked Sendable {
    // Invariant: `handle` is written once, in `init`, before anybody else can see the object.
    private var handle = pthread_t()

    /// Starts a thread that runs `body` once.
    ///
    /// - Parameters:
    ///   - name: at most 15 bytes; longer names are cut, as the kernel demands.
    package init(name: String, body: @escaping @Sendable () -> Void) {
        final class Start {
            let name: String
            let body: @Sendable () -> Void
            init(name: String, body: @escaping @Sendable () -> Void) {
                self.name = name
                self.body = body
            }
        }
        let start = Unmanaged.passRetained(Start(name: String(name.prefix(15)), body: body))
        let attributes = UnsafeMutablePointer<pthread_attr_t>.allocate(capacity: 1)
        defer { attributes.deallocate() }
        pthread_attr_init(attributes)
        // Deep call chains of the JSON parser and the BLAS library fit with room to spare.
        pthread_attr_setstacksize(attributes, 8 << 20)
        let status = pthread_create(
            &handle, attributes,
            { argument in
                guard let argument else { return nil }
                let start = Unmanaged<Start>.fromOpaque(argument).takeRetainedValue()
                nameThisThread(start.name)
                start.body()
                return nil
            }, start.toOpaque())
        pthread_attr_destroy(attributes)
        precondition(status == 0, "the system refused a thread at start-up: error \(status)")
    }

    /// Waits until the thread has ended. To be called at most once.
    package func join() {
        pthread_join(handle, nil)
    }
}

/// Sets the name that `top` and debuggers show; best effort. (glibc's own call is a GNU extension
/// that Swift's Glibc module does not export.)
private func nameThisThread(_ name: String) {
    let file = open("/proc/thread-self/comm", O_WRONLY)
    guard file >= 0 else { return }
    var text = name
    _ = text.withUTF8 { write(file, $0.baseAddress, $0.count) }
    close(file)
}
