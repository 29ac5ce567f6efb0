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
    }

    // 577 tokens need several pieces; 1 head and odd head widths must work.
    static let cases = [
        Case(tokens: 1, heads: 1, headWidth: 1, isCausal: false, queries: 0..<1),
        Case(tokens: 5, heads: 1, headWidth: 13, isCausal: false, queries: 0..<5),
        Case(tokens: 26, heads: 3, headWidth: 10, isCausal: false, queries: 0..<26),
        Case(tokens: 26, heads: 3, headWidth: 10, isCausal: false, queries: 0..<1),
        Case(tokens: 12, heads: 2, headWidth: 16, isCausal: true, queries: 0..<12),
        Case(tokens: 12, heads: 2, headWidth: 16, isCausal: true, queries: 11..<12),
        Case(tokens: 300, heads: 1, headWidth: 6, isCausal: true, queries: 0..<300),
        Case(tokens: 577, heads: 2, headWidth: 7, isCausal: false, queries: 0..<577),
    ]

    /// out [Q, W] and, for `dOut`, dqkv [T, 3W], in double precision.
    private func reference(
        _ qkv: [Float], _ dOut: [Float], _ c: Case
    ) -> (out: [Double], dqkv: [Double]) {
        let width = c.heads * c.headWidth
        let scale = 1 / Double(c.headWidth).squareRoot()
        var out = [Double](repeating: 0, count: c.queries.count * width)
        var dqkv = [Double](repeating: 0, count: c.tokens * 3 * width)
        func index(_ token: Int, _ part: Int, _ head: Int, _ i: Int) -> Int {
            token * 3 * width + part * width + head * c.headWidth + i
        }
        for head in 0..<c.heads {
            for query in c.queries {
                let keys = c.isCausal ? query + 1 : c.tokens
                let scores = (0..<keys).map { key in
                    (0..<c.headWidth).reduce(0.0) {
                        $0 + scale * Double(qkv[index(query, 0, head, $1)])
                            * Double(qkv[index(key, 1, head, $1)])
                    }
                }
                let p = KernelReference.softmax(scores)
                let row = (query - c.queries.lowerBound) * width + head * c.headWidth
                var dp = [Double](repeating: 0, count: keys)
                for key in 0..<keys {
                    for i in 0..<c.headWidth {
                        let v = Double(qkv[index(key, 2, head, i)])
                        out[row + i] += p[key] * v
                        dp[key] += Double(dOut[row + i]) * v
                        dqkv[index(key, 2, head, i)] += p[key] * Double(dOut[row + i])
                    }
                }
                let ds = KernelReference.softmaxBackward(p, dp)
                for key in 0..<keys {
                    for i in 0..<c.headWidth {
                        dqkv[index(query, 0, head, i)] +=
                            scale * ds[key] * Double(qkv[index(key, 1, head, i)])
                        dqkv[index(key, 1, head, i)] +=
                            scale * ds[key] * Double(qkv[index(query, 0, head, i)])
                    }
                }
            }
        }
        return (out, dqkv)
    }

    @Test(arguments: cases) func forwardAndBackwardMatchPlainLoops(c: Case) {
        var random = TowerRandom(c.tokens)
        let width = c.heads * c.headWidth
        let qkv = block(rows: c.tokens, columns: 3 * width)
        qkv.copy(from: random.floats(c.tokens * 3 * width, scale: 2))
        let dOut = block(rows: c.queries.count, columns: width)
        dOut.copy(from: random.floats(c.queries.count * width))
        let attention = Attention(width: width, heads: c.heads, isCausal: c.isCausal)
        let memory = block(rows: 2, columns: Attention.Scratch.columns(tokens: c.tokens))
        let scratch = Attention.Scratch(memory)
        let expected = reference(qkv.array(), dOut.array(), c)

        let out = block(rows: c.queries.count, columns: width)
        out.fill(.nan)
        attention.forward(qkv, queries: c.queries, into: out, scratch: scratch)
        #expect(relativeError(out.array(), expected.out) < 3e-6)

        let dqkv = block(rows: c.tokens, columns: 3 * width)
        dqkv.fill(.nan)
        // dq of rows that ask nothing is not written.
        dqkv.columns(0..<width).fill(0)
        attention.backward(
            dOut, qkv: qkv, queries: c.queries, into: dqkv, scratch: scratch)
        #expect(relativeError(dqkv.array(), expected.dqkv) < 5e-6)
    }

    @Test func aLongSequenceIsCutIntoPieces() {
        #expect(Attention.pieceRows(tokens: 50) == 50)
        #expect(Attention.pieceRows(tokens: 577) < 577)
        #expect(Attention.pieceRows(tokens: 1_000_000) == 1)
    }
}
