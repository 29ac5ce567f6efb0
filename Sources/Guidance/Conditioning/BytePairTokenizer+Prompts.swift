public import Encoders
public import Prompts

extension BytePairTokenizer: PromptTokenizer {
    public func text(_ text: String, behind count: Int) -> String {
        // The tokenizer knows where in the cleaned text its tokens begin. A context of at least two
        // positions is all that it asks for.
        let cut = try? tokenize(text, contextLength: count + 2, overflow: .truncate)
        return cut?.droppedText ?? text
    }

    public func makePieceEncoder() -> any PromptPieceEncoder { PieceEncoder(self) }
}

extension PieceEncoder: PromptPieceEncoder {}
