import System

extension TextWeights {
    /// The weights with LoRAs and their relatives added, one after another in the order given.
    ///
    /// Changes to the projection of a tower that has none are left out (`LoRA.unused`). A LoRA changes a matrix to W + strength · scale · up · down. A DoRA first makes
    /// V = W + scale · up · down, gives each of its rows (or columns) the stored length, and then
    /// goes from W towards that by the strength, so that 0 changes nothing. The lengths divided by
    /// are V's, as PEFT's `DoraLinearLayer` and LyCORIS train them.
    ///
    /// - Throws: `EncoderError.tensor` naming file and matrix when the tower has no such matrix or one
    ///   of another size.
    public func applying(
        _ loras: [(lora: LoRA, strength: Float)]
    ) throws(EncoderError) -> TextWeights {
        for (lora, _) in loras { try check(lora) }
        let changes = loras.filter { $0.strength != 0 }
        guard !changes.isEmpty else { return self }
        let width = finalNormWeight.count
        var result = self
        let layers = layers
        result.layers = concurrentMap(layers.count) { index in
            var layer = layers[index]
            for (lora, strength) in changes {
                for matrix in LoRA.Matrix.allCases {
                    let target = LoRA.Target(layer: index, matrix: matrix)
                    guard let update = lora.updates[target] else { continue }
                    layer.change(matrix, by: update, strength)
                }
                for (target, values) in lora.vectors where target.layer == index {
                    layer.add(values, to: target, strength)
                }
            }
            return layer
        }
        for (lora, strength) in changes {
            for (isBias, keyPath) in [
                (false, \TextWeights.finalNormWeight), (true, \TextWeights.finalNormBias),
            ] {
                let target = LoRA.VectorTarget.norm(layer: nil, .final, isBias: isBias)
                guard let values = lora.vectors[target] else { continue }
                result[keyPath: keyPath].add(values, from: 0, strength)
            }
            let target = LoRA.Target(layer: nil, matrix: .projection)
            guard let update = lora.updates[target], var projection = result.projection else {
                continue
            }
            update.apply(
                to: &projection, firstRow: 0,
                size: (projection.count / max(1, width), width), strength)
            result.projection = projection
        }
        return result
    }

    private func check(_ lora: LoRA) throws(EncoderError) {
        let width = finalNormWeight.count
        func refuse(_ name: String, _ expected: String, _ actual: String) -> EncoderError {
            .tensor(path: lora.path, name: name, expected: expected, actual: actual)
        }
        func mlpWidth(_ layer: Int, _ name: String) throws(EncoderError) -> Int {
            guard layers.indices.contains(layer) else {
                throw refuse(
                    name, "one of the text tower's \(layers.count) layers", "layer \(layer)")
            }
            return layers[layer].fc1Bias.count
        }
        for (target, update) in lora.updates.sorted(by: { $0.key.name < $1.key.name }) {
            let outputs: Int
            let inputs: Int
            if let index = target.layer {
                let mlp = try mlpWidth(index, target.name)
                outputs = target.matrix == .fc1 ? mlp : width
                inputs = target.matrix == .fc2 ? mlp : width
            } else {
                guard let projection else { continue }
                outputs = projection.count / max(1, width)
                inputs = width
            }
            guard (update.outputs ?? outputs) == outputs, (update.inputs ?? inputs) == inputs else {
                throw refuse(
                    target.name, "a change to a matrix [\(outputs), \(inputs)]",
                    "one to [\(update.outputs.map(String.init) ?? "any"), "
                        + "\(update.inputs.map(String.init) ?? "any")]")
            }
        }
        for (target, values) in lora.vectors.sorted(by: { $0.key.name < $1.key.name }) {
            var count = width
            if let layer = target.layer {
                let mlp = try mlpWidth(layer, target.name)
                if case .bias(let matrix) = target, matrix.matrix == .fc1 { count = mlp }
            } else if case .bias = target {
                throw refuse(target.name, "a vector of the text tower", "none: it has no such bias")
            }
            guard values.count == count else {
                throw refuse(target.name, "a change to \(count) numbers", "one to \(values.count)")
            }
        }
    }
}

extension LayerWeights {
    fileprivate mutating func change(
        _ matrix: LoRA.Matrix, by update: LoRA.Update, _ strength: Float
    ) {
        let width = outBias.count
        let mlp = fc1Bias.count
        let square = (width, width)
        switch matrix {
        case .query: update.apply(to: &qkvWeight, firstRow: 0, size: square, strength)
        case .key: update.apply(to: &qkvWeight, firstRow: width, size: square, strength)
        case .value: update.apply(to: &qkvWeight, firstRow: 2 * width, size: square, strength)
        case .out: update.apply(to: &outWeight, firstRow: 0, size: square, strength)
        case .fc1: update.apply(to: &fc1Weight, firstRow: 0, size: (mlp, width), strength)
        case .fc2: update.apply(to: &fc2Weight, firstRow: 0, size: (width, mlp), strength)
        case .projection: break
        }
    }

    fileprivate mutating func add(
        _ values: [Float], to target: LoRA.VectorTarget, _ strength: Float
    ) {
        let width = outBias.count
        switch target {
        case .norm(_, let norm, let isBias):
            switch (norm, isBias) {
            case (.attention, false): attentionNormWeight.add(values, from: 0, strength)
            case (.attention, true): attentionNormBias.add(values, from: 0, strength)
            case (.mlp, false): mlpNormWeight.add(values, from: 0, strength)
            case (.mlp, true): mlpNormBias.add(values, from: 0, strength)
            case (.final, _): break
            }
        case .bias(let matrix):
            switch matrix.matrix {
            case .query: qkvBias.add(values, from: 0, strength)
            case .key: qkvBias.add(values, from: width, strength)
            case .value: qkvBias.add(values, from: 2 * width, strength)
            case .out: outBias.add(values, from: 0, strength)
            case .fc1: fc1Bias.add(values, from: 0, strength)
            case .fc2: fc2Bias.add(values, from: 0, strength)
            case .projection: break
            }
        }
    }
}

extension [Float] {
    /// Adds strength · values to what begins at `start`.
    fileprivate mutating func add(_ values: [Float], from start: Int, _ strength: Float) {
        precondition(start + values.count <= count, "sizes are checked before")
        for (index, value) in values.enumerated() { self[start + index] += strength * value }
    }
}
