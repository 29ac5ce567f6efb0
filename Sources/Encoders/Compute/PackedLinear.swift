internal import CKernels
import Synchronization

/// Weights packed once, multiplied by our own kernels with the epilogue fused.
struct PackedLinear: LinearBackend {
    private let forwardMatrix: PackedMatrix
    /// The transpose; `nil` for a layer without gradients.
    private let backward: Transpose?
    private let bias: [Float]?
    let element: Element

    init(
        weight: [Float], bias: ArraySlice<Float>?, inputs: Int, outputs: Int, firstOutput: Int,
        element: Element, gradients: GradientWeights
    ) {
        self.element = element
        self.bias = bias.map(Array.init)
        forwardMatrix = PackedMatrix(
            weight, firstOutput: firstOutput, inputs: inputs, outputs: outputs, transposed: false,
            element: element)
        switch gradients {
        case .eager:
            backward = Transpose(
                PackedMatrix(
                    weight, firstOutput: firstOutput, inputs: inputs, outputs: outputs,
                    transposed: true, element: element))
        case .lazy: backward = Transpose(nil)
        case .off: backward = nil
        }
    }

    var bytes: Int { forwardMatrix.bytes + gradientBytes + (bias?.count ?? 0) * 4 }
    var gradientBytes: Int { backward?.bytes ?? 0 }

    func forward(_ x: Operand, into y: Block, _ epilogue: Epilogue, seat: ComputeSeat) {
        if let bias {
            bias.withUnsafeBufferPointer { bias in
                multiply(forwardMatrix, x, y, bias.baseAddress, epilogue, seat)
            }
        } else {
            multiply(forwardMatrix, x, y, nil, epilogue, seat)
        }
    }

    func inputGradient(_ dy: Operand, into dx: Block, _ epilogue: Epilogue, seat: ComputeSeat) {
        guard let backward else {
            preconditionFailure("a gradient of weights that were packed without")
        }
        multiply(backward.matrix(of: forwardMatrix), dy, dx, nil, epilogue, seat)
    }

    private func multiply(
        _ matrix: PackedMatrix, _ x: Operand, _ y: Block, _ bias: UnsafePointer<Float>?,
        _ epilogue: Epilogue, _ seat: ComputeSeat
    ) {
        var e = gk_epilogue()
        e.bias = bias
        e.y = y.view
        switch epilogue {
        case .none: break
        case .adding(let residual):
            e.residual = UnsafePointer(residual.base)
            e.residual_stride = residual.stride
        case .activating(let activation, let kept):
            e.activation = activation.kernel
            if let kept { e.kept = kept.view }
        case .slope(let activation, let x):
            e.slope = x.view
            e.slope_activation = activation.kernel
        }
        matrix.multiply(x, &e, seat: seat)
    }
}

/// A layer's transpose, packed when it is first wanted.
///
/// Whoever wants it meanwhile waits for this one matrix; the forward pass never does.
private final class Transpose: Sendable {
    private let packed: Mutex<PackedMatrix?>

    init(_ packed: PackedMatrix?) { self.packed = Mutex(packed) }

    var bytes: Int { packed.withLock { $0?.bytes ?? 0 } }

    /// The transpose of a matrix that was packed for the forward pass.
    func matrix(of forward: PackedMatrix) -> PackedMatrix {
        packed.withLock { packed in
            if let packed { return packed }
            let made = PackedMatrix(transposing: forward)
            packed = made
            return made
        }
    }
}

extension Activation {
    var kernel: Int32 {
        switch self {
        case .quickGELU: Int32(GK_QUICK_GELU)
        case .gelu: Int32(GK_GELU)
        case .geluTanh: Int32(GK_GELU_TANH)
        }
    }
}
