package import Guidance
import IPC
package import JSON

/// Finished prompts and their negatives, ready to be put into a reply.
package struct PreparedConditioning: Sendable {
    /// A prompt, and the empty prompt by which it is padded; `nil` when all are of one length.
    package struct Entry: Sendable {
        package let prompt: FinishedPrompt
        package let empty: FinishedPrompt?
    }

    /// What is on the other side of the guidance.
    package enum Negative: Sendable {
        /// Zeros in the place of those that are `nil`.
        case prompts([Entry?])
        /// Zeros in the shape of the prompts' vectors.
        case zeros
    }

    package let recipe: ConditioningRecipe
    package let prompts: [Entry]
    package let negative: Negative
    /// What the reply says of the request: recipe, syntax and so on.
    package let head: JSONObject
    package let warnings: [String]

    /// Memory, roughly.
    var bytes: Int {
        (prompts + negatives.compactMap { $0 }).reduce(0) {
            $0 + $1.prompt.bytes + ($1.empty?.bytes ?? 0)
        }
    }
}

extension PreparedConditioning {
    fileprivate var negatives: [Entry?] {
        if case .prompts(let prompts) = negative { prompts } else { [] }
    }

    private var all: [FinishedPrompt] {
        prompts.map(\.prompt) + negatives.compactMap { $0?.prompt }
    }

    /// Tokens of every output.
    private var tokens: Int { all.map(\.vectors.tokens).max() ?? 0 }

    /// Where segments of steps end, over all prompts.
    private var boundaries: [Int] { Set(all.flatMap(\.vectors.boundaries)).sorted() }

    /// `hidden_states` [M, T, D], `pooled` [M, P], the negative ones, `time_ids` [M, 6 or 5] and
    /// `negative_time_ids`; M is the number of prompts' parts. With several segments of steps the
    /// tensors of the first are `hidden_states.0` and so on.
    ///
    /// - Parameter limit: bytes that they may take together.
    /// - Throws: `too_large` beyond it, `overloaded` when the system has no memory for them.
    func outputs(
        _ datatype: OutputDatatype, _ sizes: ImageSizes, limit: Int
    ) throws(WireFault) -> [Output] {
        try checkSize(datatype, limit: limit)
        var outputs: [Output] = []
        let boundaries = boundaries
        let tokens = tokens
        for (number, boundary) in boundaries.enumerated() {
            let suffix = boundaries.count > 1 ? ".\(number)" : ""
            let parts = parts(of: prompts, until: boundary, tokens: tokens)
            try append(parts, "", suffix, datatype, to: &outputs)
            var against = self.parts(of: negatives, until: boundary, tokens: tokens)
            if case .zeros = negative {
                against = self.parts(of: prompts, until: boundary, tokens: tokens).map(\.zeros)
            }
            try append(against, "negative_", suffix, datatype, to: &outputs)
        }
        if let kind = recipe.timeIDs {
            for (name, isNegative, count) in [
                ("time_ids", false, rowCount(prompts)),
                ("negative_time_ids", true, negativeRowCount),
            ] {
                let row = kind.values(sizes, isNegative: isNegative)
                outputs.append(
                    try Output(
                        name: name, shape: [count, row.count],
                        values: (0..<count).flatMap { _ in row }, datatype: datatype))
            }
        }
        return outputs
    }

    /// Segments are the more, the more schedules the prompts have, and each has all prompts: a short
    /// request may ask for a very long reply.
    private func checkSize(_ datatype: OutputDatatype, limit: Int) throws(WireFault) {
        var numbers = 0
        for boundary in boundaries {
            // An absent negative is zeros in the shape of the first prompt's first part.
            let entries = prompts + negatives.map { $0 ?? prompts[0] }
            let rows = entries.map { $0.prompt.vectors.segment(until: boundary) }
            var segment = 0
            for part in rows.flatMap(\.parts) {
                let width = part.hidden.count / max(part.tokens, 1)
                segment += tokens * width + (part.pooled?.count ?? 0)
            }
            if case .zeros = negative { segment *= 2 }
            numbers += segment
        }
        let bytes = numbers * (datatype.datatype.size ?? 0)
        guard bytes <= limit else {
            throw WireFault(
                .tooLarge,
                "expected a reply of at most \(limit) bytes, found \(bytes) "
                    + "(\(boundaries.count) segments of steps): ask for less at once")
        }
        guard MemoryRoom.has(2 * bytes) else { throw .noMemory(2 * bytes) }
    }

