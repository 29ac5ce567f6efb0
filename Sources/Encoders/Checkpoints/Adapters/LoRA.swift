/// Changes to the matrices and vectors of one text tower: LoRA, DoRA, and what LyCORIS trains (LoHa,
/// LoKr, full and norm differences, IA³).
public struct LoRA: Sendable, Equatable {
    /// A matrix of a text tower.
    public enum Matrix: String, Sendable, Equatable, CaseIterable {
        case query = "self_attn.q_proj"
        case key = "self_attn.k_proj"
        case value = "self_attn.v_proj"
        case out = "self_attn.out_proj"
        case fc1 = "mlp.fc1"
        case fc2 = "mlp.fc2"
        case projection = "text_projection"
    }

    /// Which matrix of which layer is changed.
    public struct Target: Sendable, Hashable {
        /// `nil` for the projection.
        public let layer: Int?
        public let matrix: Matrix

        /// As transformers calls it.
        var name: String {
            layer.map { "text_model.encoder.layers.\($0).\(matrix.rawValue)" } ?? matrix.rawValue
        }
    }

    /// A norm of a text tower.
    public enum Norm: String, Sendable, Equatable, CaseIterable {
        case attention = "layer_norm1"
        case mlp = "layer_norm2"
        case final = "final_layer_norm"
    }

    /// Which vector is changed: a matrix' bias, or a norm's weight or bias.
    public enum VectorTarget: Sendable, Hashable {
        case bias(Target)
        /// The layer is `nil` for the final norm.
        case norm(layer: Int?, Norm, isBias: Bool)

        var layer: Int? {
            switch self {
            case .bias(let target): target.layer
            case .norm(let layer, _, _): layer
            }
        }

        /// As transformers calls it.
        var name: String {
            switch self {
            case .bias(let target): return target.name + ".bias"
            case .norm(let layer, let norm, let isBias):
                let place = layer.map { "encoder.layers.\($0)." } ?? ""
                return "text_model.\(place)\(norm.rawValue).\(isBias ? "bias" : "weight")"
            }
        }
    }

    /// The length that DoRA gives to each row or column of the changed matrix.
    public enum Magnitude: Sendable, Equatable {
        /// One for each output (PEFT; LyCORIS with `wd_on_out`).
        case rows([Float])
        /// One for each input (LyCORIS' older form).
        case columns([Float])
    }

    /// A matrix of which others are made, row-major.
    public struct Factor: Sendable, Equatable {
        public let rows: Int
        public let columns: Int
        public let values: [Float]
    }

    /// What is done to a matrix W [outputs, inputs].
    public enum Change: Sendable, Equatable {
        /// W + up·down (LoRA).
        case lowRank(up: Factor, down: Factor)
        /// W + (a·b)∘(c·d), element by element (LoHa: Hyeon-Woo et al. 2021, FedPara).
        case hadamard(Factor, Factor, Factor, Factor)
        /// W + a⊗b (LoKr).
        case kronecker(Factor, Factor)
        /// W + the matrix (LyCORIS' full).
        case full(Factor)
        /// Each row of W times 1 + its number (IA³ as LyCORIS has it).
        case rows([Float])
        /// Each column of W times 1 + its number (IA³ on the input).
        case columns([Float])
    }

    /// A change to one matrix; what is added is multiplied by `scale`.
    public struct Update: Sendable, Equatable {
        public let change: Change
        /// alpha/rank (alpha/√rank for a rank-stabilised one); 1 where no alpha is stored.
        public let scale: Float
        /// `nil` for everything but DoRA and its relatives.
        public let magnitude: Magnitude?

        /// The inner dimension of a LoRA's or LoHa's factors; `nil` for other changes.
        public var rank: Int? {
            switch change {
            case .lowRank(_, let down): down.rows
            case .hadamard(_, let b, _, _): b.rows
            case .kronecker, .full, .rows, .columns: nil
            }
        }

        /// Rows of the matrix; `nil` where the change says nothing of them.
        var outputs: Int? {
            switch change {
            case .lowRank(let up, _): up.rows
            case .hadamard(let a, _, _, _): a.rows
            case .kronecker(let a, let b): a.rows * b.rows
            case .full(let all): all.rows
            case .rows(let factors): factors.count
            case .columns: nil
            }
        }

        /// Columns of the matrix; `nil` where the change says nothing of them.
        var inputs: Int? {
            switch change {
            case .lowRank(_, let down): down.columns
            case .hadamard(_, let b, _, _): b.columns
            case .kronecker(let a, let b): a.columns * b.columns
            case .full(let all): all.columns
            case .rows: nil
            case .columns(let factors): factors.count
            }
        }
    }

    /// For messages.
    public let path: String
    public let updates: [Target: Update]
    /// What is added to vectors.
    public let vectors: [VectorTarget: [Float]]

    /// Whether any matrix is renormalised.
    public var isDoRA: Bool { updates.values.contains { $0.magnitude != nil } }

    /// The width of the tower that the changes are for; `nil` where they say nothing of it.
    var width: Int? {
        for (target, update) in updates {
            let own = target.matrix == .fc1 || target.layer == nil ? update.inputs : update.outputs
            if let own { return own }
        }
        for (target, values) in vectors {
            if case .bias(let matrix) = target, matrix.matrix == .fc1 { continue }
            return values.count
        }
        return nil
    }

    /// What of the changes finds nothing to change in a tower and is left out: those to the
    /// projection, when it has none.
    public func unused(projection: Int?) -> [String] {
        projection == nil
            ? updates.keys.filter { $0.layer == nil }.map(\.name) : []
    }
}
