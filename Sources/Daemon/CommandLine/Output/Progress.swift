import Glibc
import System

/// A progress bar on standard error, drawn by a thread of its own while the caller works: only on
/// a terminal, and only when the work takes longer than `ProgressLine.quietTime`.
package final class Progress: Sendable {
    private struct State {
        var done = 0
        var isFinished = false
        var isDrawn = false
    }

    private let label: String
    private let total: Int?
    private let started = monotonicNow()
    private let state = Monitor(State())
    private let sink: any ByteSink

    private static let eraseLine = "\r\u{1b}[2K"
    private static let interval: UInt64 = 200_000_000

    private init(label: String, total: Int?, sink: any ByteSink) {
        self.label = label
        self.total = total
        self.sink = sink
    }

    /// Runs `body` with a bar that it may advance; the bar is gone when this returns.
    package static func track<Result>(
        _ label: String, total: Int? = nil, console: Console,
        _ body: (_ advance: (Int) -> Void) throws -> Result
    ) rethrows -> Result {
        guard console.errors.isTerminal else { return try body { _ in } }
        let progress = Progress(label: label, total: total, sink: console.errors)
        let painter = SystemThread(name: "progress") { progress.paint() }
        defer {
            progress.state.update { $0.isFinished = true }
            painter.join()
        }
        return try body { count in progress.state.update { $0.done += count } }
    }

    /// Redraws until the work is finished, then erases the line.
    private func paint() {
        var next = started + ProgressLine.quietTime
        while true {
            let isFinished = state.wait(until: next) { $0.isFinished ? true : nil } ?? false
            if isFinished { break }
            next = monotonicNow() + Progress.interval
            let done = state.read { $0.done }
            let line = ProgressLine(
                label: label, done: done, total: total, elapsed: monotonicNow() - started)
            draw(Progress.eraseLine + line.text(width: terminalWidth() - 1))
            state.update { $0.isDrawn = true }
        }
        if state.read({ $0.isDrawn }) { draw(Progress.eraseLine) }
    }

    private func draw(_ text: String) { try? sink.write(Array(text.utf8)) }
}

/// The width of the terminal at standard error, in characters; 80 where it does not tell.
private func terminalWidth() -> Int {
    var size = winsize()
    guard ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 80 }
    return Int(size.ws_col)
}
