/// What a progress bar shows at one moment.
package struct ProgressLine: Equatable, Sendable {
    package let label: String
    package let done: Int
    /// `nil` when nobody knows.
    package let total: Int?
    /// Since the work began, in nanoseconds.
    package let elapsed: UInt64

    package init(label: String, done: Int, total: Int?, elapsed: UInt64) {
        self.label = label
        self.done = done
        self.total = total
        self.elapsed = elapsed
    }

    /// Work that ends within this time shows nothing.
    package static let quietTime: UInt64 = 2_000_000_000

    /// One line of at most `width` characters: bar, count, rate and remaining time; empty as long
    /// as the work is short.
    package func text(width: Int) -> String {
        guard elapsed >= ProgressLine.quietTime else { return "" }
        let seconds = Double(elapsed) / 1e9
        guard let total, total > 0 else {
            return String("\(label) \(ProgressLine.duration(seconds))".prefix(width))
        }
        let fraction = min(Double(done) / Double(total), 1)
        let rate = Double(done) / seconds
        var facts = " \(done)/\(total)"
        if done > 0 {
            facts += "  \(Numbers.fixed(rate, rate < 10 ? 1 : 0))/s"
            facts += "  \(ProgressLine.duration(Double(total - done) / rate)) left"
        } else {
            facts += "  \(ProgressLine.duration(seconds))"
        }
        let cells = min(width - label.count - 1 - facts.count - 2, 40)
        guard cells >= 8 else { return String("\(label)\(facts)".prefix(width)) }
        let filled = Int(fraction * Double(cells))
        let bar =
            String(repeating: "█", count: filled) + String(repeating: "░", count: cells - filled)
        return "\(label) \(bar)\(facts)"
    }

    /// `8 s`, `2:05`, `1:02:05`.
    package static func duration(_ seconds: Double) -> String {
        guard seconds.isFinite, seconds < 1e9 else { return "?" }
        let whole = Int(max(seconds, 0).rounded(.up))
        guard whole >= 60 else { return "\(whole) s" }
        func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
        let (hours, minutes, rest) = (whole / 3600, whole / 60 % 60, whole % 60)
        return hours > 0 ? "\(hours):\(two(minutes)):\(two(rest))" : "\(minutes):\(two(rest))"
    }
}
