extension LoRAReader {
    private static let ranks = 1...16_384

    /// What the file has for an encoder; `nil` for nothing.
    func changes(_ slot: Slot) throws(EncoderError) -> LoRA? {
        var updates: [LoRA.Target: LoRA.Update] = [:]
        var vectors: [LoRA.VectorTarget: [Float]] = [:]
        for (key, names) in parts where key.slot == slot {
            var names = names
            switch key.module {
            case .matrix(let target):
                if let name = names.removeValue(forKey: .biasDifference) {
                    vectors[.bias(target)] = try vector(name)
                }
                if !names.isEmpty { updates[target] = try update(names, key) }
            case .norm(let layer, let norm):
                for (part, name) in names {
                    let isBias: Bool
                    switch part {
                    case .normWeight, .difference: isBias = false
                    case .normBias, .biasDifference: isBias = true
                    case .alpha: continue
                    default: throw Self.another(name, source.path)
                    }
                    let target = LoRA.VectorTarget.norm(layer: layer, norm, isBias: isBias)
                    if vectors.updateValue(try vector(name), forKey: target) != nil {
                        throw .tensor(
                            path: source.path, name: name, expected: "each part of a norm once",
                            actual: "another beside it")
                    }
                }
            }
        }
        guard !updates.isEmpty || !vectors.isEmpty else { return nil }
        return LoRA(path: source.path, updates: updates, vectors: vectors)
    }

    /// The change to one matrix, of whichever kind its parts are.
    private func update(
        _ names: [LoRANames.Part: String], _ key: Key
    ) throws(EncoderError) -> LoRA.Update {
        var names = names
        let alpha = names.removeValue(forKey: .alpha)
        let length = names.removeValue(forKey: .magnitude)
        let change: LoRA.Change
        // What alpha is divided by; `nil` for kinds that alpha means nothing to.
        var rank: Int?
        switch try kind(names, alpha ?? length, key) {
        case .lowRank:
            let (up, down) = try pair(names, .up, .down, "up", "down", key)
            change = .lowRank(up: up, down: down)
            rank = down.rows
        case .hadamard:
            let (a, b) = try pair(
                names, .hadamard(.w1a), .hadamard(.w1b), "hada_w1_a", "hada_w1_b", key)
            let (c, d) = try pair(
                names, .hadamard(.w2a), .hadamard(.w2b), "hada_w2_a", "hada_w2_b", key)
            guard a.rows == c.rows, b.columns == d.columns else {
                throw .tensor(
                    path: source.path, name: names[.hadamard(.w2a)] ?? key.module.name,
                    expected: "factors of a matrix [\(a.rows), \(b.columns)]",
                    actual: "[\(c.rows), \(d.columns)]")
            }
            change = .hadamard(a, b, c, d)
            rank = b.rows
        case .kronecker:
            let first = try half(names, .w1, .w1a, .w1b, "lokr_w1", key)
            let second = try half(names, .w2, .w2a, .w2b, "lokr_w2", key)
            for (size, other) in [
                (first.matrix.rows, second.matrix.rows),
                (first.matrix.columns, second.matrix.columns),
            ] where !ConfigurationLimits.mlpWidth.contains(size * other) {
                throw .tensor(
                    path: source.path, name: key.module.name, expected: "a matrix of a text tower",
                    actual: "sides of \(size) · \(other)")
            }
            change = .kronecker(first.matrix, second.matrix)
            // Of the larger half, as `lokr.py` has it.
            rank = second.rank ?? first.rank
        case .full:
            if let length { throw Self.another(length, source.path) }
            change = .full(try factor(names[.difference] ?? "", "[outputs, inputs]"))
            return LoRA.Update(change: change, scale: 1, magnitude: nil)
        case .scaling:
            if let length { throw Self.another(length, source.path) }
            let values = try vector(names[.weight] ?? "")
            let isInput = try source.scalar(names[.onInput] ?? "") != 0
            change = isInput ? .columns(values) : .rows(values)
            return LoRA.Update(change: change, scale: 1, magnitude: nil)
        }
        let update = LoRA.Update(change: change, scale: 1, magnitude: nil)
        return LoRA.Update(
            change: change, scale: try scale(alpha, rank, key),
            magnitude: try length.map { name throws(EncoderError) in
                try magnitude(name, outputs: update.outputs ?? 0, inputs: update.inputs ?? 0)
            })
    }

