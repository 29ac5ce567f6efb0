import CKernels

/// a·b/255, rounded, for bytes (exact for every pair; Pillow's MULDIV255).
@inline(__always)
func multiply255(_ a: UInt8, _ b: UInt8) -> UInt8 {
    let product = UInt32(a) * UInt32(b) + 128
    return UInt8(truncatingIfNeeded: (product >> 8 + product) >> 8)
}

extension Raster {
    /// Colour multiplied by alpha, the last channel of 2 or 4 (modes La and RGBa).
    package var premultiplied: Raster {
        guard channels == 4 else { return mapped { multiply255($0, $1) } }
        let pixels = width * height
        let product = [UInt8](unsafeUninitializedCapacity: bytes.count) { output, count in
            bytes.withUnsafeBufferPointer {
                gk_premultiply($0.baseAddress, pixels, output.baseAddress)
            }
            count = bytes.count
        }
        return Raster(width: width, height: height, channels: 4, bytes: product)
    }

    /// The inverse of `premultiplied`, as far as eight bits allow; clipped, truncated.
    package var unpremultiplied: Raster {
        mapped { color, alpha in
            alpha == 0 || alpha == 255
                ? color : UInt8(min(255, 255 * UInt32(color) / UInt32(alpha)))
        }
    }

    @inline(__always)
    private func mapped(_ body: (UInt8, UInt8) -> UInt8) -> Raster {
        var result = self
        let (channels, pixels) = (self.channels, width * height)
        result.bytes.withUnsafeMutableBufferPointer { buffer in
            for pixel in 0..<pixels {
                let start = pixel * channels
                let alpha = buffer[start + channels - 1]
                for channel in 0..<channels - 1 {
                    buffer[start + channel] = body(buffer[start + channel], alpha)
                }
            }
        }
        return result
    }
}

extension DecodedImage {
    /// What `image.convert("RGB")` gives in Pillow, as one channel where all three are equal:
    /// alpha and transparent colours are dropped, sixteen-bit grey clips at 255.
    var opaque: Raster {
        switch mode {
        case .bilevel, .grey:
            return Raster(width: width, height: height, channels: 1, bytes: bytes)
        case .grey16:
            return Raster(
                width: width, height: height, channels: 1, bytes: Self.clipped(grey16: bytes))
        case .greyAlpha:
            return Raster(width: width, height: height, channels: 1, bytes: each(2) { $0[0] })
        case .rgb:
            return Raster(width: width, height: height, channels: 3, bytes: bytes)
        case .rgba:
            let raster = Raster(width: width, height: height, channels: 4, bytes: bytes)
            return Raster(width: width, height: height, channels: 3, bytes: raster.rgb)
        case .palette:
            return Raster(
                width: width, height: height, channels: 3,
                bytes: looked(up: palette?.rgba ?? [], overWhite: false))
        }
    }

    /// The image laid over white, as one channel where all three are equal: what the reference
    /// library's conversion to RGB does with alpha, transparent palettes and transparent colours.
    var overWhite: Raster {
        switch mode {
        case .bilevel, .grey, .grey16:
            var raster = opaque
            if let key = transparentColor?.first {
                raster.bytes.withUnsafeMutableBufferPointer { buffer in
                    for index in buffer.indices where buffer[index] == key { buffer[index] = 255 }
                }
            }
            return raster
        case .greyAlpha:
            return Raster(
                width: width, height: height, channels: 1,
                bytes: each(2) { Self.overWhite($0[0], alpha: $0[1]) })
        case .rgb:
            guard let key = transparentColor, key.count == 3 else { return opaque }
            var raster = opaque
            raster.bytes.withUnsafeMutableBufferPointer { buffer in
                for start in stride(from: 0, to: buffer.count, by: 3)
                where buffer[start] == key[0] && buffer[start + 1] == key[1]
                    && buffer[start + 2] == key[2]
                {
                    buffer[start] = 255
                    buffer[start + 1] = 255
                    buffer[start + 2] = 255
                }
            }
            return raster
        case .rgba:
            let pixels = width * height
            let flat = [UInt8](unsafeUninitializedCapacity: pixels * 3) { output, count in
                bytes.withUnsafeBufferPointer {
                    gk_over_white($0.baseAddress, pixels, output.baseAddress)
                }
                count = pixels * 3
            }
            return Raster(width: width, height: height, channels: 3, bytes: flat)
        case .palette:
            return Raster(
                width: width, height: height, channels: 3,
                bytes: looked(
                    up: palette?.rgba ?? [], overWhite: palette?.hasTransparency ?? false))
        }
    }

    /// Compositing over opaque white needs no division: the distance from white shrinks with
    /// alpha. Equal to Pillow's `alpha_composite` for all 65,536 pairs.
    @inline(__always)
    private static func overWhite(_ color: UInt8, alpha: UInt8) -> UInt8 {
        255 - multiply255(255 - color, alpha)
    }

    static func clipped(grey16 bytes: [UInt8]) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: bytes.count / 2) { output, count in
            bytes.withUnsafeBufferPointer { input in
                for pixel in 0..<input.count / 2 {
                    output[pixel] = input[2 * pixel + 1] == 0 ? input[2 * pixel] : 255
                }
            }
            count = bytes.count / 2
        }
    }

    /// One byte from each pixel of `size` bytes.
    private func each(_ size: Int, _ body: (UnsafePointer<UInt8>) -> UInt8) -> [UInt8] {
        let pixels = bytes.count / size
        return [UInt8](unsafeUninitializedCapacity: pixels) { output, count in
            bytes.withUnsafeBufferPointer { input in
                guard let base = input.baseAddress else { return }
                for pixel in 0..<pixels { output[pixel] = body(base + pixel * size) }
                count = pixels
            }
        }
    }

    /// Palette colours, optionally over white; 256 entries were made sure of by `Palette`.
    private func looked(up rgba: [UInt8], overWhite: Bool) -> [UInt8] {
        var table = [UInt8](repeating: 0, count: 768)
        for entry in 0..<min(256, rgba.count / 4) {
            for channel in 0..<3 {
                let color = rgba[4 * entry + channel]
                table[3 * entry + channel] =
                    overWhite ? Self.overWhite(color, alpha: rgba[4 * entry + 3]) : color
            }
        }
        return [UInt8](unsafeUninitializedCapacity: bytes.count * 3) { output, count in
            bytes.withUnsafeBufferPointer { input in
                for pixel in 0..<input.count {
                    let entry = 3 * Int(input[pixel])
                    output[3 * pixel] = table[entry]
                    output[3 * pixel + 1] = table[entry + 1]
                    output[3 * pixel + 2] = table[entry + 2]
                }
            }
            count = bytes.count * 3
        }
    }
}
