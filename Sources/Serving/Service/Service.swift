package import Encoders
import Glibc
import IPC
import JSON
package import Logging
import Synchronization
import System

/// The running daemon: models, compute threads, sockets, signals.
package final class Service: Sendable {
    private let engine: Engine
    private let server: Server
    private let log: Logger
    private let start = monotonicNow()
    private let isStopping = Atomic(false)

    /// Finds out what the models are and binds the endpoints; towers are made, and the sockets are
    /// served, from `run()` on.
    ///
    /// - Throws: `EncoderError` for a model that cannot be loaded, `TransportError` for an endpoint
    ///   that cannot be bound.
    package init(_ configuration: ServeConfiguration, log: Logger) throws {
        self.log = log
        Descriptors.prepare()
        let registry = try ModelRegistry(
            identifying: configuration.models, defaultName: configuration.defaultModel)
        for model in registry.slots.map(\.model) {
            log.info("model \(model.name): \(model.summary)")
            for reason in model.missingTokenizers {
                log.warning("model \(model.name): no tokenizer, so no texts; \(reason)")
            }
            if !model.precision.isNative {
                let precision = model.precision.rawValue
                log.warning(
                    "model \(model.name): no instructions for \(precision) here; it is slow")
            }
        }
        for model in registry.slots.map(\.model) {
            guard let image = model.imageTower?.model else { continue }
            try GradientMemory.check(
                image, name: model.name, threads: configuration.threads,
                budget: configuration.activationBudget)
        }
        // The handler needs the engine and the engine's facts need the server: the box closes
        // the circle before the first request can come.
        let box = EngineBox()
        let replies = ReplyRoute()
        let background = SerialThread(name: "background")
        let wire = ServerConfiguration(
            endpoints: configuration.endpoints, controlEndpoints: configuration.controlEndpoints)
        let server = try Server(
            configuration: wire,
            log: { level, message in log.log(level: level.loggerLevel, "\(message)") },
            abandoned: { client, id in box.engine?.abandon(client, id: id) },
            handler: { request in
                box.engine?.handle(request) { reply in replies.send(reply, to: request.client) }
            }, background: { background.run($0) })
        replies.server = server
        let adapters = try Adapters(configuration.adapters)
        for note in adapters.notes { log.warning("\(note)") }
        engine = Engine(
            registry: registry, threadCount: configuration.threads,
            schedulerLimits: configuration.limits,
            activationBudget: configuration.activationBudget,
            conditioningCacheBytes: configuration.conditioningCacheBytes,
            variantBytes: configuration.encoderVariantBytes,
            adapters: adapters,
            transport: Engine.TransportFacts(
                limits: { wire.limits.description },
                counters: { [weak server] in server?.counters.description ?? JSONObject() }))
        box.engine = engine
        self.server = server
    }

    /// Serves until a signal ends it: SIGTERM or SIGINT finish accepted work first, a second
    /// SIGINT ends the process at once with status 130.
    ///
    /// Each tower serves as soon as it is made. When one cannot be made, accepted work is finished.
    ///
    /// - Throws: `EncoderError` for the tower that could not be made.
    package func run() throws(EncoderError) {
        // Not before: while nothing is bound there is nothing to finish, and a signal may simply end it.
        Signals.install()
        let server = self.server
        let engine = self.engine
        let log = self.log
        let sockets = SystemThread(name: "sockets") { server.run() }
        for endpoint in server.boundEndpoints { log.info("listening on \(endpoint)") }

        let loading = Monitor(Loading.running)
        let loader = SystemThread(name: "loader") {
            let end = self.load()
            loading.update { $0 = end }
            if case .failed = end { self.stop() }
        }
        let isEnding = Monitor(false)
        let housekeeping = SystemThread(name: "housekeeping") {
            var nextCanary: UInt64?
            var descriptors = DescriptorWatch(Descriptors.state)
            while true {
                let now = monotonicNow()
                engine.scheduler.expireDeadlines(now: now)
                self.endStandstill(now: now)
                let state = Descriptors.state
                if let event = descriptors.note(state, now: now) { self.report(event, state) }
                if let due = nextCanary, now >= due {
                    // One that hangs is not repeated: readiness ends by its age.
                    if !engine.canary.isRunning, !self.isStopping.load(ordering: .acquiring) {
                        let wasReady = engine.canary.state(now: now).isReady
                        engine.canary.begin(on: engine) { self.report(wasReady: wasReady) }
                    }
                    nextCanary = now + Canary.interval
                } else if nextCanary == nil, loading.read({ $0.isComplete }) {
                    self.report(wasReady: false)
                    nextCanary = monotonicNow() + Canary.interval
                }
                let end = isEnding.wait(until: monotonicNow() + 50_000_000) { $0 ? true : nil }
                if end == true { return }
            }
        }
        _ = SystemThread(name: "signals") {
            let first = Signals.next()
            log.info("signal \(first): finishing accepted work")
            self.stop()
            while Signals.next() != SIGINT {}
            log.warning("second SIGINT: stopping at once")
            _exit(130)
        }
        sockets.join()
        isEnding.update { $0 = true }
        housekeeping.join()
        guard engine.stop(patience: Service.patience) else {
            log.error("compute threads hang: stopping without them")
            _exit(Service.hungStatus)
        }
        log.info("stopped")
        switch loading.read({ $0 }) {
        case .running:
            // A tower that is being made has nothing to save, and may take its time.
            _exit(0)
        case .failed(let error): throw error
        case .complete, .stopped: loader.join()
        }
    }

    /// The process's status when compute threads hang: an internal fault (`EX_SOFTWARE`).
    private static let hungStatus: Int32 = 70

    /// How far the models are.
    private enum Loading {
        case running
        case complete
        /// By a signal.
        case stopped
        case failed(EncoderError)

        var isComplete: Bool { if case .complete = self { true } else { false } }
    }

    /// Makes all towers.
    private func load() -> Loading {
        do throws(EncoderError) {
            try engine.load { model, kind in
                let side = "\(kind == .text ? "text" : "images") in \(model.precision.rawValue)"
                let milliseconds = (monotonicNow() - start) / 1_000_000
                log.info("model \(model.name): serves \(side) after \(milliseconds) ms")
            }
        } catch {
            return .failed(error)
        }
        guard engine.registry.isLoaded else { return .stopped }
        log.info("loaded in \((monotonicNow() - start) / 1_000_000) ms")
        return .complete
    }

    /// Refuses new work, and work for towers that are not there; finishes the rest.
    private func stop() {
        isStopping.store(true, ordering: .releasing)
        server.stop(drain: true)
        engine.stopLoading()
    }

    /// How long a daemon that is stopping waits for threads of which none gets anything done; longer
    /// than any single piece of work takes.
    private static let patience: UInt64 = 120_000_000_000

    /// Gives up accepted work that will never be finished, once the daemon is to stop.
    private func endStandstill(now: UInt64) {
        guard isStopping.load(ordering: .acquiring),
            engine.scheduler.isStalled(for: Service.patience, now: now)
        else { return }
        server.stop(drain: false)
    }

    private func report(_ event: DescriptorWatch.Event, _ state: Descriptors.State) {
        switch event {
        case .refused(let count):
            log.warning(
                """
                few descriptors are left of \(state.limit): \(count) connections refused \
                (\(state.refusedConnections) so far)
                """)
        case .acceptsAgain: log.info("connections are accepted again")
        }
    }

    private func report(wasReady: Bool) {
        let state = engine.canary.state(now: monotonicNow())
        if state.isReady, !wasReady { log.info("ready") }
        if let fault = state.fault { log.error("not ready: \(fault)") }
    }
}

