internal import CKernels

/// A picture whose pixels' channels lie side by side, within a border of zeros one pixel wide, in
/// memory that somebody else owns.
///
/// Valid while its ``PlaneBuffer`` lives and has not lent its memory anew.
package struct Plane {
    let base: UnsafeMutableRawPointer
    package let height: Int
    package let width: Int
    /// Numbers a pixel.
    package let channels: Int
    let element: Element

    var kernel: gk_plane {
        gk_plane(
            base: base, height: height, width: width, channels: channels, element: element.rawValue)
    }

    /// Writes planar values [values.count / (height · width), height, width]; the channels behind
    /// them become zeros.
    package func copy(fromPlanar values: UnsafeBufferPointer<Float>) {
        let area = height * width
        let count = values.count / area
        precondition(values.count == count * area && count <= channels, "a picture of another size")
        withUnsafeTemporaryAllocation(of: Float.self, capacity: channels) { pixel in
            pixel.initialize(repeating: 0)
            for y in 0..<height {
                for x in 0..<width {
                    for channel in 0..<count {
                        pixel[channel] = values[channel * area + y * width + x]
                    }
                    write(pixel, at: y, x)
                }
            }
        }
    }

    /// Reads `planes` channels into planar values [planes, height, width].
    package func copy(toPlanar values: UnsafeMutableBufferPointer<Float>, planes: Int) {
        let area = height * width
        precondition(values.count == planes * area && planes <= channels, "another size")
        for y in 0..<height {
            for x in 0..<width {
                let start = pixel(y, x)
                for channel in 0..<planes {
                    values[channel * area + y * width + x] = read(start, channel)
                }
            }
        }
    }

    private func pixel(_ y: Int, _ x: Int) -> UnsafeMutableRawPointer {
        base + ((y + 1) * (width + 2) + x + 1) * channels * element.bytes
    }

    private func read(_ pixel: UnsafeMutableRawPointer, _ channel: Int) -> Float {
        switch element {
        case .bf16:
            Float(
                bitPattern: UInt32(pixel.load(fromByteOffset: channel * 2, as: UInt16.self)) << 16)
        default: pixel.load(fromByteOffset: channel * 4, as: Float.self)
        }
    }

    private func write(_ values: UnsafeMutableBufferPointer<Float>, at y: Int, _ x: Int) {
        guard let start = values.baseAddress else { return }
        let target = pixel(y, x)
        if element == .bf16 {
            gk_narrow_bf16(start, target.assumingMemoryBound(to: UInt16.self), channels)
        } else {
            target.copyMemory(from: start, byteCount: channels * 4)
        }
    }
}

/// Memory for one picture at a time, of any size up to the one it was made for.
package final class PlaneBuffer {
    private let memory: UnsafeMutableRawPointer
    /// What was asked for.
    package let bytes: Int
    private let element: Element

    package init(height: Int, width: Int, channels: Int, element: Element) {
        bytes = gk_plane_bytes(height, width, channels, element.rawValue)
        self.element = element
        // Vectors may read up to a cache line behind the last number.
        memory = .allocate(byteCount: bytes + 64, alignment: 64)
        memory.initializeMemory(as: UInt8.self, repeating: 0, count: bytes + 64)
    }

    deinit { memory.deallocate() }

    /// The memory as a picture of this size with a border of zeros; its pixels are what was there.
    package func lend(height: Int, width: Int, channels: Int) -> Plane {
        precondition(
            gk_plane_bytes(height, width, channels, element.rawValue) <= bytes,
            "a picture that does not fit")
        let plane = Plane(
            base: memory, height: height, width: width, channels: channels, element: element)
        withUnsafePointer(to: plane.kernel) { gk_clear_border($0) }
        return plane
    }
}

/// A bit a value of a picture: whether a rectifier let it pass.
package final class SignBuffer {
    let words: UnsafeMutablePointer<UInt16>
    package let bytes: Int

    package init(height: Int, width: Int, channels: Int) {
        let count = height * width * ((channels + 15) / 16)
        bytes = count * 2
        words = .allocate(capacity: max(count, 1))
        words.initialize(repeating: 0, count: max(count, 1))
    }

    deinit { words.deallocate() }
}
