/// Tokens of a text, with the way back to the text.
struct EncodedText {
    var tokens: [Int32] = []
    /// Bytes of the cleaned text that each token stands for.
    var lengths: [Int32] = []
    /// The cleaned text.
    var cleaned: [UInt32] = []
    /// The first token and the first scalar of each word.
    var words: [(token: Int, scalar: Int)] = []

    /// The cleaned text from the first scalar of which a byte belongs to `token` or a later one.
    func text(fromToken token: Int) -> String {
        guard token < tokens.count else { return "" }
        // The last word that begins at or before the token.
        var (low, high) = (0, words.count)
        while high - low > 1 {
            let middle = (low + high) / 2
            if words[middle].token <= token { low = middle } else { high = middle }
        }
        let word = words[low]
        var bytes = lengths[word.token..<token].reduce(0) { $0 + Int($1) }
        var scalar = word.scalar
        while scalar < cleaned.count, utf8Length(cleaned[scalar]) <= bytes {
            bytes -= utf8Length(cleaned[scalar])
            scalar += 1
        }
        return cleaned[scalar...].text
    }
}

extension EncodedText {
    /// Makes room for another text in the same memory.
    mutating func removeAll() {
        tokens.removeAll(keepingCapacity: true)
        lengths.removeAll(keepingCapacity: true)
        cleaned.removeAll(keepingCapacity: true)
        words.removeAll(keepingCapacity: true)
    }
}

extension BytePairTokenizer {
    func encodedText(_ text: [UInt32]) -> EncodedText {
        var encoded = EncodedText()
        var merger = makeMerger()
        append(text: text, to: &encoded, &merger)
        return encoded
    }

    func makeMerger() -> WordMerger {
        WordMerger(
            table: vocabulary.merges,
            order: cleaning == .transformers ? .lowestFirst : .passByPass)
    }

    /// Cleans and appends a whole text.
    func append(text: [UInt32], to encoded: inout EncodedText, _ merger: inout WordMerger) {
        switch cleaning {
        case .openCLIP:
            append(OpenCLIPCleaning.cleaned(text), to: &encoded, &merger)
        case .transformers:
            guard rawTokens.mayOccur(in: text) else {
                return appendCleaned(TransformersCleaning.cleaned(text), to: &encoded, &merger)
            }
            for part in rawTokens.split(text) {
                switch part {
                case .token(let token, let range):
                    append(token, spelled: text[range], to: &encoded)
                case .text(let range):
                    appendCleaned(
                        TransformersCleaning.cleaned(Array(text[range])), to: &encoded, &merger)
                }
            }
        }
    }

    /// Appends a piece of cleaned text in which there may be added tokens.
    private func appendCleaned(
        _ text: [UInt32], to encoded: inout EncodedText, _ merger: inout WordMerger
    ) {
        guard cleanedTokens.mayOccur(in: text) else {
            return append(text, to: &encoded, &merger)
        }
        for part in cleanedTokens.split(text) {
            switch part {
            case .token(let token, let range): append(token, spelled: text[range], to: &encoded)
            case .text(let range): append(Array(text[range]), to: &encoded, &merger)
            }
        }
    }

    private func append(
        _ token: Int32, spelled spelling: ArraySlice<UInt32>, to encoded: inout EncodedText
    ) {
        encoded.words.append((encoded.tokens.count, encoded.cleaned.count))
        let all = [token] + (continuations[token] ?? [])
        encoded.tokens += all
        // Who cuts within a word has all of it among what is left.
        encoded.lengths += [Int32](repeating: 0, count: all.count - 1)
        encoded.lengths.append(Int32(clamping: spelling.reduce(0) { $0 + utf8Length($1) }))
        encoded.cleaned += spelling
    }

    private func append(
        _ text: [UInt32], to encoded: inout EncodedText, _ merger: inout WordMerger
    ) {
        let base = encoded.cleaned.count
        WordSplitter(cleaning: cleaning).forEachWord(in: text) { word in
            switch word.special {
            case .start: append(startToken, at: base + word.range.lowerBound)
            case .end: append(endToken, at: base + word.range.lowerBound)
            case nil:
                merger.takeWord(text[word.range], of: vocabulary)
                encoded.words.append((encoded.tokens.count, base + word.range.lowerBound))
                merger.finishWord(into: &encoded.tokens, lengths: &encoded.lengths)
            }

            func append(_ token: Int32, at scalar: Int) {
                encoded.words.append((encoded.tokens.count, scalar))
                encoded.tokens.append(token)
                // Special tokens are spelled in ASCII.
                encoded.lengths.append(Int32(word.range.count))
            }
        }
        encoded.cleaned += text
    }
}
