internal import CKernels
import System

/// What a machine's registers allow: the bound that products are measured against.
public enum MachinePeak {
    /// Operations a second (a multiply-add is two) of `threads` threads together, with the
    /// instructions that products in this precision use. Takes about half a second.
    public static func operationsPerSecond(_ precision: Precision, threads: Int) -> Double {
        let element = precision.weights.rawValue
        return onOtherThreads(max(threads, 1)) { gk_peak(element, 0.5) }.reduce(0, +)
    }
}
