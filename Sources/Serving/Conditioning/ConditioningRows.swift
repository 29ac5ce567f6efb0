import Encoders
import Guidance
import IPC
import Prompts

/// The rows of tokens that a request's prompts come to: equal ones once, with the weights that they are
/// run with.
struct ConditioningRows: Sendable {
    /// What makes two rows the same.
    private struct RowKey: Hashable {
        let encoder: Int
        let loras: [EncoderVariants.Key.LoRA]
        let row: TokenRow
        let state: Int
    }

    /// Which weights rows need.
    private struct WeightsKey: Hashable {
        let encoder: Int
        let loras: [EncoderVariants.Key.LoRA]
        let hasEmbeddings: Bool
    }

    /// Weights that are needed, and for whom.
    private struct Weights: Sendable {
        let encoder: Int
        let loras: [UsedLoRA]
        let hasEmbeddings: Bool
    }

    private struct Row: Sendable {
        let encoder: Int
        /// Number in `needed`.
        let weights: Int
        let row: TokenRow
        /// Which layer's states are wanted.
        let state: Int
        /// Where its result is kept; only for empty prompts.
        let emptyKey: EncoderVariants.EmptyRowKey?
    }

    /// A row on its way through a tower.
    private struct Input: Sendable {
        let tokens: [Int32]
        let endIndex: Int
        let hidden: Range<Int>
    }

    /// Rows that one request may have run.
    static let limit = 2048

    private let encoders: PromptEncoders
    private let rows: [Row]
    private let needed: [Weights]
    private let made: Slots<Result<EncoderVariants.Variant, WireFault>>
    /// The numbers of each prompt's rows, by encoder.
    private let places: [[[Int]]]
    /// The numbers of the rows that have no result yet; neighbours run with the same weights.
    private let open: [Int]
    private let results: Slots<Result<EncodedRow, WireFault>>

    var openCount: Int { open.count }

    /// - Throws: `too_large` for too many rows.
    init(
        _ prompts: [(placed: PlacedPrompt, compiled: CompiledForEncoders)],
        encoders: PromptEncoders
    ) throws(WireFault) {
        var rows: [Row] = []
        var positions: [RowKey: Int] = [:]
        var needed: [Weights] = []
        var weights: [WeightsKey: Int] = [:]
        var places: [[[Int]]] = []
        for (placed, compiled) in prompts {
            var own: [[Int]] = []
            for (encoder, prompt) in compiled.prompts.enumerated() {
                let state = encoders.entries[encoder].states[placed.clipSkip] ?? 0
                let loras = encoders.changing(encoder, placed.loras)
                let role = encoders.entries[encoder].tower.role
                let keys = loras.map {
                    EncoderVariants.Key.LoRA(
                        serial: $0.entry.serial, strength: $0.strength(for: role))
                }
                var numbers: [Int] = []
                for (place, row) in prompt.rows.enumerated() {
                    let rowKey = RowKey(encoder: encoder, loras: keys, row: row, state: state)
                    if let known = positions[rowKey] {
                        numbers.append(known)
                        continue
                    }
                    guard rows.count < ConditioningRows.limit else {
                        throw WireFault(
                            .tooLarge,
                            "expected at most \(ConditioningRows.limit) rows of tokens, "
                                + "found more", field: placed.field)
                    }
                    let hasEmbeddings = row.tokens == nil
                    let wanted = WeightsKey(
                        encoder: encoder, loras: keys, hasEmbeddings: hasEmbeddings)
                    let number = weights[wanted] ?? needed.count
                    if number == needed.count {
                        weights[wanted] = number
                        needed.append(
                            Weights(
                                encoder: encoder, loras: loras,
                                hasEmbeddings: hasEmbeddings))
                    }
                    positions[rowKey] = rows.count
                    numbers.append(rows.count)
                    rows.append(
                        Row(
                            encoder: encoder, weights: number, row: row, state: state,
                            emptyKey: prompt.compiled.isEmpty(row: place)
                                ? encoders.emptyRowKey(
                                    encoder, loras: keys, row: row, state: state) : nil))
                }
                own.append(numbers)
            }
            places.append(own)
        }
        self.encoders = encoders
        self.rows = rows
        self.needed = needed
        self.places = places
        made = Slots(count: needed.count)
        results = Slots(count: rows.count)
        var open: [Int] = []
        for (index, row) in rows.enumerated() {
            if let key = row.emptyKey, let known = encoders.variants.emptyRows.value(key) {
                results[index] = .success(known)
            } else {
                open.append(index)
            }
        }
        self.open = open.sorted {
            let (left, right) = (rows[$0], rows[$1])
            return (left.encoder, left.weights, left.state, $0)
                < (right.encoder, right.weights, right.state, $1)
        }
    }

