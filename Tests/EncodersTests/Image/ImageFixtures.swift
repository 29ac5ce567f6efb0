import Encoders
import Glibc
import JSON

/// What Tests/Generators/images.py wrote, and the images it draws from a seed.
enum ImageFixtures {
    static let folder: String = {
        let here = #filePath.split(separator: "/").dropLast(2).joined(separator: "/")
        return "/\(here)/Fixtures/image"
    }()

    struct Missing: Error {
        let path: String
    }

    static func bytes(_ name: String) throws -> [UInt8] {
        let path = "\(folder)/\(name)"
        guard let file = fopen(path, "rb") else { throw Missing(path: path) }
        defer { fclose(file) }
        var result: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = fread(&buffer, 1, buffer.count, file)
            if count == 0 { return result }
            result += buffer[..<count]
        }
    }

    /// The tab-separated rows of a table.
    static func table(_ name: String) throws -> [[String]] {
        String(decoding: try bytes(name), as: UTF8.self).split(separator: "\n").map {
            $0.split(separator: "\t").map(String.init)
        }
    }

    static func floats(_ name: String) throws -> [Float] {
        let bytes = try bytes(name)
        return (0..<bytes.count / 4).map { index in
            Float(
                bitPattern: (0..<4).reduce(0) { $0 | UInt32(bytes[4 * index + $1]) << (8 * $1) })
        }
    }

    /// Bytes that `noise` in the generator makes too.
    static func noise(_ count: Int, seed: Int) -> [UInt8] {
        (0..<count).map { index in
            var x = UInt32(truncatingIfNeeded: index) &* 0x9E37_79B1 &+ UInt32(seed)
            x ^= x >> 15
            x = x &* 0x85EB_CA77
            x ^= x >> 13
            x = x &* 0xC2B2_AE3D
            return UInt8(x >> 24)
        }
    }

    static func unit(_ count: Int, seed: Int) -> [Float] {
        noise(count, seed: seed).map { Float($0) / 255 }
    }

    /// The image that `synthetic` in the generator makes.
    static func synthetic(
        _ mode: DecodedImage.Mode, height: Int, width: Int, seed: Int
    ) -> DecodedImage {
        let count = height * width
        var palette: DecodedImage.Palette?
        var bytes: [UInt8]
        switch mode {
        case .bilevel:
            bytes = noise(count, seed: seed).map { $0 > 127 ? 255 : 0 }
        case .grey16:
            bytes = noise(2 * count, seed: seed)
            for pixel in 0..<count where bytes[2 * pixel + 1] <= 200 { bytes[2 * pixel + 1] = 0 }
        case .palette:
            bytes = noise(count, seed: seed).map { $0 % 61 }
            var alpha: [UInt8]?
            if seed % 3 == 1 {
                alpha = [255, 255, 255, 255, 255, 255, 255, 0]
            } else if seed % 3 == 2 {
                alpha = noise(40, seed: seed + 2)
            }
            palette = DecodedImage.Palette(rgb: noise(150, seed: seed + 1), alpha: alpha)
        case .grey, .greyAlpha, .rgb, .rgba:
            bytes = noise(count * mode.bytesPerPixel, seed: seed)
        }
        return DecodedImage(
            mode: mode, width: width, height: height, bytes: bytes, palette: palette)
    }

    /// What the generator's `configurations` names, written as the checkpoint would write it.
    static func configuration(_ name: String, size: Int) throws -> ImagePreprocessing {
        let larger = size + size / 3 + 1
        let parts = name.split(separator: "-", maxSplits: 1).map(String.init)
        let (profile, variant) = (parts[0], parts.count > 1 ? parts[1] : "bicubic")
        if profile == "comfy" {
            var preprocessing = ImagePreprocessing(profile: .transformersPIL, size: size)
            if variant == "squash" { preprocessing.resize = .squash(height: size, width: size) }
            return try preprocessing.adopting(.comfy)
        }
        if profile == "transformers" || profile == "torchvision" {
            let kind = profile == "torchvision" ? "Fast" : "Pil"
            let codes = [
                "nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3, "box": 4, "hamming": 5,
            ]
            let members =
                switch variant {
                case "padded":
                    """
                    "size": {"shortest_edge": \(size)},
                    "crop_size": {"height": \(larger), "width": \(larger + 3)}
                    """
                case "cropped":
                    """
                    "size": \(larger), "crop_size": \(size)
                    """
                case "squash":
                    """
                    "size": {"height": \(size), "width": \(larger)}, "do_center_crop": false
                    """
                case "bounded":
                    """
                    "size": {"shortest_edge": \(size), "longest_edge": \(size + size / 2)},
                    "crop_size": \(size)
                    """
                case "unresized": "\"do_resize\": false, \"crop_size\": \(size)"
                default:
                    """
                    "size": {"shortest_edge": \(size)}, "crop_size": \(size),
                    "resample": \(codes[variant] ?? -1)
                    """
                }
            return try .transformers(
                Array("{\"image_processor_type\": \"CLIPImageProcessor\(kind)\", \(members)}".utf8),
                path: "preprocessor_config.json")
        }
        let members =
            switch variant {
            case "bilinear", "cover": "\"interpolation\": \"bilinear\""
            case "squash": "\"resize_mode\": \"squash\""
            case "longest": "\"resize_mode\": \"longest\""
            case "longest-fill": "\"resize_mode\": \"longest\", \"fill_color\": 5"
            default: ""
            }
        let side = variant == "cover" ? "[\(size), \(larger)]" : "\(size)"
        return try .openCLIP(
            Array(
                """
                {"model_cfg": {"vision_cfg": {"image_size": \(side)}},
                 "preprocess_cfg": {\(members)}}
                """.utf8), path: "open_clip_config.json")
    }

    private static let crcTable: [UInt32] = (0..<256).map { index in
        (0..<8).reduce(UInt32(index)) { value, _ in
            value & 1 == 1 ? 0xEDB8_8320 ^ (value >> 1) : value >> 1
        }
    }

    /// CRC-32 as zlib and PNG have it.
    static func checksum(_ bytes: some Sequence<UInt8>) -> UInt32 {
        ~bytes.reduce(~0) { crcTable[Int(UInt8(truncatingIfNeeded: $0) ^ $1)] ^ ($0 >> 8) }
    }

    /// As the generator writes it: eight hexadecimal digits.
    static func digest(_ bytes: some Sequence<UInt8>) -> String {
        let text = String(checksum(bytes), radix: 16)
        return String(repeating: "0", count: 8 - text.count) + text
    }

    static func littleEndian(_ values: [Float]) -> [UInt8] {
        values.flatMap { value in (0..<4).map { UInt8(value.bitPattern >> (8 * $0) & 255) } }
    }

    /// A chunk with its length and checksum.
    static func chunk(_ kind: String, _ data: [UInt8]) -> [UInt8] {
        bigEndian(UInt32(data.count)) + Array(kind.utf8) + data
            + bigEndian(checksum(Array(kind.utf8) + data))
    }

    static func bigEndian(_ value: UInt32) -> [UInt8] {
        (0..<4).map { UInt8(truncatingIfNeeded: value >> (24 - 8 * $0)) }
    }

    /// A PNG's signature and IHDR.
    static func header(
        width: UInt32, height: UInt32, depth: UInt8 = 8, type: UInt8 = 2
    ) -> [UInt8] {
        [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]
            + chunk("IHDR", bigEndian(width) + bigEndian(height) + [depth, type, 0, 0, 0])
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): seeded, so that a failure can be had again.
struct ImageRandom: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
