extension TextConfiguration {
    /// Why a text tower that comes without tokenizer files has none: CLIP's own is for tables of its
    /// length alone.
    package var missingTokenizer: String {
        let clip = BytePairTokenizer.clip(cleaning: .transformers).vocabularySize
        return vocabularySize == clip
            ? "its file lists other tokens than CLIP's"
            : "its token table has \(vocabularySize) rows, CLIP's vocabulary \(clip) tokens"
    }
}

extension CLIPModel {
    /// Why the text tower has no tokenizer; `nil` when it has one, or there is no text tower.
    package var missingTokenizer: String? {
        tokenizer == nil ? configuration.text?.missingTokenizer : nil
    }
}