    /// Makes the weights, each an item: a LoRA is merged into a whole tower.
    var weights: WorkPlan.Stage {
        WorkPlan.Stage(
            itemCount: needed.count,
            bytes: { item in
                let wanted = needed[item]
                return encoders.variantBytes(
                    wanted.encoder, loras: wanted.loras, hasEmbeddings: wanted.hasEmbeddings)
            },
            run: { (item: Int, _) in
                let wanted = needed[item]
                made[item] = Result { () throws(WireFault) in
                    try encoders.variant(
                        wanted.encoder, loras: wanted.loras, hasEmbeddings: wanted.hasEmbeddings)
                }
            })
    }

    /// Runs the rows that have no result; after the weights have been made.
    ///
    /// - Throws: why weights could not be made.
    func stages() throws(WireFault) -> [WorkPlan.Stage] {
        var variants: [EncoderVariants.Variant] = []
        for index in needed.indices {
            guard let variant = try made[index]?.get() else {
                throw WireFault(.internal, "an encoder's weights were not made")
            }
            variants.append(variant)
        }
        var works: [(work: any GroupWork, items: Range<Int>)] = []
        var start = 0
        while start < open.count {
            let first = rows[open[start]]
            let end =
                open[start...].firstIndex {
                    rows[$0].weights != first.weights || rows[$0].state != first.state
                } ?? open.count
            works.append((work(first, variants[first.weights]), start..<end))
            start = end
        }
        return [WorkPlan.Stage(works)]
    }

    /// Runs rows like the first, with the same weights and up to the same layer; items are numbers in
    /// `open`.
    private func work(
        _ first: Row, _ variant: EncoderVariants.Variant
    ) -> TowerWork<Input, EncodedRow> {
        let recipe = encoders.settings.recipe
        let entry = encoders.entries[first.encoder]
        let state = first.state
        let encoder = variant.encoder
        return TowerWork(
            key: GroupKey(
                encoder.tower, .rows(recipe: recipe.name, encoder: first.encoder, state: state)),
            groupSize: encoder.tower.preferredGroup,
            take: { item in
                let row = rows[open[item]].row
                return Input(
                    tokens: row.entries.map { variant.token($0) }, endIndex: row.endIndex,
                    hidden: row.hiddenPositions)
            },
            give: { item, result in
                let row = open[item]
                results[row] = result.mapError { WireFault($0) }
                if let key = rows[row].emptyKey, case .success(let encoded) = result {
                    encoders.variants.emptyRows.insert(encoded, bytes: encoded.bytes, for: key)
                }
            },
            compute: { rows, worker throws(EncoderError) in
                try entry.recipe.encode(
                    rows: rows.map(\.tokens), endIndices: rows.map(\.endIndex),
                    hiding: rows.map(\.hidden), state: state,
                    wantsHidden: recipe.hasHiddenStates, encoder: encoder,
                    workspace: worker.workspace(for: encoder.tower)
                ).map { row in
                    Result { () throws(EncoderError) in
                        try ConditioningRows.check(row)
                        return row
                    }
                }
            })
    }

    /// What a prompt's rows came to in one encoder.
    ///
    /// - Parameter field: what a fault names.
    func encoded(
        _ prompt: Int, encoder: Int, field: String
    ) throws(WireFault) -> [EncodedRow] {
        var encoded: [EncodedRow] = []
        for place in places[prompt][encoder] {
            guard let result = results[place] else {
                throw WireFault(.internal, "a row of tokens was not run")
            }
            do throws(WireFault) {
                encoded.append(try result.get())
            } catch {
                var fault = error
                fault.field = fault.field ?? field
                throw fault
            }
        }
        return encoded
    }

    /// Checks what came out of a tower, before weights are applied to it.
    private static func check(_ row: EncodedRow) throws(EncoderError) {
        try ResultCheck.finite(row.hidden, from: .text, named: "hidden states")
        if let pooled = row.pooled {
            try ResultCheck.embedding(pooled, from: .text, named: "a pooled vector")
        }
    }
}

extension EncoderVariants.Variant {
    /// The id of an entry: textual inversions stand behind the vocabulary.
    fileprivate func token(_ entry: TokenEntry) -> Int32 {
        switch entry {
        case .token(let token): token
        case .embedding(let name, let vector): Int32((firstTokens[name] ?? 0) + vector)
        }
    }
}
