/// CLIP's tokenizer: byte-level byte-pair encoding with an end-of-word mark.
///
/// Token for token what transformers' `CLIPTokenizer` or open_clip's `SimpleTokenizer` make of a
/// text, by the policy `cleaning`. Immutable, so any number of threads may use one. Time grows
/// almost linearly with the text, also for a single word of a million letters.
public final class BytePairTokenizer: Sendable {
    /// How text is cleaned and split.
    public let cleaning: TextCleaning
    /// Where the vocabulary comes from, for messages.
    public let path: String
    /// One more than the greatest token.
    public let vocabularySize: Int
    public let startToken: Int32
    public let endToken: Int32
    /// What shorter rows of a batch are filled up with; Stable Diffusion 2's is 0, not the end token.
    public let padToken: Int32

    let vocabulary: Vocabulary
    /// Added tokens that are looked for in the raw text, and in the cleaned one.
    let rawTokens: AddedTokenMatcher
    let cleanedTokens: AddedTokenMatcher
    /// The tokens that follow an added token, for words that stand for several.
    let continuations: [Int32: [Int32]]

    /// - Parameter expandsWords: whether an added token `name` stands for `name_1`, `name_2` and so on
    ///   as well, as far as they are added tokens too.
    init(
        vocabulary: Vocabulary, special: SpecialTokens, added: [AddedToken],
        cleaning: TextCleaning, path: String, expandsWords: Bool = false
    ) {
        self.vocabulary = vocabulary
        self.cleaning = cleaning
        self.path = path
        vocabularySize = vocabulary.size
        startToken = special.start
        endToken = special.end
        padToken = special.pad
        // open_clip knows no tokens beside its own two, which are found while splitting.
        let added = cleaning == .transformers ? added : []
        self.added = added
        self.special = special
        continuations = expandsWords ? Self.continuations(of: added) : [:]
        rawTokens = AddedTokenMatcher(added.filter { !$0.isNormalized }, clean: { $0 })
        cleanedTokens = AddedTokenMatcher(
            added.filter(\.isNormalized), clean: TransformersCleaning.cleaned)
    }

    private let added: [AddedToken]
    private let special: SpecialTokens

    /// This tokenizer, with words that a pipeline's textual inversions stand under taken for all of
    /// their vectors: those of `name` are the added tokens `name`, `name_1`, `name_2` and so on
    /// (diffusers' `maybe_convert_prompt`). Itself when there is no such word.
    package func expandingWords() -> BytePairTokenizer {
        guard continuations.isEmpty, !Self.continuations(of: added).isEmpty else { return self }
        return BytePairTokenizer(
            vocabulary: vocabulary, special: special, added: added, cleaning: cleaning, path: path,
            expandsWords: true)
    }

    private static func continuations(of added: [AddedToken]) -> [Int32: [Int32]] {
        let tokens = Dictionary(
            added.map { ($0.content, $0.token) }, uniquingKeysWith: { first, _ in first })
        var all: [Int32: [Int32]] = [:]
        for word in added {
            var number = 1
            while let next = tokens["\(word.content)_\(number)"] {
                all[word.token, default: []].append(next)
                number += 1
            }
        }
        return all
    }

    /// The content tokens of a text, without start and end.
    public func encode(_ text: String) -> [Int32] {
        encodedText([UInt32](scalarsOf: text)).tokens
    }

    /// The tokens of a text between start and end token, at most `contextLength` of them.
    ///
    /// - Parameters:
    ///   - contextLength: positions of the text tower, at least 2; 77 for CLIP.
    ///   - overflow: what happens to a text with more content tokens than `contextLength − 2`.
    /// - Throws: `EncoderError.promptTooLong` for such a text when `overflow` is `.error`, with the
    ///   number of tokens (start and end included) and the piece of the cleaned text that does not
    ///   fit; `EncoderError.unsupported` for a context length below 2.
    public func tokenize(
        _ text: String, contextLength: Int, overflow: Overflow
    ) throws(EncoderError) -> TokenizedText {
        guard contextLength >= 2 else {
            throw .unsupported(
                what: "context length", expected: "at least 2, for the start and the end token",
                actual: "\(contextLength)")
        }
        let encoded = encodedText([UInt32](scalarsOf: text))
        let kept = min(encoded.tokens.count, contextLength - 2)
        let excess = encoded.text(fromToken: kept)
        if kept < encoded.tokens.count, overflow == .error {
            throw .promptTooLong(
                tokens: encoded.tokens.count + 2, limit: contextLength, excess: excess)
        }
        let tokens = [startToken] + encoded.tokens.prefix(kept) + [endToken]
        return TokenizedText(
            tokens: tokens, droppedTokens: encoded.tokens.count - kept, droppedText: excess,
            endIndex: tokens.dropFirst().firstIndex(of: endToken) ?? tokens.count - 1)
    }

    /// The text of tokens, as the policy's library decodes them: words end in a space, bytes that
    /// are no UTF-8 become U+FFFD. transformers also cuts white space at both ends.
    ///
    /// - Parameters:
    ///   - tokens: tokens that the vocabulary lacks are left out.
    ///   - skippingSpecial: leave out the start and the end token.
    public func decode(_ tokens: [Int32], skippingSpecial: Bool = false) -> String {
        let kept =
            skippingSpecial ? tokens.filter { $0 != startToken && $0 != endToken } : tokens
        let text = String(decoding: vocabulary.bytes(of: kept), as: UTF8.self)
        let scalars = [UInt32](scalarsOf: text)
        let mark = Vocabulary.endOfWord.map { UInt32($0) }
        var out: [UInt32] = []
        out.reserveCapacity(scalars.count)
        var index = 0
        while index < scalars.count {
            if scalars[index] == mark[0], scalars[index...].starts(with: mark) {
                out.append(0x20)
                index += mark.count
            } else {
                out.append(scalars[index])
                index += 1
            }
        }
        guard cleaning == .transformers else { return out.text }
        func isSpace(_ scalar: UInt32) -> Bool {
            UnicodeTables.shared[scalar].contains(.space)
        }
        var trimmed = out.drop(while: isSpace)
        while let last = trimmed.last, isSpace(last) { trimmed.removeLast() }
        return trimmed.text
    }
}

/// The tokens that stand for something else than text.
struct SpecialTokens: Sendable {
    var start: Int32
    var end: Int32
    var pad: Int32
}
