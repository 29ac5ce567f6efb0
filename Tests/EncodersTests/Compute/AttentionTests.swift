import Encoders
import Testing

@Suite struct AttentionTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let tokens, heads, headWidth: Int
        let isCausal: Bool
        let queries: Range<Int>
        var testDescription: String {
            "\(tokens) tokens, \(heads)×\(headWidth), \(isCausal ? "causal" : "full"), \(queries)"
        }
        var width: Int { heads * headWidth }
    }

    // 577 tokens need several pieces; 1 head and odd head widths must work.
    static let cases = [
        Case(tokens: 1, heads: 1, headWidth: 1, isCausal: false, queries: 0..<1),
        Case(tokens: 5, heads: 1, headWidth: 13, isCausal: false, queries: 0..<5),
        Case(tokens: 26, heads: 3, headWidth: 10, isCausal: false, queries: 0..<26),
        Case(tokens: 26, heads: 3, headWidth: 10, isCausal: false, queries: 0..<1),
        Case(tokens: 12, heads: 2, headWidth: 16, isCausal: true, queries: 0..<12),
        Case(tokens: 12, heads: 2, headWidth: 16, isCausal: true, queries: 11..<12),
        Case(tokens: 33, heads: 2, headWidth: 80, isCausal: false, queries: 0..<33),
        Case(tokens: 300, heads: 1, headWidth: 6, isCausal: true, queries: 0..<300),
        Case(tokens: 577, heads: 2, headWidth: 7, isCausal: false, queries: 0..<577),
    ]

    private struct Expected {
        var out, dq, dkv: [Double]
    }

    /// out [Q, W] and, for `dOut`, dq [Q, W] and dkv [T, 2W], in double precision.
    private func reference(
        q: [Float], kv: [Float], _ dOut: [Float], _ c: Case
    ) -> Expected {
        let width = c.width
        let scale = 1 / Double(c.headWidth).squareRoot()
        var result = Expected(
            out: [Double](repeating: 0, count: c.queries.count * width),
            dq: [Double](repeating: 0, count: c.queries.count * width),
            dkv: [Double](repeating: 0, count: c.tokens * 2 * width))
        for head in 0..<c.heads {
            func key(_ token: Int, _ i: Int) -> Int { token * 2 * width + head * c.headWidth + i }
            for query in c.queries {
                let keys = c.isCausal ? query + 1 : c.tokens
                let row = (query - c.queries.lowerBound) * width + head * c.headWidth
                let scores = (0..<keys).map { token in
                    (0..<c.headWidth).reduce(0.0) {
                        $0 + scale * Double(q[row + $1]) * Double(kv[key(token, $1)])
                    }
                }
                let p = KernelReference.softmax(scores)
                var dp = [Double](repeating: 0, count: keys)
                for token in 0..<keys {
                    for i in 0..<c.headWidth {
                        let v = Double(kv[key(token, i) + width])
                        result.out[row + i] += p[token] * v
                        dp[token] += Double(dOut[row + i]) * v
                        result.dkv[key(token, i) + width] += p[token] * Double(dOut[row + i])
                    }
                }
                let ds = KernelReference.softmaxBackward(p, dp)
                for token in 0..<keys {
                    for i in 0..<c.headWidth {
                        result.dq[row + i] += scale * ds[token] * Double(kv[key(token, i)])
                        result.dkv[key(token, i)] += scale * ds[token] * Double(q[row + i])
                    }
                }
            }
        }
        return result
    }

    private func memory(
        _ values: [Float], _ rows: Int, _ columns: Int, _ element: Element
    ) -> Block {
        let memory = block(rows: rows, columns: columns, element: element)
        let floats = block(values, rows: rows, columns: columns)
        if element == .bf16 {
            memory.narrow(from: floats)
        } else {
            memory.floats.copy(from: floats)
        }
        return memory
    }

    private func scratch(_ attention: Attention, _ element: Element, keys: Int, slots: Int = 1)
        -> AttentionScratch
    {
        let forward = attention.scratchBytes(element: element, keys: keys, backward: false)
        let backward = attention.scratchBytes(element: element, keys: keys, backward: true)
        return AttentionScratch(slotBytes: max(forward, backward), slots: slots)
    }

    @Test(arguments: cases, [Element.f32, .bf16])
    func forwardAndBackwardMatchPlainLoops(c: Case, element: Element) {
        var random = TowerRandom(c.tokens)
        let width = c.width
        let q = memory(
            random.floats(c.queries.count * width, scale: 2), c.queries.count, width, element)
        let kv = memory(random.floats(c.tokens * 2 * width, scale: 2), c.tokens, 2 * width, element)
        let dOut = memory(random.floats(c.queries.count * width), c.queries.count, width, element)
        let attention = Attention(width: width, heads: c.heads, isCausal: c.isCausal)
        let expected = reference(
            q: q.array(), kv: kv.array(), dOut.array(), c)
        let sequences = Sequences(capacity: 1)
        sequences.append(
            queries: 0..<c.queries.count, position: c.queries.lowerBound, own: 0..<c.tokens)
        let scratch = scratch(attention, element, keys: c.tokens)
        let tolerance = element == .f32 ? 5e-6 : 1.5e-2

        let out = block(rows: c.queries.count, columns: width, element: element)
        attention.forward(
            q: q, kv: kv, sequences: sequences, into: out, scratch: scratch)
        #expect(relativeError(out.array(), expected.out) < tolerance)
        guard !c.isCausal else { return }
        let dq = block(rows: c.queries.count, columns: width, element: element)
        let dkv = block(rows: c.tokens, columns: 2 * width, element: element)
        attention.backward(
            dOut, q: q, kv: kv, sequences: sequences, dq: dq, dkv: dkv,
            scratch: scratch)
        #expect(relativeError(dkv.array(), expected.dkv) < tolerance)
        // With a single key every query's gradient is zero but for rounding.
        if c.tokens > 1 { #expect(relativeError(dq.array(), expected.dq) < tolerance) }
    }

    /// Sequences that share a prefix give the bits of sequences that repeat it.
    @Test(arguments: [Element.f32, .bf16]) func aSharedPrefixChangesNoBit(element: Element) {
        var random = TowerRandom(3)
        let (heads, width, prefix) = (3, 42, 7)
        let lengths = [1, 5, 20]
        let attention = Attention(width: width, heads: heads, isCausal: true)
        let rows = prefix + lengths.reduce(0, +)
        let q = random.floats(rows * width)
        let kv = random.floats(rows * 2 * width)
        let shared = Sequences(capacity: 4)
        shared.append(queries: 0..<prefix, position: 0, own: 0..<prefix)
        var row = prefix
        for length in lengths {
            let own = row..<row + length
            shared.append(queries: own, position: prefix, prefix: 0..<prefix, own: own)
            row += length
        }
        let team = ComputeTeam(places: 2)
        let seat = team.sit()
        defer { team.leave(seat) }
        let out = block(rows: rows, columns: width, element: element)
        attention.forward(
            q: memory(q, rows, width, element), kv: memory(kv, rows, 2 * width, element),
            sequences: shared, into: out,
            scratch: scratch(attention, element, keys: rows, slots: 2), seat: seat)
        row = prefix
        for length in lengths {
            let own = row..<row + length
            func whole(_ values: [Float], _ columns: Int) -> [Float] {
                Array(values[..<(prefix * columns)])
                    + values[own.lowerBound * columns..<own.upperBound * columns]
            }
            let alone = Sequences(capacity: 1)
            let count = prefix + length
            alone.append(queries: 0..<count, position: 0, own: 0..<count)
            let single = block(rows: count, columns: width, element: element)
            attention.forward(
                q: memory(whole(q, width), count, width, element),
                kv: memory(whole(kv, 2 * width), count, 2 * width, element),
                sequences: alone, into: single,
                scratch: scratch(attention, element, keys: count))
            #expect(
                single.rows(prefix..<count).array() == out.rows(own).array())
            row += length
        }
    }
}
