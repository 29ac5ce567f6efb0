/// What happens to a prompt with more tokens than one chunk holds, by its wire name.
public enum LongPromptPolicy: String, Sendable, CaseIterable {
    /// Refuse it, naming the text that does not fit.
    case error
    /// Keep the first tokens of each section (`BREAK` separates sections), and report the rest.
    case truncate
    /// Go on in further chunks, by the rules of the dialect.
    case chunk
}

/// Makes rows of tokens of prompts in one dialect, for one text tower.
///
/// - `a1111`: a chunk is full at `contextLength − 2` entries; when its last comma is among the last
///   20 of them, what follows that comma moves to the next chunk. `BREAK` ends a chunk.
///   (`modules/sd_hijack_clip.py`, `tokenize_line`.)
/// - `comfy`: a piece of fewer than 8 tokens that does not fit moves whole to the next chunk; longer
///   ones are cut. (`comfy/sd1_clip.py`, `tokenize_with_weights`; a piece is a stretch of text of
///   one weight.)
/// - `compel`: chunks end behind sentences, else phrases, else words.
/// - `plain`: chunks are filled one after the other.
///
/// All vectors of a textual inversion are in one chunk; when they are cut off, then together.
public struct PromptCompiler: Sendable {
    public let syntax: PromptSyntax
    public let longPrompts: LongPromptPolicy
    /// The number of vectors of each textual inversion, by name.
    public var embeddings: [String: Int] { reader.embeddings }

    private let tokenizer: any PromptTokenizer
    private let layout: RowLayout
    private let reader: ContentReader
    private let names: NameSearch
    private let comma: Int32?
    private let wantsPooled: Bool

    /// - Parameters:
    ///   - contextLength: positions of the text tower, at least 3; 77 for CLIP.
    ///   - padToken: what follows the end token, by the recipe; the tokenizer's when nil.
    ///   - embeddings: the number of vectors of each textual inversion that the tower has, by name.
    ///     A1111 finds a name as a word of the text, ComfyUI behind `embedding:`, the other dialects
    ///     between `<` and `>`, which a name may have already; there `<name>_1` is one vector alone.
    ///   - foreignNames: textual inversions that exist, but have no vectors for the tower.
    ///   - wantsPooled: whether pooled vectors are wanted. Without them compel's row for the pooled
    ///     vector is left out.
    /// - Throws: `PromptError.contextLength`.
    public init(
        syntax: PromptSyntax, tokenizer: any PromptTokenizer, contextLength: Int = 77,
        padToken: Int32? = nil, longPrompts: LongPromptPolicy = .error,
        embeddings: [String: Int] = [:], foreignNames: [String] = [], wantsPooled: Bool = true
    ) throws(PromptError) {
        guard contextLength >= 3 else { throw .contextLength(contextLength) }
        self.syntax = syntax
        self.longPrompts = longPrompts
        self.tokenizer = tokenizer
        self.wantsPooled = wantsPooled
        layout = RowLayout(
            length: contextLength, start: tokenizer.startToken, end: tokenizer.endToken,
            pad: padToken ?? tokenizer.padToken)
        reader = ContentReader(
            syntax: syntax, tokenizer: tokenizer, embeddings: embeddings)
        names = NameSearch(syntax: syntax, usable: embeddings.keys.sorted(), foreign: foreignNames)
        comma = tokenizer.encode(",").first
    }

    /// Reads a prompt and makes rows of it.
    ///
    /// - Parameters:
    ///   - steps: how many steps the sampler takes; only A1111's schedules need it.
    ///   - isNegative: whether it is the negative prompt, in which A1111 knows no `AND` and no LoRA.
    ///   - emphasis: what becomes of weights.
    /// - Throws: the errors of `PromptProgram`, and of `compile(_:)`.
    public func compile(
        _ prompt: String, steps: Int? = nil, isNegative: Bool = false,
        emphasis: Emphasis = .original
    ) throws(PromptError) -> CompiledPrompt {
        try compile(
            PromptProgram(
                prompt, syntax: syntax, steps: steps, isNegative: isNegative, emphasis: emphasis))
    }