/// Holds the engine once it exists.
private final class EngineBox: Sendable {
    private let storage = Mutex<Engine?>(nil)
    var engine: Engine? {
        get { storage.withLock { $0 } }
        set { storage.withLock { $0 = newValue } }
    }
}

/// Hands replies to the server once it exists, without keeping it alive.
private final class ReplyRoute: @unchecked Sendable {
    // Invariant: `server` is set before the server runs, so before any request can be answered.
    weak var server: Server?

    func send(_ reply: Reply, to client: ClientAddress) {
        server?.reply(reply, to: client)
    }
}

extension LogLevel {
    fileprivate var loggerLevel: Logger.Level {
        switch self {
        case .debug: .debug
        case .info: .info
        case .warning: .warning
        case .error: .error
        }
    }
}

extension Limits {
    fileprivate var description: JSONObject {
        [
            "header_bytes": .integer(headerBytes), "id_bytes": .integer(idBytes),
            "inputs": .integer(inputs), "dimensions": .integer(dimensions),
            "request_bytes": .integer(requestBytes),
            "in_flight_per_client": .integer(inFlightPerClient), "in_flight": .integer(inFlight),
            "in_flight_bytes": .integer(inFlightBytes),
        ]
    }
}

extension ServerCounters {
    fileprivate var description: JSONObject {
        [
            "received": .integer(received), "dispatched": .integer(dispatched),
            "refused": .integer(refused), "joined": .integer(joined), "sent": .integer(sent),
            "unmatched_replies": .integer(unmatchedReplies),
            "unreachable_replies": .integer(unreachableReplies),
            "overflowed_replies": .integer(overflowedReplies), "in_flight": .integer(inFlight),
            "lent_bytes": .integer(lentBytes), "waiting_bytes": .integer(waitingBytes),
        ]
    }
}