    private enum Kind { case lowRank, hadamard, kronecker, full, scaling }

    /// The one kind that all parts of a matrix belong to.
    private func kind(
        _ names: [LoRANames.Part: String], _ lone: String?, _ key: Key
    ) throws(EncoderError) -> Kind {
        var found: Kind?
        for (part, name) in names.sorted(by: { $0.value < $1.value }) {
            let own: Kind
            switch part {
            case .down, .up: own = .lowRank
            case .hadamard: own = .hadamard
            case .kronecker: own = .kronecker
            case .difference: own = .full
            case .weight, .onInput:
                // A whole new matrix has a `weight` as well, but says nothing of an input.
                guard names[.weight] != nil, names[.onInput] != nil else {
                    throw Self.another(name, source.path)
                }
                own = .scaling
            case .alpha, .magnitude, .biasDifference, .normWeight, .normBias:
                throw Self.another(name, source.path)
            }
            guard found == nil || found == own else {
                throw .tensor(
                    path: source.path, name: name, expected: "one kind of change to a matrix",
                    actual: "another beside it")
            }
            found = own
        }
        guard let found else {
            throw .tensor(
                path: source.path, name: lone ?? key.module.name,
                expected: "the up and down matrices beside it", actual: "no such tensor")
        }
        return found
    }

    // MARK: tensors

    /// Two factors whose inner dimensions agree: left [outputs, rank], right [rank, inputs].
    private func pair(
        _ names: [LoRANames.Part: String], _ left: LoRANames.Part, _ right: LoRANames.Part,
        _ leftName: String, _ rightName: String, _ key: Key
    ) throws(EncoderError) -> (LoRA.Factor, LoRA.Factor) {
        guard let leftTensor = names[left], let rightTensor = names[right] else {
            throw .tensor(
                path: source.path, name: names.values.min() ?? key.module.name,
                expected: "the \(names[right] == nil ? rightName : leftName) matrix beside it",
                actual: "no such tensor")
        }
        let right = try factor(rightTensor, "[rank, inputs]")
        guard Self.ranks.contains(right.rows) else {
            throw .tensor(
                path: source.path, name: rightTensor, expected: "shape [rank, inputs]",
                actual: "shape [\(right.rows), \(right.columns)]")
        }
        let left = try factor(leftTensor, "[outputs, \(right.rows)]")
        guard left.columns == right.rows else {
            throw .tensor(
                path: source.path, name: leftTensor, expected: "shape [outputs, \(right.rows)]",
                actual: "shape [\(left.rows), \(left.columns)]")
        }
        return (left, right)
    }

    /// A factor of a LoKr, whole or as the product of two.
    private func half(
        _ names: [LoRANames.Part: String], _ whole: LoRANames.KroneckerPart,
        _ left: LoRANames.KroneckerPart, _ right: LoRANames.KroneckerPart, _ name: String,
        _ key: Key
    ) throws(EncoderError) -> (matrix: LoRA.Factor, rank: Int?) {
        if let tensor = names[.kronecker(whole)] {
            guard names[.kronecker(left)] == nil, names[.kronecker(right)] == nil else {
                throw .tensor(
                    path: source.path, name: tensor, expected: "a matrix or its factors",
                    actual: "both")
            }
            return (try factor(tensor, "[rows, columns]"), nil)
        }
        let (a, b) = try pair(
            names, .kronecker(left), .kronecker(right), name + " or " + name + "_a", name + "_b",
            key)
        return (a.times(b), b.rows)
    }

