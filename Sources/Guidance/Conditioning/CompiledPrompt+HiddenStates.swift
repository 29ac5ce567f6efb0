public import Prompts

extension CompiledPrompt {
    /// The hidden states of a conditioning, [`rowCount` × T, D], row-major.
    ///
    /// - Parameters:
    ///   - index: in `conditionings`.
    ///   - encoded: the hidden states of each of `rows`, in that order, [T, D] each.
    public func hiddenStates(of index: Int, from encoded: [[Float]]) -> [Float] {
        precondition(encoded.count == rows.count, "hidden states of each row")
        precondition(
            encoded.allSatisfy { $0.count == encoded[0].count }, "hidden states of one shape")
        return conditionings[index].hiddenStates(
            encoded, empty: emptyRow.map { encoded[$0] } ?? [])
    }
}

extension PromptConditioning {
    /// - Parameter empty: hidden states of the row of an empty prompt; empty where none is needed.
    fileprivate func hiddenStates(_ encoded: [[Float]], empty: [Float]) -> [Float] {
        var states: [Float] = []
        for term in terms {
            var sum: [Float] = []
            for text in term.texts {
                var part = self.states(of: text, encoded, empty)
                for _ in text.chunks.count..<term.rowCount { part += empty }
                if term.texts.count == 1, text.factor == 1 {
                    sum = part
                } else {
                    Self.add(part, times: text.factor, to: &sum)
                }
            }
            if term.weight != 1 {
                for row in 0..<term.rowCount {
                    for index in empty.indices {
                        let place = row * empty.count + index
                        sum[place] = (sum[place] - empty[index]) * term.weight + empty[index]
                    }
                }
            }
            states += sum
        }
        for _ in 0..<paddingRows { states += empty }
        return states
    }

    private func states(of text: Text, _ encoded: [[Float]], _ empty: [Float]) -> [Float] {
        let total = text.variants.reduce(Float(1)) { $0 + $1.factor }
        var states: [Float] = []
        for (number, chunk) in text.chunks.enumerated() {
            let weights = chunks[chunk].weights
            let base = weighted(encoded[chunks[chunk].row], weights, empty)
            if text.variants.isEmpty {
                states += base
                continue
            }
            var known = [chunks[chunk].row: base]
            var sum: [Float] = []
            Self.add(base, times: 1 / total, to: &sum)
            for variant in text.variants {
                let row = variant.rows[number]
                let part = known[row] ?? weighted(encoded[row], weights, empty)
                known[row] = part
                Self.add(part, times: variant.factor / total, to: &sum)
            }
            states += sum
        }
        return states
    }

    private func weighted(_ row: [Float], _ weights: [Float], _ empty: [Float]) -> [Float] {
        guard weights.contains(where: { $0 != 1 }) else { return row }
        var states = row
        switch syntax {
        case .plain: break
        case .a1111 where emphasis == .noNorm: TokenWeighting.multiply(&states, weights: weights)
        case .a1111: TokenWeighting.multiplyKeepingMean(&states, weights: weights)
        case .comfy, .compel:
            TokenWeighting.interpolate(&states, fromEmpty: empty, weights: weights)
        }
        return states
    }

    private static func add(_ part: [Float], times factor: Float, to sum: inout [Float]) {
        if sum.isEmpty { sum = [Float](repeating: 0, count: part.count) }
        for index in part.indices { sum[index] += part[index] * factor }
    }
}
