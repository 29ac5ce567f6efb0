import Encoders
import Glibc
import IPC
import JSON
import System

/// Operations that only look at the daemon's state: answered at once, whatever is queued.
enum ImmediateOperation: String, CaseIterable {
    case hello, ping, models, health, status, release
}

extension Engine {
    /// The answer to an operation that needs no compute; `nil` for all others.
    func immediateOutcome(_ request: Request) throws(WireFault) -> Outcome? {
        guard let operation = ImmediateOperation(rawValue: request.op) else { return nil }
        var params = ParameterReader(request.params)
        var outcome = Outcome()
        switch operation {
        case .ping: break
        case .hello: outcome.result = helloResult
        case .models:
            outcome.result["models"] = .array(
                registry.models.map { model in
                    var entry = model.description
                    let open = registry.open(of: model)
                    entry["precisions"] = .array(open.map { .string($0.precision.rawValue) })
                    entry["ready"] = .object(
                        JSONObject(open.map { ($0.precision.rawValue, $0.kinds.names) }))
                    entry["gradients"] = model.gradientState.map { .object($0) }
                    return .object(entry)
                })
            outcome.result["default_model"] = .string(registry.defaultModel.name)
        case .health: outcome.result = healthResult
        case .status: outcome.result = statusResult
        case .release:
            let handle = try params.requiredString("handle")
            guard handles.remove(handle) else {
                throw .parameter(
                    "handle", expected: "a handle from prepare that was not released",
                    actual: "\"\(handle.prefix(64))\"")
            }
        }
        outcome.warnings = params.unknownParameterWarnings
        return outcome
    }

    private var helloResult: JSONObject {
        var limits = self.limits.description
        limits["requests"] = .integer(scheduler.limits.requests)
        limits["queued_bytes"] = .integer(scheduler.limits.bytes)
        limits["request_pixels"] = .integer(scheduler.limits.requestPixels)
        limits["queued_pixels"] = .integer(scheduler.limits.pixels)
        limits["reply_bytes"] = .integer(scheduler.limits.requestReplyBytes)
        limits["queued_reply_bytes"] = .integer(scheduler.limits.replyBytes)
        limits["work_bytes"] = .integer(scheduler.limits.workBytes)
        limits["handles"] = .integer(handles.limit)
        limits["handle_bytes"] = .integer(handles.byteLimit)
        for (key, value) in transport.limits().members { limits[key] = value }
        return [
            "name": "guidanced", "version": .string(Version.current), "protocol": "GD01",
            "protocols": ["GD01"],
            "operations": .array(Engine.operationNames.map { .string($0) }),
            "extensions": [], "limits": .object(limits),
            "models": .array(registry.models.map { .string($0.name) }),
            "default_model": .string(registry.defaultModel.name),
        ]
    }

    private var healthResult: JSONObject {
        let canary = self.canary.state(now: monotonicNow())
        return [
            "live": true, "ready": .bool(canary.isReady),
            "canary_age_ms": canary.age.map { .integer(Int($0 / 1_000_000)) } ?? .null,
            "canary_error": canary.fault.map { .string($0) } ?? .null,
            "loading": .array(registry.incomplete.map { .string($0) }),
        ]
    }

    private var statusResult: JSONObject {
        let statistics = scheduler.statistics
        let transportCounters: JSONObject = transport.counters()
        return [
            "version": .string(Version.current), "pid": .integer(Int(getpid())),
            "uptime_s": .number(Double(monotonicNow() - started) / 1e9),
            "threads": .integer(scheduler.threadCount),
            "instructions": .string(InstructionSet.current.name),
            "queue": [
                "waiting": .integer(statistics.waiting), "running": .integer(statistics.running),
                "bytes": .integer(statistics.expense.inputBytes),
                "pixels": .integer(statistics.expense.pixels),
                "reply_bytes": .integer(statistics.expense.replyBytes),
                "work_bytes": .integer(statistics.workBytes),
                "limit": .integer(scheduler.limits.requests),
                "limit_bytes": .integer(scheduler.limits.bytes),
            ],
            "groups": [
                "run": .integer(statistics.groups), "items": .integer(statistics.groupItems),
                "shared": .integer(statistics.sharedGroups),
            ],
            "requests": [
                "completed": .integer(statistics.completed),
                "failed": .integer(statistics.failed), "refused": .integer(statistics.refused),
            ],
            "handles": .integer(handles.count), "handle_bytes": .integer(handles.bytes),
            "conditioning_cache": .object(
                conditioningCache.statistics.description(limit: conditioningCache.limit)),
            "encoder_variants": .object(variants.statistics.description(limit: variants.limit)),
            "adapters": .object(adapters.snapshot.description),
            "descriptors": .object(Descriptors.state.description),
            "resident_bytes": .integer(ProcessMemory.resident),
            "models": .array(registry.models.map { .string($0.name) }),
            "transport": .object(transportCounters),
        ]
    }
}

extension Descriptors.State {
    fileprivate var description: JSONObject {
        [
            "limit": .integer(limit), "reserved": .integer(reserved),
            "accepting": .bool(isAccepting), "refused_connections": .integer(refusedConnections),
        ]
    }
}

extension LeastRecentlyUsed.Statistics {
    fileprivate func description(limit: Int) -> JSONObject {
        [
            "entries": .integer(entries), "bytes": .integer(bytes),
            "limit_bytes": .integer(limit), "hits": .integer(hits),
            "misses": .integer(misses), "evictions": .integer(evictions),
        ]
    }
}
