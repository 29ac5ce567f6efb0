internal import CKernels

/// Scaled dot-product attention over several heads, softmax(q·kᵀ/√d)·v, without its projections.
package struct Attention: Sendable {
    package let heads: Int
    package let headWidth: Int
    /// Whether a query sees only its own position and those before it.
    package let isCausal: Bool

    package init(width: Int, heads: Int, isCausal: Bool) {
        precondition(heads > 0 && width % heads == 0)
        self.heads = heads
        headWidth = width / heads
        self.isCausal = isCausal
    }

    /// Bytes of scratch memory that a thread needs, for sequences of up to `keys` keys.
    package func scratchBytes(element: Element, keys: Int, backward: Bool) -> Int {
        gk_attention_scratch(element.rawValue, headWidth, keys, backward ? 1 : 0)
    }

    /// out [queries, W] from q [queries, W] and kv [keys, 2W] (keys, then values).
    package func forward(
        q: Block, kv: Block, sequences: Sequences, into out: Block, scratch: AttentionScratch,
        seat: ComputeSeat = .alone
    ) {
        precondition(out.columns == width && out.element == q.element, "attention's output")
        withArguments(q: q, kv: kv, sequences) { arguments in
            gk_attention_forward(
                seat.pointer, &arguments, out.base, out.stride, scratch.memory, scratch.slotBytes)
        }
    }

    /// dq [queries, W] and dkv [keys, 2W] from dOut [queries, W]. Reads the forward's q and kv. The
    /// sequences must have no prefix, and attention no mask.
    package func backward(
        _ dOut: Block, q: Block, kv: Block, sequences: Sequences, dq: Block, dkv: Block,
        scratch: AttentionScratch, seat: ComputeSeat = .alone
    ) {
        precondition(!isCausal, "text has no backward")
        precondition(dOut.element == q.element && dOut.columns == width, "attention's gradient")
        precondition(dq.element == q.element && dkv.element == q.element, "attention's gradients")
        precondition(dq.columns == width && dkv.columns == 2 * width, "attention's gradients")
        let dk = dkv.columns(0..<width)
        let dv = dkv.columns(width..<2 * width)
        withArguments(q: q, kv: kv, sequences) { arguments in
            gk_attention_backward(
                seat.pointer, &arguments, dOut.base, dOut.stride, dq.base, dq.stride, dk.base,
                dv.base, dkv.stride, scratch.memory, scratch.slotBytes)
        }
    }

    private var width: Int { heads * headWidth }

    private func withArguments(
        q: Block, kv: Block, _ sequences: Sequences, _ body: (inout gk_attention) -> Void
    ) {
        precondition(q.columns == width && kv.columns == 2 * width, "attention's factors")
        precondition(q.element == kv.element && q.element != .s8, "attention's factors")
        precondition(sequences.queryRows <= q.rows && sequences.keyRows <= kv.rows, "sequences")
        var arguments = gk_attention(
            element: q.element.rawValue, causal: isCausal ? 1 : 0, heads: heads,
            head_width: headWidth, scale: 1 / Float(headWidth).squareRoot(), q: q.base,
            q_stride: q.stride, k: kv.base, v: kv.columns(width..<2 * width).base,
            kv_stride: kv.stride, sequences: sequences.start, count: sequences.count)
        body(&arguments)
    }
}

/// Where the sequences of a group lie among its rows; room for a fixed number, allocated once.
package final class Sequences {
    private let storage: UnsafeMutablePointer<gk_sequence>
    private let capacity: Int
    package private(set) var count = 0
    /// One past the highest row of queries, and of keys, that any sequence names.
    package private(set) var queryRows = 0
    package private(set) var keyRows = 0

    package init(capacity: Int) {
        self.capacity = max(capacity, 1)
        storage = .allocate(capacity: self.capacity)
    }

    deinit { storage.deallocate() }

    fileprivate var start: UnsafePointer<gk_sequence> { UnsafePointer(storage) }

    package func removeAll() {
        count = 0
        queryRows = 0
        keyRows = 0
    }

    /// Adds a sequence whose keys are the rows `prefix`, then `own`.
    ///
    /// - Parameters:
    ///   - queries: rows of q and of the output.
    ///   - position: of the first query among the keys.
    package func append(
        queries: Range<Int>, position: Int, prefix: Range<Int> = 0..<0, own: Range<Int>
    ) {
        precondition(count < capacity, "more sequences than there is room for")
        precondition(position + queries.count <= prefix.count + own.count, "queries without keys")
        storage[count] = gk_sequence(
            query_row: queries.lowerBound, query_count: queries.count, query_position: position,
            prefix_row: prefix.lowerBound, prefix_count: prefix.count, own_row: own.lowerBound,
            own_count: own.count)
        count += 1
        queryRows = max(queryRows, queries.upperBound)
        keyRows = max(keyRows, prefix.upperBound, own.upperBound)
    }
}

/// Memory in which attention works, a part for each thread that may help.
package final class AttentionScratch {
    fileprivate let memory: UnsafeMutableRawPointer
    fileprivate let slotBytes: Int
    package let bytes: Int

    /// - Parameter slots: threads of the team that will work in it.
    package init(slotBytes: Int, slots: Int) {
        self.slotBytes = (slotBytes + 63) / 64 * 64
        bytes = self.slotBytes * max(slots, 1)
        memory = .allocate(byteCount: max(bytes, 64), alignment: 64)
        memory.initializeMemory(as: UInt8.self, repeating: 0, count: max(bytes, 64))
    }

    deinit { memory.deallocate() }
}
