package import ArgumentParser
import Encoders
package import Guidance
import IPC
import JSON

package struct GradientCommand: SessionCommand {
    package static let configuration = CommandConfiguration(
        commandName: "gradient",
        abstract: "Differentiate a guidance loss with respect to an image's pixels.",
        usage: """
            guidanced gradient IMAGE --prompt P... [--weight W...] [--loss cosine|spherical|logit] \
            --out grad.npy [--heatmap heat.png] [options]
            """,
        discussion: """
            The gradient is FP32 [3, height, width] for pixels in 0...1, at the image's own size; \
            stepping against it lowers the loss. With several prompts the loss is their weighted \
            mean; weights are 1 unless stated, and may be negative. The heat map shows the \
            gradient's length at each pixel over the image: bright where the score depends on it.

            Example:
              guidanced gradient cat.png --prompt "a cat" --out g.npy --heatmap heat.png
            """)

    @Argument(help: "A PNG file; - for standard input.", completion: .file(extensions: ["png"]))
    package var image: String

    @Option(name: .shortAndLong, help: "A prompt; may be repeated.")
    package var prompt: [String]

    @Option(
        name: .shortAndLong, parsing: .unconditionalSingleValue,
        help: ArgumentHelp("The weight of a prompt, one for each.", valueName: "w"))
    package var weight: [Double] = []

    @Option(help: "The loss.")
    package var loss: SteeringLoss = .cosine

    @Option(
        name: .shortAndLong,
        help: ArgumentHelp(
            "A NumPy file for the gradient; - for standard output.", valueName: "file"),
        completion: .file(extensions: ["npy"]))
    package var out: String?

    @Option(
        help: ArgumentHelp("A PNG file for a picture of it.", valueName: "file"),
        completion: .file(extensions: ["png"]))
    package var heatmap: String?

    @Option(help: "How to print loss and score.")
    package var format: DocumentFormat = .table

    @OptionGroup package var prompts: PromptOptions
    @OptionGroup package var connection: ConnectionOptions

    package init() {}

    package func validate() throws {
        if out == nil, heatmap == nil {
            throw ValidationError("Expected --out FILE, --heatmap FILE or both.")
        }
        if heatmap == "-", out == "-" {
            throw ValidationError("Expected only one of --out and --heatmap to be -.")
        }
        if !weight.isEmpty, weight.count != prompt.count {
            throw ValidationError(
                "--weight: expected \(prompt.count), one for each prompt, found \(weight.count).")
        }
        if let heatmap, heatmap != "-", !heatmap.lowercased().hasSuffix(".png") {
            throw ValidationError(
                "--heatmap: expected a file named *.png, found \(SettingRules.quoted(heatmap)).")
        }
        if let out, out.lowercased().hasSuffix(".png") {
            throw ValidationError(
                "--out: expected a file for the gradient's numbers, such as *.npy, found "
                    + "\(SettingRules.quoted(out)); --heatmap makes a picture.")
        }
        for value in weight where !value.isFinite {
            throw ValidationError("--weight: expected a finite number, found \(value).")
        }
    }

    package func prepare() throws {
        if let out { try OutputFile(out).checkWritable() }
        if let heatmap { try OutputFile(heatmap).checkWritable() }
    }

    package func open(_ console: Console) throws -> any Session { try connection.open(console) }

    package func execute(_ session: any Session, _ console: Console) throws -> CommandStatus {
        let file = try InputFile.read(image, limit: InputFile.largestImage)
        var params: JSONObject = [
            "prompts": .array(prompt.map { .string($0) }), "loss": .string(loss.rawValue),
            "long_prompts": .string(prompts.longPrompts.rawValue),
        ]
        if !weight.isEmpty { params["weights"] = .array(weight.map { .number($0) }) }
        let reply = try Progress.track("gradient", console: console) { _ in
            try session.call(
                op: "gradient", model: connection.requestModel, params: params,
                inputs: [Input(name: "image", bytes: file)])
        }
        for warning in reply.warnings { console.warn(warning) }
        if let fault = reply.items.first {
            let failure = ItemFailure(index: 0, name: image, error: fault.error)
            console.remark(failure.text)
            return CommandStatus(fault.error)
        }
        let gradient = try GradientCommand.read(reply)
        if let out {
            try OutputFile(out).write(
                NPY.encode(gradient.values, shape: [3, gradient.height, gradient.width]),
                isBinary: true, console: console)
        }
        if let heatmap {
            try OutputFile(heatmap).write(
                try HeatMap(gradient, over: file).png(), isBinary: true, console: console)
        }
        let text = try report(reply, gradient)
        if out == "-" || heatmap == "-" {
            try console.errors.write(Array(text.utf8))
        } else {
            try console.print(text)
        }
        return .success
    }

    private static func read(_ reply: Reply) throws(ReplyError) -> PixelMap {
        let (values, shape) = try reply.tensor("gradient")
        guard shape.count == 4, shape[0] == 1, shape[1] == 3 else {
            throw ReplyError("the gradient has shape \(shape), expected [1, 3, H, W]")
        }
        return PixelMap(values: values, height: shape[2], width: shape[3])
    }

    private func report(_ reply: Reply, _ gradient: PixelMap) throws -> String {
        guard let loss = try reply.tensor("loss").values.first,
            let score = try reply.tensor("score").values.first
        else { throw ReplyError("it has no loss or score") }
        let norm = gradient.norm
        switch format {
        case .table:
            var table = Table([
                Table.Column("image"), Table.Column("\(self.loss.rawValue) loss", .right),
                Table.Column("cosine", .right), Table.Column("gradient norm", .right),
                Table.Column("size", .right),
            ])
            table.append([
                image, Numbers.fixed(loss, 4), Numbers.fixed(score, 4), Numbers.fixed(norm, 4),
                "\(gradient.width) × \(gradient.height)",
            ])
            return table.text()
        case .json:
            return JSONValue.object([
                "model": reply.model.map { .string($0) } ?? .null,
                "fingerprint": reply.fingerprint.map { .string($0) } ?? .null,
                "path": .string(image), "prompts": .array(prompt.map { .string($0) }),
                "weights": .array(
                    (weight.isEmpty ? prompt.map { _ in 1 } : weight).map { .number($0) }),
                "loss_name": .string(self.loss.rawValue), "loss": Numbers.json(loss),
                "score": Numbers.json(score), "gradient_norm": .number(norm),
                "shape": [3, .integer(gradient.height), .integer(gradient.width)],
                "out": out.map { .string($0) } ?? .null,
                "heatmap": heatmap.map { .string($0) } ?? .null,
            ]).document()
        }
    }
}