    /// Makes rows of a prompt that has been read, which towers with several tokenizers can share.
    ///
    /// - Precondition: the program is in the compiler's dialect.
    /// - Throws: `PromptError.tooLong` when `longPrompts` is `.error` and a text does not fit, and
    ///   `.embedding` when it names a textual inversion that fits into no chunk.
    public func compile(_ program: PromptProgram) throws(PromptError) -> CompiledPrompt {
        precondition(program.syntax == syntax, "a program in the compiler's dialect")
        var state = State(encoder: tokenizer.makePieceEncoder())
        var conditionings: [PromptConditioning] = []
        for composition in program.compositions {
            conditionings.append(
                try conditioning(composition, emphasis: program.emphasis, &state))
        }
        let emptyRow = layout.row([])
        let needsEmpty =
            syntax == .comfy || syntax == .compel
            ? conditionings.contains(where: \.isWeighted) : false
        return CompiledPrompt(
            program: program, conditionings: conditionings, rows: state.rows,
            emptyRow: emptyRow, ignoredText: state.unknown, unusedNames: state.unusedNames,
            needsEmptyRow: needsEmpty)
    }

    /// What the texts of a prompt share.
    private struct State {
        var encoder: any PromptPieceEncoder
        var rows: [TokenRow] = []
        var indices: [TokenRow: Int] = [:]
        var runs: [String: [ContentRun]] = [:]
        var unknown: [String] = []
        var unusedNames: [UnusedName] = []

        mutating func index(of row: TokenRow) -> Int {
            if let index = indices[row] { return index }
            indices[row] = rows.count
            rows.append(row)
            return rows.count - 1
        }
    }

    private func runs(
        of text: String, _ state: inout State
    ) throws(PromptError) -> [ContentRun] {
        if let runs = state.runs[text] { return runs }
        let (runs, unknown) = reader.runs(of: text, &state.encoder)
        if !embeddings.isEmpty { try checkVectors(of: runs) }
        state.runs[text] = runs
        state.unknown += unknown
        for name in names.unused(in: runs, unknown) where !state.unusedNames.contains(name) {
            state.unusedNames.append(name)
        }
        return runs
    }

    private func checkVectors(of runs: [ContentRun]) throws(PromptError) {
        for unit in runs.lazy.flatMap(\.units) {
            guard case .embedding(let name, let vectors, _) = unit else { continue }
            guard (1...layout.capacity).contains(vectors) else {
                throw .embedding(name: name, vectors: vectors, limit: layout.capacity)
            }
        }
    }

    private func conditioning(
        _ composition: PromptProgram.Composition, emphasis: Emphasis, _ state: inout State
    ) throws(PromptError) -> PromptConditioning {
        var result = PromptConditioning(syntax: syntax, emphasis: emphasis)
        for term in composition.terms {
            var texts: [PromptConditioning.Text] = []
            for blended in term.blend {
                let content = try content(of: blended.pieces, &state)
                result.droppedTokens += content.droppedTokens
                result.droppedText += content.droppedText
                let first = result.chunks.count
                for chunk in content.chunks {
                    result.chunks.append(
                        TokenChunk(
                            row: state.index(of: layout.row(chunk)),
                            weights: layout.weights(chunk), contentCount: chunk.count))
                }
                let chunks = first..<result.chunks.count
                let variants = content.hidden.map { hidden in
                    PromptConditioning.Variant(
                        factor: hidden.factor,
                        rows: chunks.map { chunk in
                            let row = result.chunks[chunk].row
                            guard let positions = hidden.positions[chunk - first] else {
                                return row
                            }
                            return state.index(of: state.rows[row].hiding(positions))
                        })
                }
                texts.append(.init(factor: blended.factor, chunks: chunks, variants: variants))
            }
            result.terms.append(.init(weight: Float(term.weight), texts: texts))
        }
        if wantsPooled, let text = composition.pooledText {
            let units = try runs(of: text, &state).flatMap(\.units)
            let kept = units.prefix(keptCount(of: units, room: layout.capacity))
            var entries: [WeightedEntry] = []
            for unit in kept { unit.append(to: &entries, weight: 1) }
            result.pooledRow = state.index(of: layout.row(entries))
        } else {
            result.pooledRow = result.chunks[0].row
        }
        return result
    }

    // MARK: Content

    /// A text cut into chunks.
    private struct Content {
        var chunks: [[WeightedEntry]] = []
        /// compel's fragments of weights below 1: with what factor the text without one counts, and
        /// the positions that the fragment hides, by chunk.
        var hidden: [(factor: Float, positions: [Int: Range<Int>])] = []
        var droppedTokens = 0
        var droppedText: [String] = []

