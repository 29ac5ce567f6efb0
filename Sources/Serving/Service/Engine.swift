package import Encoders
package import IPC
package import JSON
import System

/// Everything between a request and its reply, without sockets: the daemon and the command line's
/// in-process mode both work through it.
package final class Engine: Sendable {
    package let registry: ModelRegistry
    package let scheduler: Scheduler
    package let handles: PromptHandles
    /// Finished prompts of `condition`.
    package let conditioningCache: ConditioningCache
    package let adapters: Adapters
    package let variants: EncoderVariants
    package let limits: OperationLimits
    package let started: UInt64
    package let canary: Canary
    /// What `hello` reports of the wire's own limits, and `status` of its counters.
    package let transport: TransportFacts

    /// What only the transport knows; the in-process mode has none.
    package struct TransportFacts: Sendable {
        package var limits: @Sendable () -> JSONObject = { JSONObject() }
        package var counters: @Sendable () -> JSONObject = { JSONObject() }

        package init(
            limits: @escaping @Sendable () -> JSONObject = { JSONObject() },
            counters: @escaping @Sendable () -> JSONObject = { JSONObject() }
        ) {
            self.limits = limits
            self.counters = counters
        }
    }

    /// Room for four hundred prompts of Stable Diffusion XL.
    package static let defaultConditioningCacheBytes = 256 << 20

    /// Room for one pair of Stable Diffusion XL's encoders with a LoRA.
    package static let defaultVariantBytes = 4 << 30

    package init(
        registry: ModelRegistry, threadCount: Int,
        schedulerLimits: Scheduler.Limits = Scheduler.Limits(),
        activationBudget: Int = Engine.defaultActivationBudget,
        limits: OperationLimits = OperationLimits(), handles: PromptHandles = PromptHandles(),
        conditioningCacheBytes: Int = Engine.defaultConditioningCacheBytes,
        variantBytes: Int = Engine.defaultVariantBytes, adapters: Adapters = Adapters(),
        transport: TransportFacts = TransportFacts()
    ) {
        self.registry = registry
        self.limits = limits
        self.handles = handles
        conditioningCache = ConditioningCache(limit: conditioningCacheBytes)
        variants = EncoderVariants(limit: variantBytes)
        self.adapters = adapters
        self.transport = transport
        scheduler = Scheduler(
            threadCount: threadCount, limits: schedulerLimits, activationBudget: activationBudget)
        started = monotonicNow()
        canary = Canary()
    }

    /// Answers a request exactly once, at once or from a compute thread.
    ///
    /// Never blocks: it may be called on the thread that owns the sockets.
    package func handle(_ request: Request, reply: @escaping @Sendable (Reply) -> Void) {
        do throws(WireFault) {
            if let outcome = try immediateOutcome(request) {
                reply(Reply(request, outcome))
                return
            }
            guard let operation = OperationTable.byName[request.op] else {
                throw WireFault(
                    .unknownOp,
                    "expected one of \(Engine.operationNames.joined(separator: ", ")), "
                        + "found \"\(request.op.prefix(100))\"",
                    field: "op")
            }
            var params = ParameterReader(request.params)
            let slot = try registry.resolve(
                request.model, precision: try params.optionalChoice("precision"))
            try scheduler.submit(job(request, params, operation, slot, reply))
        } catch {
            reply(Reply(failing: request, with: error))
        }
    }

    private func job(
        _ request: Request, _ params: ParameterReader, _ operation: any Operation.Type,
        _ slot: ModelSlot, _ reply: @escaping @Sendable (Reply) -> Void
    ) -> Job {
        let registry = self.registry
        let facts = RequestFacts(request, slot.model)
        let expense = Expense(
            inputBytes: request.inputBytes, pixels: facts.pixels,
            replyBytes: operation.replyBytes(facts))
        let isCanary = request.client == Canary.address
        let handles = self.handles
        let limits = self.limits
        let replyLimit = scheduler.limits.requestReplyBytes
        let cache = conditioningCache
        let adapters = self.adapters
        let variants = self.variants
        return Job(
            origin: Job.Origin(client: request.client, id: request.id), priority: request.priority,
            arrival: request.receivedAt,
            deadline: request.deadline, expense: expense,
            isExemptFromLimits: isCanary,
            // The canary is what opens the gate.
            gate: { isCanary ? .open : registry.gate(slot, operation.needs) },
            plan: { () throws(WireFault) in
                var context = OperationContext(
                    model: slot.model, inputs: request.inputs, handles: handles, limits: limits,
                    replyLimit: replyLimit,
                    conditioningCache: cache, adapters: adapters.snapshot, variants: variants,
                    adapterStore: adapters,
                    isControl: request.isControl,
                    params: params)
                return try operation.plan(&context)
            },
            completion: { result, timing in
                switch result {
                case .success(var outcome):
                    if let model = outcome.model {
                        outcome.result["precision"] = .string(model.precision.rawValue)
                    }
                    reply(Reply(request, outcome, timing: IPC.Timing(timing)))
                case .failure(let fault):
                    reply(Reply(failing: request, with: fault, timing: IPC.Timing(timing)))
                }
            })
    }

    /// Bytes that all threads' kept activations may take together, when nobody says otherwise.
    package static let defaultActivationBudget = 1 << 30

    /// Drops a request whose client has gone.
    package func abandon(_ client: ClientAddress, id: String) {
        scheduler.cancel(Job.Origin(client: client, id: id))
    }

    /// Makes the towers of all models, tries each on the canary, and serves it from then on.
    ///
    /// Blocks until all are there or ``stopLoading()`` was called; to be called once, on a thread of
    /// its own.
    ///
    /// - Parameter arrived: is called when a side of a model begins to serve.
    /// - Throws: `EncoderError` naming the tensor whose values cannot be used.
    package func load(
        arrived: (LoadedModel, TowerKinds) -> Void = { _, _ in }
    ) throws(EncoderError) {
        try registry.load(
            arrived: { slot, kind in canary.run(on: self, slot.model, kind) },
            opened: { slot, kind in
                scheduler.gatesChanged()
                arrived(slot.model, kind)
            })
        if registry.isLoaded { canary.run(on: self) }
    }

    /// Makes no further tower; requests that wait for one, or come for one, are refused with
    /// `shutting_down`.
    package func stopLoading() {
        registry.stopLoading()
        scheduler.gatesChanged()
    }

    /// Finishes what was admitted and ends the compute threads.
    ///
    /// - Parameter patience: see ``Scheduler/stop(patience:)``.
    /// - Returns: whether all threads have ended.
    @discardableResult
    package func stop(patience: UInt64 = .max) -> Bool {
        stopLoading()
        return scheduler.stop(patience: patience)
    }

    package static let operationNames =
        (OperationTable.all.map { $0.name } + ImmediateOperation.allCases.map(\.rawValue)).sorted()
}

extension Reply {
    /// The reply to a request that succeeded, wholly or for some items.
    init(_ request: Request, _ outcome: Outcome, timing: IPC.Timing? = nil) {
        self.init(
            answering: request, model: outcome.model?.name,
            fingerprint: outcome.model?.fingerprint, result: outcome.result,
            outputs: outcome.outputs, items: outcome.items, timing: timing,
            warnings: outcome.warnings)
    }
}

extension IPC.Timing {
    init(_ timing: Job.Timing) {
        self.init(
            queueMilliseconds: Double(timing.queued) / 1e6,
            computeMilliseconds: Double(timing.computed) / 1e6)
    }
}
