public import JSON

extension ImagePreprocessing {
    /// Sides beyond this are a damaged configuration, not a model.
    static let maximumSize = 8192

    /// Reads transformers' `preprocessor_config.json`, or a `processor_config.json` that holds the
    /// same members under `image_processor`. Missing and null members take the defaults of the
    /// processor class that the file names (CLIP's when it names none).
    ///
    /// - Parameter path: for messages.
    /// - Throws: `EncoderError.malformed` when this is no JSON; `EncoderError.configuration` for a
    ///   member of the wrong kind or out of range.
    public static func transformers(
        _ bytes: UnsafeRawBufferPointer, path: String
    ) throws(EncoderError) -> ImagePreprocessing {
        try transformers(parse(bytes, path: path), path: path)
    }

    /// As above, from an array.
    public static func transformers(
        _ bytes: [UInt8], path: String
    ) throws(EncoderError) -> ImagePreprocessing {
        try transformers(parse(bytes, path: path), path: path)
    }

    /// As above, from a parsed document.
    public static func transformers(
        _ document: JSONValue, path: String
    ) throws(EncoderError) -> ImagePreprocessing {
        var fields = try PreprocessingFields(document, path: path, prefix: "")
        if let nested = fields.object["image_processor"], nested != .null {
            fields = try PreprocessingFields(nested, path: path, prefix: "image_processor.")
        }
        var result = ImagePreprocessing(profile: .transformersPIL, size: 224)
        try result.takeClass(fields)

        if try fields.bool("do_resize") == false {
            result.resize = .none
        } else if let size = try fields.size("size") {
            result.resize = size.resize
        }
        if let code = try fields.integer("resample", in: 0...7) {
            guard let interpolation = Interpolation(rawValue: code) else {
                throw fields.fault("resample", "0 to 5 (Pillow's filters)", "\(code)")
            }
            result.interpolation = interpolation
        }
        if let crops = try fields.bool("do_center_crop") { result.centerCrops = crops }
        try result.takeOutputSize(fields)
        if let converts = try fields.bool("do_convert_rgb") { result.convertsToRGB = converts }

        if try fields.bool("do_rescale") == false {
            result.rescaleFactor = nil
        } else if let factor = try fields.number("rescale_factor") {
            guard factor > 0, Float(factor) > 0, Float(factor).isFinite else {
                throw fields.fault("rescale_factor", "a positive number", "\(factor)")
            }
            result.rescaleFactor = factor
        }
        if try fields.bool("do_normalize") == false {
            (result.mean, result.std) = (nil, nil)
        } else {
            if let mean = try fields.triple("image_mean") { result.mean = mean }
            if let std = try fields.divisors("image_std") { result.std = std }
        }
        return result
    }

    /// Defaults that depend on the class the file was written by.
    private mutating func takeClass(_ fields: PreprocessingFields) throws(EncoderError) {
        let member =
            fields.object["image_processor_type"] == nil
            ? "feature_extractor_type" : "image_processor_type"
        let name = try fields.string(member)
        // "Fast" always meant torchvision. A name without an ending meant Pillow until transformers 5,
        // and most files are older: it stays Pillow.
        if name?.hasSuffix("Fast") == true { profile = .transformersTorchvision }
        switch name {
        case nil, "CLIPImageProcessor", "CLIPImageProcessorFast", "CLIPImageProcessorPil",
            "CLIPFeatureExtractor":
            break
        case "SiglipImageProcessor", "SiglipImageProcessorFast", "SiglipImageProcessorPil":
            resize = .squash(height: 224, width: 224)
            centerCrops = false
            mean = [0.5, 0.5, 0.5]
            std = [0.5, 0.5, 0.5]
        case let other?:
            throw fields.fault(
                member, "CLIPImageProcessor or SiglipImageProcessor", "\"\(other)\"")
        }
    }

    /// The size of the result: the crop's, or without a crop what the resize leaves.
    private mutating func takeOutputSize(_ fields: PreprocessingFields) throws(EncoderError) {
        if centerCrops {
            guard let crop = try fields.size("crop_size") else { return }
            switch crop {
            case .edge(let edge): (height, width) = (edge, edge)
            case .exact(let newHeight, let newWidth): (height, width) = (newHeight, newWidth)
            case .shortest, .bounded:
                throw fields.fault(
                    "crop_size", "an integer or {\"height\", \"width\"}", "a shortest edge")
            }
            return
        }
        switch resize {
        case .squash(let newHeight, let newWidth), .cover(let newHeight, let newWidth),
            .fit(let newHeight, let newWidth):
            (height, width) = (newHeight, newWidth)
        case .shortest(let edge), .bounded(let edge, _):
            (height, width) = (edge, edge)
        case .none:
            // Images must come in at the model's size already.
            switch try fields.size("size") {
            case .edge(let edge), .shortest(let edge), .bounded(let edge, _):
                (height, width) = (edge, edge)
            case .exact(let newHeight, let newWidth): (height, width) = (newHeight, newWidth)
            case nil: break
            }
        }
    }

