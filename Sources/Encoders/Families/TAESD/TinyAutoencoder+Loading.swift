extension TinyAutoencoder {
    /// Reads the decoder, the encoder or both of a file or of a diffusers directory.
    ///
    /// - Parameter path: `taesd_decoder.pth`, `.safetensors`, or a directory with
    ///   `diffusion_pytorch_model.safetensors` (or `.bin`).
    /// - Throws: `EncoderError` naming the file or tensor that is missing or wrong.
    public static func load(
        path: String, precision: Precision = .f32
    ) throws(EncoderError) -> TinyAutoencoder {
        guard precision != .int8 else {
            throw .unsupported(
                what: "precision of \(path)", expected: "f32 or bf16 (convolutions have no bytes)",
                actual: precision.rawValue)
        }
        return try load(try open(path), element: precision == .bf16 ? .bf16 : .f32)
    }

    private static func open(_ path: String) throws(EncoderError) -> any TensorSource {
        if let bytes = try? MappedBytes.map(path: path) {
            return try TensorFile.open(bytes, path: path)
        }
        let files = try CheckpointFiles.directory(path)
        let names = ["diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin"]
        for name in names {
            if let bytes = try files.bytes(named: name) {
                return try TensorFile.open(bytes, path: files.path(of: name))
            }
        }
        throw .file(path: path, reason: "has no \(names.joined(separator: " or "))")
    }

    static func load(
        _ source: any TensorSource, element: Element
    ) throws(EncoderError) -> TinyAutoencoder {
        let names = Set(source.tensorNames)
        var decoder: (stack: ResidualStack, channels: Int)?
        var encoder: (stack: ResidualStack, channels: Int)?
        if names.contains("decoder.layers.0.weight") || names.contains("encoder.layers.0.weight") {
            // diffusers, whose decoder does not count the bound on latents as a layer.
            if names.contains("decoder.layers.0.weight") {
                decoder = try readDecoder(source, "decoder.layers.", first: 0, element)
            }
            if names.contains("encoder.layers.0.weight") {
                encoder = try readEncoder(source, "encoder.layers.", element)
            }
        } else if names.contains("1.weight"), names.contains("19.weight") {
            decoder = try readDecoder(source, "", first: 1, element)
        } else if names.contains("0.weight"), names.contains("14.weight") {
            encoder = try readEncoder(source, "", element)
        } else {
            throw .unsupported(
                what: source.path,
                expected:
                    "TAESD (decoder.layers.N…, or the layers 1 to 19 of a decoder or 0 to 14 of "
                    + "an encoder)",
                actual: names.isEmpty
                    ? "no tensors" : "\"\(names.min() ?? "")\" and \(names.count - 1) others")
        }
        if let decoder, let encoder, decoder.channels != encoder.channels {
            throw .unsupported(
                what: source.path, expected: "as many latent channels in both halves",
                actual: "\(decoder.channels) in the decoder, \(encoder.channels) in the encoder")
        }
        let channels = decoder?.channels ?? encoder?.channels ?? 0
        return TinyAutoencoder(
            path: source.path, latentChannels: channels,
            decoder: decoder.map {
                Decoder(
                    stack: $0.stack, latentChannels: channels, element: element, hasGradients: true)
            },
            encoder: encoder.map {
                Encoder(stack: $0.stack, latentChannels: channels, element: element)
            })
    }

    /// Conv, ReLU, then three times [3 blocks, an enlargement, conv without bias], a block, conv.
    private static func readDecoder(
        _ source: any TensorSource, _ prefix: String, first: Int, _ element: Element
    ) throws(EncoderError) -> (ResidualStack, Int) {
        var reader = LayerReader(source, prefix, element: element, gradients: true)
        let channels = try reader.inputChannels(of: first)
        // Of every picture between the first and the last convolution: 64 in what is published.
        let width = try reader.outputChannels(of: first)
        var layers = [
            ResidualStack.Layer.convolution(
                try reader.convolution(first, channels, width), rectified: true)
        ]
        var next = first + 2
        for stage in 0..<4 {
            for _ in 0..<(stage < 3 ? 3 : 1) {
                layers.append(try reader.block(next, width))
                next += 1
            }
            if stage < 3 {
                // The enlargement is a layer without weights.
                layers.append(
                    .convolution(
                        try reader.convolution(
                            next + 1, width, width, form: .doubling, hasBias: false),
                        rectified: false))
                next += 2
            }
        }
        layers.append(.convolution(try reader.convolution(next, width, 3), rectified: false))
        try reader.refuseRest()
        return (ResidualStack(layers: layers), channels)
    }

    /// Conv, a block, then three times [conv of every second pixel without bias, 3 blocks], conv.
    private static func readEncoder(
        _ source: any TensorSource, _ prefix: String, _ element: Element
    ) throws(EncoderError) -> (ResidualStack, Int) {
        var reader = LayerReader(source, prefix, element: element, gradients: false)
        let width = try reader.outputChannels(of: 0)
        var layers = [
            ResidualStack.Layer.convolution(try reader.convolution(0, 3, width), rectified: false),
            try reader.block(1, width),
        ]
        var next = 2
        for _ in 0..<3 {
            layers.append(
                .convolution(
                    try reader.convolution(next, width, width, form: .halving, hasBias: false),
                    rectified: false))
            for block in 1...3 { layers.append(try reader.block(next + block, width)) }
            next += 4
        }
        let channels = try reader.outputChannels(of: next)
        layers.append(.convolution(try reader.convolution(next, width, channels), rectified: false))
        try reader.refuseRest()
        return (ResidualStack(layers: layers), channels)
    }

    /// Takes layers out of a file by number, and keeps account of what was taken.
    private struct LayerReader {
        private var weights: WeightReader
        private let prefix: String
        private let element: Element
        private let gradients: Bool

        init(_ source: any TensorSource, _ prefix: String, element: Element, gradients: Bool) {
            weights = WeightReader(source)
            self.prefix = prefix
            self.element = element
            self.gradients = gradients
        }

        func inputChannels(of layer: Int) throws(EncoderError) -> Int {
            try channels(layer, dimension: 1)
        }

        func outputChannels(of layer: Int) throws(EncoderError) -> Int {
            try channels(layer, dimension: 0)
        }

        private func channels(_ layer: Int, dimension: Int) throws(EncoderError) -> Int {
            let name = "\(prefix)\(layer).weight"
            let shape = weights.source.shape(of: name) ?? []
            guard shape.count == 4, (1...256).contains(shape[dimension]) else {
                throw .tensor(
                    path: weights.source.path, name: name,
                    expected: "four dimensions, of which the first two from 1 to 256",
                    actual: "\(shape)")
            }
            return shape[dimension]
        }

        mutating func convolution(
            _ layer: Int, _ inputs: Int, _ outputs: Int, form: Convolution.Form = .same,
            hasBias: Bool = true
        ) throws(EncoderError) -> Convolution {
            try convolution("\(prefix)\(layer)", inputs, outputs, form: form, hasBias: hasBias)
        }

        private mutating func convolution(
            _ stem: String, _ inputs: Int, _ outputs: Int, form: Convolution.Form, hasBias: Bool
        ) throws(EncoderError) -> Convolution {
            Convolution(
                weight: try weights.take(stem + ".weight", [outputs, inputs, 3, 3]),
                bias: hasBias ? try weights.take(stem + ".bias", [outputs]) : nil, inputs: inputs,
                outputs: outputs, form: form, element: element, gradients: gradients)
        }

        mutating func block(
            _ layer: Int, _ width: Int
        ) throws(EncoderError) -> ResidualStack.Layer {
            var parts: [Convolution] = []
            for part in [0, 2, 4] {
                parts.append(
                    try convolution(
                        "\(prefix)\(layer).conv.\(part)", width, width, form: .same, hasBias: true))
            }
            return .block(parts[0], parts[1], parts[2])
        }

        /// Refuses tensors below the prefix that nothing asked for: another network.
        func refuseRest() throws(EncoderError) {
            let known = Set(weights.taken.map(\.name))
            for name in weights.source.tensorNames.sorted()
            where name.hasPrefix(prefix) && !known.contains(name) {
                throw .tensor(
                    path: weights.source.path, name: name, expected: "no such tensor in TAESD",
                    actual: "one of shape \(weights.source.shape(of: name) ?? [])")
            }
        }
    }
}