        mutating func drop(_ run: ContentRun, after kept: Int, _ tokenizer: any PromptTokenizer) {
            guard kept < run.units.count else { return }
            droppedTokens += run.units[kept...].reduce(0) { $0 + $1.count }
            droppedText.append(run.text(after: kept, tokenizer))
        }
    }

    private func content(
        of pieces: [PromptPiece], _ state: inout State
    ) throws(PromptError) -> Content {
        var result = Content()
        var fragments: [(units: [ContentUnit], full: Int, weight: Double)] = []
        var builder = ChunkBuilder(syntax: syntax, capacity: layout.capacity, comma: comma)
        var room = layout.capacity
        for piece in pieces {
            guard case .text(let text, let weight) = piece else {
                builder.closeChunk()
                room = layout.capacity
                continue
            }
            var fragment: [ContentUnit] = []
            var full = 0
            for run in try runs(of: text, &state) {
                var kept = run.units.count
                if longPrompts != .chunk {
                    kept = keptCount(of: run.units, room: room)
                    room -= run.units.prefix(kept).reduce(0) { $0 + $1.count }
                    if kept < run.units.count { room = 0 }
                }
                result.drop(run, after: kept, tokenizer)
                full += run.units.reduce(0) { $0 + $1.count }
                if syntax == .compel {
                    fragment += run.units.prefix(kept)
                } else {
                    builder.append(run.units.prefix(kept), weight: Float(weight))
                }
            }
            fragments.append((fragment, full, weight))
        }
        if syntax == .compel {
            split(fragments, into: &result)
        } else {
            result.chunks = builder.finish()
        }
        if longPrompts == .error, result.droppedTokens > 0 {
            let count = result.chunks.reduce(0) { $0 + $1.count } + result.droppedTokens
            throw .tooLong(
                tokens: count + 2, limit: layout.length,
                excess: result.droppedText.joined(separator: " "))
        }
        return result
    }

    private func keptCount(of units: [ContentUnit], room: Int) -> Int {
        var room = room
        return units.firstIndex { unit in
            room -= unit.count
            return room < 0
        } ?? units.count
    }

    /// compel's chunks, and what its fragments of weights below 1 hide.
    private func split(
        _ fragments: [(units: [ContentUnit], full: Int, weight: Double)],
        into result: inout Content
    ) {
        let units = fragments.flatMap(\.units)
        let sizes =
            longPrompts == .chunk
            ? CompelChunks(capacity: layout.capacity, tokenizer: tokenizer).sizes(of: units)
            : [units.count]
        var entries: [WeightedEntry] = []
        for fragment in fragments {
            for unit in fragment.units {
                unit.append(to: &entries, weight: Float(fragment.weight))
            }
        }
        // Where each content entry stands in the rows laid end to end.
        var places: [Int] = []
        var start = 0
        var unit = 0
        for (chunk, size) in sizes.enumerated() {
            let count = units[unit..<unit + size].reduce(0) { $0 + $1.count }
            places += (0..<count).map { chunk * layout.length + 1 + $0 }
            result.chunks.append(Array(entries[start..<start + count]))
            start += count
            unit += size
        }
        var first = 0
        for fragment in fragments {
            let count = fragment.units.reduce(0) { $0 + $1.count }
            defer { first += count }
            guard fragment.weight < 1, count > 0 else { continue }
            var last = places[first + count - 1]
            // A fragment that is cut off hides the end token too, unless it is too long by itself.
            if first > 0, first + min(fragment.full, layout.capacity) > places.count,
                longPrompts != .chunk
            {
                last = layout.length - 1
            }
            result.hidden.append(
                (Self.lerpFactor(fragment.weight), hiddenPositions(places[first]...last)))
        }
    }

    /// Positions by chunk. The first and the last position of chunks stay when there are several.
    private func hiddenPositions(_ range: ClosedRange<Int>) -> [Int: Range<Int>] {
        let length = layout.length
        let kept = longPrompts == .chunk ? 1 : 0
        var positions: [Int: Range<Int>] = [:]
        for chunk in range.lowerBound / length...range.upperBound / length {
            let first = max(range.lowerBound - chunk * length, kept)
            let end = min(range.upperBound + 1 - chunk * length, length - kept)
            if first < end { positions[chunk] = first..<end }
        }
        return positions
    }
}