    /// A matrix; of a 1×1 convolution too.
    private func factor(_ name: String, _ expected: String) throws(EncoderError) -> LoRA.Factor {
        let stored = source.shape(of: name) ?? []
        var shape = stored
        while shape.count > 2, shape.last == 1 { shape.removeLast() }
        guard shape.count == 2, ConfigurationLimits.mlpWidth.contains(shape[0]),
            ConfigurationLimits.mlpWidth.contains(shape[1])
        else {
            throw .tensor(
                path: source.path, name: name, expected: "shape \(expected)",
                actual: "shape \(stored)")
        }
        return LoRA.Factor(
            rows: shape[0], columns: shape[1], values: try source.floats(name, shape: stored))
    }

    /// A vector, perhaps with sides of one around it.
    private func vector(_ name: String) throws(EncoderError) -> [Float] {
        let shape = source.shape(of: name) ?? []
        guard shape.filter({ $0 != 1 }).count <= 1, shape.count <= 4, !shape.isEmpty,
            ConfigurationLimits.mlpWidth.contains(shape.reduce(1, *))
        else {
            throw .tensor(
                path: source.path, name: name, expected: "a vector", actual: "shape \(shape)")
        }
        return try source.floats(name, shape: shape)
    }

    private func scale(
        _ name: String?, _ rank: Int?, _ key: Key
    ) throws(EncoderError) -> Float {
        guard let name else {
            return try settings.scale(
                encoder: key.slot.encoder, module: key.module.name, rank: rank)
        }
        let alpha = try source.scalar(name)
        // LyCORIS gives two whole matrices no scale, whatever alpha is stored.
        return rank.map { alpha / Float($0) } ?? 1
    }

    private func magnitude(
        _ name: String, outputs: Int, inputs: Int
    ) throws(EncoderError) -> LoRA.Magnitude {
        let stored = source.shape(of: name) ?? []
        var shape = stored
        while shape.count > 2, shape.last == 1 { shape.removeLast() }
        if shape == [outputs] || shape == [outputs, 1] {
            return .rows(try source.floats(name, shape: stored))
        }
        if shape == [1, inputs] { return .columns(try source.floats(name, shape: stored)) }
        throw .tensor(
            path: source.path, name: name,
            expected: "shape [\(outputs)], [\(outputs), 1] or [1, \(inputs)]",
            actual: "shape \(stored)")
    }
}

extension LoRA.Factor {
    /// The product of two matrices.
    func times(_ other: LoRA.Factor) -> LoRA.Factor {
        var values = [Float](repeating: 0, count: rows * other.columns)
        values.withUnsafeMutableBufferPointer { output in
            self.values.withUnsafeBufferPointer { left in
                other.values.withUnsafeBufferPointer { right in
                    guard let output = output.baseAddress, let left = left.baseAddress,
                        let right = right.baseAddress
                    else { return }
                    MatrixProduct.multiply(
                        ConstantRows(left, rows: rows, columns: columns),
                        ConstantRows(right, rows: other.rows, columns: other.columns), .plain,
                        into: Rows(output, rows: rows, columns: other.columns))
                }
            }
        }
        return LoRA.Factor(rows: rows, columns: other.columns, values: values)
    }
}

extension TensorSource {
    /// A tensor of one number, whatever type it is stored in.
    ///
    /// - Throws: `EncoderError.tensor` when it is missing, has more than one element, or is not
    ///   finite.
    func scalar(_ name: String) throws(EncoderError) -> Float {
        let shape = shape(of: name) ?? []
        guard shape.allSatisfy({ $0 == 1 }), let type = storedType(of: name) else {
            throw .tensor(
                path: path, name: name, expected: "one number", actual: "shape \(shape)")
        }
        if type.holdsWeights { return try floats(name, shape: shape)[0] }
        let stored = try storedBytes(name) ?? []
        let number: Float? = stored.withUnsafeBytes { bytes in
            switch type {
            case .i64: Float(bytes.loadUnaligned(as: Int64.self))
            case .i32: Float(bytes.loadUnaligned(as: Int32.self))
            case .i16: Float(bytes.loadUnaligned(as: Int16.self))
            case .u8, .bool: Float(bytes.loadUnaligned(as: UInt8.self))
            default: nil
            }
        }
        guard let number else {
            throw .tensor(
                path: path, name: displayName(name), expected: "a number", actual: type.rawValue)
        }
        return number
    }
}
