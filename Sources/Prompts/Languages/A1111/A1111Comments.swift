/// A1111's comments (`modules/processing_scripts/comments.py`): `#` hides the rest of its line, in both
/// prompts, whatever stands before it.
enum A1111Comments {
    /// The prompt without its comments, each of which leaves a new line, and the comments.
    static func strip(_ prompt: SourceText) -> (text: SourceText, comments: [String]) {
        guard prompt.scalars.contains("#") else { return (prompt, []) }
        let scalars = prompt.scalars
        var text = SourceText()
        text.end = prompt.end
        var comments: [String] = []
        var start = 0
        // Whether the new line before a whole line's comment went with it; the next line's stays then.
        var isLineTaken = false
        while let mark = scalars[start...].firstIndex(of: "#") {
            text.append(start..<mark, of: prompt)
            let end = scalars[mark...].firstIndex(of: "\n") ?? scalars.count
            comments.append(scalars[mark..<end].text)
            let isWholeLine =
                mark == 0 || scalars[mark - 1] == "\n" && !(isLineTaken && mark == start)
            if mark == 0 || !isWholeLine { text.append("\n", from: prompt.offset(of: mark)) }
            isLineTaken = isWholeLine
            start = min(end + 1, scalars.count)
        }
        text.append(start..<scalars.count, of: prompt)
        return (text, comments)
    }
}
