import CAllocationCounter
import Encoders
import Testing

/// The hot path works in its workspace: what it allocates is its results, and their number does not
/// grow with the layers.
@Suite(.enabled(if: allocation_counter_works() != 0)) struct AllocationTests {
    /// Allocations of this thread while `body` runs, after it ran once to warm up; the fewest of five
    /// runs, as the Swift runtime fills caches of its own when it likes.
    private static func count(_ body: () throws -> Void) rethrows -> Int {
        try body()
        var fewest = Int.max
        for _ in 0..<5 {
            allocation_counter_start()
            defer { _ = allocation_counter_stop() }
            try body()
            fewest = min(fewest, Int(allocation_counter_stop()))
        }
        return fewest
    }

    private static func vision(layers: Int) -> VisionCase {
        VisionCase(
            "\(layers) layers", width: 48, layers: layers, heads: 3, mlp: 96, patch: 8, image: 32,
            .quickGELU, projection: 24)
    }

    private static func text(layers: Int) -> TextCase {
        TextCase(
            "\(layers) layers", width: 48, layers: layers, heads: 3, mlp: 96, context: 20,
            .quickGELU, pooling: .firstEnd, projection: 24)
    }

    @Test func theCounterCounts() {
        var kept: [UnsafeMutableRawPointer] = []
        kept.reserveCapacity(10)
        allocation_counter_start()
        for _ in 0..<7 { kept.append(.allocate(byteCount: 100, alignment: 64)) }
        let counted = allocation_counter_stop()
        for memory in kept {
            memory.storeBytes(of: 1, as: UInt8.self)
            memory.deallocate()
        }
        #expect(counted == 7)
    }

    @Test(arguments: GroupTests.optionsOfAll)
    func imagesAllocateTheirResultsAlone(options: ComputeOptions) throws {
        func counts(layers: Int) throws -> [Int] {
            let c = Self.vision(layers: layers)
            let tower = try c.tower(options)
            let workspace = tower.makeWorkspace(capacity: 4)
            let images = (0..<workspace.capacity).map { c.pixels(seed: $0) }
            let d = [Float](repeating: 0.5, count: tower.embeddingWidth)
            let embed = try Self.count { _ = try tower.embed(images: images, workspace: workspace) }
            guard tower.hasGradients else { return [embed] }
            let gradients = try Self.count {
                _ = try tower.gradients(images, workspace: workspace) { _, _ in d }
            }
            return [embed, gradients]
        }
        let few = try counts(layers: 2)
        #expect(try counts(layers: 6) == few)
        // Embeddings, the array of them, and the rows that are pooled; gradients as much again.
        #expect((1...16).contains(few[0]))
        #expect(few.last ?? 0 <= 48)
    }

    @Test(arguments: GroupTests.optionsOfAll)
    func textsAllocateTheirResultsAlone(options: ComputeOptions) throws {
        func counts(layers: Int) throws -> [Int] {
            let c = Self.text(layers: layers)
            let tower = try c.tower(options)
            let workspace = tower.makeWorkspace(capacity: 4)
            let texts = (0..<workspace.capacity).map { c.tokens(content: 3 + $0, seed: $0) }
            let ends = texts.map { $0.count - 1 }
            let embed = try Self.count { _ = try tower.embed(texts: texts, workspace: workspace) }
            guard options.precision != .int8 else { return [embed] }
            let encode = try Self.count {
                _ = try tower.encode(
                    texts, states: [1], pooledAt: ends, workspace: workspace)
            }
            return [embed, encode]
        }
        let few = try counts(layers: 2)
        #expect(try counts(layers: 6) == few)
        #expect((1...32).contains(few[0]))
        #expect(few.last ?? 0 <= 64)
    }
}