    /// - Parameter entries: zeros in the place of `nil`, as one part.
    private func parts(
        of entries: [Entry?], until boundary: Int, tokens: Int
    ) -> [PromptVectors.Part] {
        entries.flatMap { entry -> [PromptVectors.Part] in
            guard let entry else {
                var zeros = parts(of: [prompts[0]], until: boundary, tokens: tokens)[0].zeros
                zeros.weight = 1
                return [zeros]
            }
            let empty = entry.empty?.vectors.segments[0].parts[0].hidden ?? []
            return entry.prompt.vectors.segment(until: boundary).parts.map { part in
                part.tokens == tokens ? part : part.padded(to: tokens, empty: empty)
            }
        }
    }

    private func append(
        _ parts: [PromptVectors.Part], _ prefix: String, _ suffix: String,
        _ datatype: OutputDatatype, to outputs: inout [Output]
    ) throws(WireFault) {
        guard let first = parts.first else { return }
        if recipe.hasHiddenStates {
            let width = first.hidden.count / max(first.tokens, 1)
            outputs.append(
                try Output(
                    name: prefix + "hidden_states" + suffix,
                    shape: [parts.count, first.tokens, width],
                    values: parts.count == 1 ? first.hidden : parts.flatMap(\.hidden),
                    datatype: datatype))
        }
        if let pooled = first.pooled {
            outputs.append(
                try Output(
                    name: prefix + "pooled" + suffix, shape: [parts.count, pooled.count],
                    values: parts.flatMap { $0.pooled ?? [] }, datatype: datatype))
        }
    }

    private func rowCount(_ entries: [Entry?]) -> Int {
        entries.reduce(0) { $0 + ($1?.prompt.vectors.partCount ?? 1) }
    }

    private var negativeRowCount: Int {
        if case .zeros = negative { rowCount(prompts) } else { rowCount(negatives) }
    }

    /// The reply's `result`: what was asked for, the rows' meaning and the token accounting.
    ///
    /// - Parameter hasAccounting: whether the prompts' token accounting is wanted.
    func result(hasAccounting: Bool) -> JSONObject {
        var result = head
        result["tokens"] = .integer(tokens)
        let boundaries = boundaries
        if boundaries.count > 1 {
            result["segments"] = .array(boundaries.map { ["until_step": .integer($0)] })
        }
        result["rows"] = PreparedConditioning.rows(prompts)
        if hasAccounting {
            result["prompts"] = .array(prompts.map { .object($0.prompt.report) })
        }
        switch negative {
        case .zeros:
            result["negative"] = "zeros"
        case .prompts(let negatives):
            result["negative"] = negatives.allSatisfy { $0 == nil } ? "zeros" : "prompts"
            result["negative_rows"] = PreparedConditioning.rows(negatives)
            if hasAccounting {
                result["negative_prompts"] = .array(
                    negatives.map { $0.map { .object($0.prompt.report) } ?? .null })
            }
        }
        return result
    }

    /// Which prompt each row of the outputs belongs to, and with which weight its part counts.
    private static func rows(_ entries: [Entry?]) -> JSONValue {
        .array(
            entries.enumerated().flatMap { index, entry -> [JSONValue] in
                guard let entry else {
                    return [["prompt": .integer(index), "weight": .integer(1), "zeros": true]]
                }
                return entry.prompt.vectors.segments[0].parts.map { part in
                    ["prompt": .integer(index), "weight": .number(part.weight)]
                }
            })
    }
}

extension PromptVectors.Part {
    /// The same shape, filled with zeros.
    fileprivate var zeros: Self {
        var result = self
        result.hidden = [Float](repeating: 0, count: hidden.count)
        result.pooled = pooled.map { [Float](repeating: 0, count: $0.count) }
        return result
    }
}