    /// Reads open_clip's `open_clip_config.json`: the image size of `model_cfg.vision_cfg` and
    /// what `preprocess_cfg` says.
    ///
    /// - Parameter path: for messages.
    /// - Throws: as `transformers(_:path:)`.
    public static func openCLIP(
        _ bytes: UnsafeRawBufferPointer, path: String
    ) throws(EncoderError) -> ImagePreprocessing {
        try openCLIP(parse(bytes, path: path), path: path)
    }

    /// As above, from an array.
    public static func openCLIP(
        _ bytes: [UInt8], path: String
    ) throws(EncoderError) -> ImagePreprocessing {
        try openCLIP(parse(bytes, path: path), path: path)
    }

    /// As above, from a parsed document.
    public static func openCLIP(
        _ document: JSONValue, path: String
    ) throws(EncoderError) -> ImagePreprocessing {
        let root = try PreprocessingFields(document, path: path, prefix: "")
        // A bare model configuration has the members of `model_cfg` at its root.
        let model = try root.nested("model_cfg") ?? root
        let vision = try model.nested("vision_cfg")
        let fields = try root.nested("preprocess_cfg")

        var result = ImagePreprocessing(profile: .openCLIP, size: 224)
        // The model's size wins over the one in preprocess_cfg, as in open_clip's factory.
        let modelSize = try vision?.size("image_size")
        let ownSize = try fields?.size("size")
        if let size = modelSize ?? ownSize {
            switch size {
            case .edge(let edge): (result.height, result.width) = (edge, edge)
            case .exact(let height, let width): (result.height, result.width) = (height, width)
            case .shortest, .bounded:
                throw root.fault("image_size", "an integer or [height, width]", "an object")
            }
        }
        let (height, width) = (result.height, result.width)
        switch try fields?.string("resize_mode") ?? "shortest" {
        case "shortest":
            result.resize =
                height == width
                ? .shortest(edge: height) : .cover(height: height, width: width)
        case "squash":
            result.resize = .squash(height: height, width: width)
            result.centerCrops = false
        case "longest":
            result.resize = .fit(height: height, width: width)
            result.fill = UInt8(try fields?.integer("fill_color", in: 0...255) ?? 0)
        case let other:
            throw root.fault(
                "preprocess_cfg.resize_mode", "\"shortest\", \"squash\" or \"longest\"",
                "\"\(other)\"")
        }
        switch try fields?.string("interpolation") ?? "bicubic" {
        case "bicubic", "random": break
        case "bilinear":
            // open_clip passes no interpolation on when it resizes to cover: bicubic it stays.
            if height == width || result.resize != .cover(height: height, width: width) {
                result.interpolation = .bilinear
            }
        case let other:
            throw root.fault(
                "preprocess_cfg.interpolation", "\"bicubic\" or \"bilinear\"", "\"\(other)\"")
        }
        if let mode = try fields?.string("mode"), mode != "RGB" {
            throw root.fault("preprocess_cfg.mode", "\"RGB\"", "\"\(mode)\"")
        }
        if let mean = try fields?.triple("mean") { result.mean = mean }
        if let std = try fields?.divisors("std") { result.std = std }
        return result
    }

    private static func parse(
        _ bytes: UnsafeRawBufferPointer, path: String
    ) throws(EncoderError) -> JSONValue {
        do throws(JSONError) {
            return try JSONValue.parse(file: Array(bytes))
        } catch {
            throw .malformed(
                path: path, offset: error.offset, expected: error.expected, actual: error.actual)
        }
    }

    private static func parse(
        _ bytes: [UInt8], path: String
    ) throws(EncoderError) -> JSONValue {
        do throws(JSONError) {
            return try JSONValue.parse(file: bytes)
        } catch {
            throw .malformed(
                path: path, offset: error.offset, expected: error.expected, actual: error.actual)
        }
    }
}
