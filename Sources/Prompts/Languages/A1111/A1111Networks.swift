/// A1111's `<lora:name:0.8>` (`modules/extra_networks.py`, `extra_networks_lora.py` of its built-in
/// LoRA extension): an instruction in the prompt, no text.
///
/// The first number is the strength on the text encoders, `te=` names it too; the second, or `unet=`, is
/// that on the sampler's own network, which without one is the same.
enum A1111Networks {
    struct Result {
        /// The prompt without its instructions.
        var text = SourceText()
        var loras: [PromptProgram.LoRA] = []
        /// Instructions of other kinds.
        var ignored: [String] = []
    }

    /// - Throws: `PromptError.syntax` for a strength that is no finite number.
    static func read(_ prompt: SourceText) throws(PromptError) -> Result {
        guard prompt.scalars.contains("<") else { return Result(text: prompt) }
        var result = Result()
        result.text.end = prompt.end
        let scalars = prompt.scalars
        var start = 0
        var index = 0
        while index < scalars.count {
            guard scalars[index] == "<", let tag = tag(prompt, at: index) else {
                index += 1
                continue
            }
            result.text.append(start..<index, of: prompt)
            if scalars[index + 1..<tag.colon].elementsEqual("lora".unicodeScalars)
                || scalars[index + 1..<tag.colon].elementsEqual("lyco".unicodeScalars)
            {
                result.loras.append(try lora(prompt, tag.colon + 1..<tag.end - 1, at: index))
            } else {
                result.ignored.append(scalars[index..<tag.end].text)
            }
            start = tag.end
            index = tag.end
        }
        result.text.append(start..<scalars.count, of: prompt)
        return result
    }

    /// `<word:…>`: where the colon is, and the place behind.
    private static func tag(_ prompt: SourceText, at start: Int) -> (colon: Int, end: Int)? {
        let scalars = prompt.scalars
        guard let colon = scalars[(start + 1)...].firstIndex(where: { !$0.isPythonWord }),
            colon > start + 1, scalars[colon] == ":",
            let end = scalars[(colon + 1)...].firstIndex(of: ">"), end > colon + 1
        else { return nil }
        return (colon, end + 1)
    }

    private static func lora(
        _ prompt: SourceText, _ range: Range<Int>, at start: Int
    ) throws(PromptError) -> PromptProgram.LoRA {
        let items = prompt.scalars[range].split(separator: ":", omittingEmptySubsequences: false)
        let positional = items.filter { !$0.contains("=") }
        guard let name = positional.first, !name.isEmpty else {
            throw .syntax(offset: prompt.offset(of: start), message: "expected a LoRA's name")
        }
        /// The strength that the last `name=` or else the place among the numbers gives.
        func strength(_ label: String, _ place: Int) throws(PromptError) -> Double? {
            let named = items.last { $0.starts(with: label.unicodeScalars) }
            let listed = positional.count > place ? positional[place] : nil
            guard let spelled = named?.dropFirst(label.unicodeScalars.count) ?? listed else {
                return nil
            }
            guard let number = PythonNumber.parse(spelled), Float(number).isFinite else {
                throw .syntax(
                    offset: prompt.offset(of: spelled.startIndex),
                    message: "expected a LoRA's strength, found \(spelled.text)")
            }
            return number
        }
        let weight = try strength("te=", 1) ?? 1
        return .init(
            name: name.text, weight: weight, unetWeight: try strength("unet=", 2) ?? weight,
            offset: prompt.offset(of: start))
    }
}
