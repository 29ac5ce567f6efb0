import Encoders
import Glibc
import Guidance
import Testing

/// Timings of decode and preprocessing, beside which Tests/Generators/image_speed.py puts
/// Pillow's. Runs only with GUIDANCED_IMAGE_BENCHMARK set to a folder of PNG files.
@Suite(.enabled(if: getenv("GUIDANCED_IMAGE_BENCHMARK") != nil))
struct ImageBenchmark {
    private func milliseconds(_ body: () throws -> Void) rethrows -> Double {
        var best = Double.infinity
        for _ in 0..<15 {
            let clock = ContinuousClock()
            let duration = try clock.measure { try body() }
            best = min(best, duration / .milliseconds(1))
        }
        return best
    }

    @Test func timings() throws {
        let folder = getenv("GUIDANCED_IMAGE_BENCHMARK").map { String(cString: $0) } ?? ""
        for name in [
            "photo-1024-rgb", "photo-1024-rgba", "photo-512-rgb", "noise-1024-rgb",
            "smooth-1024-rgb", "flat-1024-rgb", "gradient-1024-rgb",
        ] {
            let file = try #require(fopen("\(folder)/\(name).png", "rb"))
            defer { fclose(file) }
            var bytes = [UInt8](repeating: 0, count: 16 << 20)
            bytes.removeLast(bytes.count - fread(&bytes, 1, bytes.count, file))
            let image = try PNGDecoder.decode(bytes)
            let decode = try milliseconds { _ = try PNGDecoder.decode(bytes) }
            let transformers = ImagePreprocessing(profile: .transformersPIL, size: 224)
            let openCLIP = ImagePreprocessing(profile: .openCLIP, size: 224)
            let first = try milliseconds { _ = try transformers.bytes(image) }
            let second = try milliseconds { _ = try openCLIP.bytes(image) }
            let map = try ResampleMap(
                transformers, height: image.height, width: image.width)
            let planes = image.unitPlanes(.transformersPIL)
            let pixels = map.forward(planes)
            let forward = milliseconds { _ = map.forward(planes) }
            let backward = milliseconds { _ = map.pullback(pixels) }
            print(
                "\(name): decode \(decode) ms, transformers \(first) ms, open_clip \(second) ms,",
                "float forward \(forward) ms, backward \(backward) ms")
        }
    }
}
