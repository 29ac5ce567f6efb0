extension TextWeights {
    /// The weights with LoRAs added, one after another in the order given.
    ///
    /// A LoRA changes a matrix to W + strength · scale · up · down. A DoRA first makes
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
            }
            return layer
        }
        for (lora, strength) in changes {
            let target = LoRA.Target(layer: nil, matrix: .projection)
            guard let update = lora.updates[target], var projection = result.projection else {
                continue
            }
            update.apply(to: &projection, firstRow: 0, strength)
            result.projection = projection
        }
        return result
    }

    private func check(_ lora: LoRA) throws(EncoderError) {
        let width = finalNormWeight.count
        for (target, update) in lora.updates.sorted(by: { $0.key.name < $1.key.name }) {
            func refuse(_ expected: String, _ actual: String) -> EncoderError {
                .tensor(path: lora.path, name: target.name, expected: expected, actual: actual)
            }
            let outputs: Int
            let inputs: Int
            if let index = target.layer {
                guard layers.indices.contains(index) else {
                    throw refuse(
                        "one of the text tower's \(layers.count) layers", "layer \(index)")
                }
                let mlp = layers[index].fc1Bias.count
                outputs = target.matrix == .fc1 ? mlp : width
                inputs = target.matrix == .fc2 ? mlp : width
            } else {
                guard let projection else {
                    throw refuse("a matrix of the text tower", "none: it has no projection")
                }
                outputs = projection.count / max(1, width)
                inputs = width
            }
            guard update.outputs == outputs, update.inputs == inputs else {
                throw refuse(
                    "a change to a matrix [\(outputs), \(inputs)]",
                    "one to [\(update.outputs), \(update.inputs)]")
            }
        }
    }
}

extension LayerWeights {
    fileprivate mutating func change(
        _ matrix: LoRA.Matrix, by update: LoRA.Update, _ strength: Float
    ) {
        let width = outBias.count
        switch matrix {
        case .query: update.apply(to: &qkvWeight, firstRow: 0, strength)
        case .key: update.apply(to: &qkvWeight, firstRow: width, strength)
        case .value: update.apply(to: &qkvWeight, firstRow: 2 * width, strength)
        case .out: update.apply(to: &outWeight, firstRow: 0, strength)
        case .fc1: update.apply(to: &fc1Weight, firstRow: 0, strength)
        case .fc2: update.apply(to: &fc2Weight, firstRow: 0, strength)
        case .projection: break
        }
    }
}

extension LoRA.Update {
    /// Changes the `outputs` rows of a matrix that begin at `firstRow`.
    fileprivate func apply(to weight: inout [Float], firstRow: Int, _ strength: Float) {
        let start = firstRow * inputs
        precondition(weight.count >= start + outputs * inputs, "sizes are checked before")
        weight.withUnsafeMutableBufferPointer { buffer in
            guard let base = buffer.baseAddress else { return }
            let block = Rows(base + start, rows: outputs, columns: inputs)
            guard let magnitude else {
                add(to: block, strength * scale)
                return
            }
            let before = block.array()
            add(to: block, scale)
            switch magnitude {
            case .rows(let lengths): Self.rescaleRows(block, lengths)
            case .columns(let lengths): Self.rescaleColumns(block, lengths)
            }
            guard strength != 1 else { return }
            for index in 0..<outputs * inputs {
                block.base[index] = before[index] + strength * (block.base[index] - before[index])
            }
        }
    }

    /// block += factor · up · down.
    private func add(to block: Rows, _ factor: Float) {
        up.withUnsafeBufferPointer { up in
            down.withUnsafeBufferPointer { down in
                guard let up = up.baseAddress, let down = down.baseAddress else { return }
                MatrixProduct.multiply(
                    ConstantRows(up, rows: outputs, columns: rank),
                    ConstantRows(down, rows: rank, columns: inputs), .plain, into: block,
                    scale: factor, accumulate: true)
            }
        }
    }

    private static func rescaleRows(_ block: Rows, _ lengths: [Float]) {
        for row in 0..<block.rows {
            let start = block.base + row * block.stride
            var sum = 0.0
            for column in 0..<block.columns {
                sum += Double(start[column]) * Double(start[column])
            }
            let factor = sum > 0 ? Float(Double(lengths[row]) / sum.squareRoot()) : 0
            for column in 0..<block.columns { start[column] *= factor }
        }
    }

    private static func rescaleColumns(_ block: Rows, _ lengths: [Float]) {
        var sums = [Double](repeating: 0, count: block.columns)
        for row in 0..<block.rows {
            let start = block.base + row * block.stride
            for column in 0..<block.columns {
                sums[column] += Double(start[column]) * Double(start[column])
            }
        }
        let factors = zip(sums, lengths).map { sum, length in
            sum > 0 ? Float(Double(length) / sum.squareRoot()) : 0
        }
        for row in 0..<block.rows {
            let start = block.base + row * block.stride
            for column in 0..<block.columns { start[column] *= factors[column] }
        }
    }
}
