import Encoders

/// What is unusual about a request's images without being wrong, collected while they are read.
struct ImageRemarks: Sendable {
    private enum Remark: Sendable {
        /// Least and greatest value of a float image, far beyond 0…1.
        case range(ClosedRange<Float>)
        /// The EXIF orientation of a file.
        case orientation(Int)
    }

    /// Estimates of a picture reach somewhat beyond 0…1 while it is made. An image in −1…1 or 0…255 was
    /// meant otherwise.
    private static let usual: ClosedRange<Float> = -0.5...1.5

    private let remarks: Slots<Remark>

    init(count: Int) { remarks = Slots(count: count) }

    /// Looks at a float image.
    func look(at values: [Float], item: Int) {
        let (low, high) = (ImageRemarks.usual.lowerBound, ImageRemarks.usual.upperBound)
        let isUsual = values.withUnsafeBufferPointer { values in
            values.reduce(true) { $0 && ($1 >= low) && ($1 <= high) }
        }
        guard !isUsual, let least = values.min(), let greatest = values.max() else { return }
        remarks[item] = .range(least...greatest)
    }

    /// Looks at an encoded file.
    func look(at file: UnsafeRawBufferPointer, item: Int) {
        if let orientation = PNGOrientation.read(file) { remarks[item] = .orientation(orientation) }
    }

    /// At most one warning a kind, after all images were read.
    var warnings: [String] {
        var far: (items: [Int], least: Float, greatest: Float) = ([], .infinity, -.infinity)
        var turned: (items: [Int], kinds: Set<Int>) = ([], [])
        for (item, remark) in remarks.all.enumerated() {
            switch remark {
            case .range(let range):
                far.items.append(item)
                far.least = min(far.least, range.lowerBound)
                far.greatest = max(far.greatest, range.upperBound)
            case .orientation(let orientation):
                turned.items.append(item)
                turned.kinds.insert(orientation)
            case nil: break
            }
        }
        var warnings: [String] = []
        if !far.items.isEmpty {
            warnings.append(
                "\(ImageRemarks.names(far.items)): float pixels from "
                    + "\(ImageRemarks.rounded(far.least)) to "
                    + "\(ImageRemarks.rounded(far.greatest)), far beyond 0…1; they were used as "
                    + "they are")
        }
        if !turned.items.isEmpty {
            let kinds = turned.kinds.sorted().map { "\($0)" }.joined(separator: ", ")
            warnings.append(
                "\(ImageRemarks.names(turned.items)): EXIF orientation \(kinds); the pixels were used "
                    + "as they are stored, not turned")
        }
        return warnings
    }

    /// To three places: enough to see what was meant.
    private static func rounded(_ value: Float) -> Float { (value * 1000).rounded() / 1000 }

    /// `image 3`, `images 0, 2`, and so on up to eight of them.
    private static func names(_ items: [Int]) -> String {
        let shown = items.prefix(8).map { "\($0)" }.joined(separator: ", ")
        let more = items.count > 8 ? " and \(items.count - 8) more" : ""
        return "\(items.count == 1 ? "image" : "images") \(shown)\(more)"
    }
}
