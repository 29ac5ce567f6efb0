import Encoders
import Testing

/// What groups, helpers, precisions and budgets may change, and what not.
@Suite struct GroupTests {
    static let optionsOfAll: [ComputeOptions] = {
        #if PackedKernels
            [
                ComputeOptions(), ComputeOptions(precision: .bf16),
                ComputeOptions(precision: .int8),
                ComputeOptions(backend: .openblas),
            ]
        #else
            [ComputeOptions()]
        #endif
    }()

    @Test(arguments: VisionCase.all, optionsOfAll)
    func imagesDoNotDependOnTheirGroup(c: VisionCase, options: ComputeOptions) throws {
        let tower = try c.tower(options)
        let loss = TestLoss(width: tower.embeddingWidth, seed: 4)
        let images = (0..<7).map { c.pixels(seed: $0) }
        let alone = try images.map { try tower.embed($0, workspace: tower.makeWorkspace()) }
        let gradients =
            tower.hasGradients
            ? try images.map {
                try tower.gradient($0, workspace: tower.makeWorkspace(), dEmbedding: loss.gradient)
            } : []
        let team = ComputeTeam(places: 3)
        let seat = team.sit()
        defer { team.leave(seat) }
        let workspace = tower.makeWorkspace(capacity: 7, slots: 3)
        workspace.seat = seat
        let sizes = workspace.capacity == 1 ? [1] : [7, 3, 1]
        for size in sizes {
            for start in stride(from: 0, to: images.count, by: size) {
                let range = start..<min(start + size, images.count)
                #expect(
                    try tower.embed(images: Array(images[range]), workspace: workspace)
                        == Array(alone[range]))
                guard tower.hasGradients else { continue }
                let results = try tower.gradients(Array(images[range]), workspace: workspace) {
                    index, embedding in
                    #expect(embedding == gradients[start + index].embedding)
                    return loss.gradient(embedding)
                }
                for (result, expected) in zip(results, gradients[range]) {
                    #expect(result.embedding == expected.embedding)
                    #expect(result.dPixels == expected.dPixels)
                }
            }
        }
        #expect(try tower.embed(images: [], workspace: workspace).isEmpty)
    }

    @Test(arguments: TextCase.all, optionsOfAll)
    func textsDoNotDependOnTheirGroup(c: TextCase, options: ComputeOptions) throws {
        let tower = try c.tower(options)
        // The first four begin alike; two are equal; the others share only the start token.
        let beginning = c.tokens(content: 4, seed: 1).dropLast()
        var texts = (0..<3).map { seed in
            Array(beginning) + c.tokens(content: seed, seed: 50 + seed).dropFirst()
        }
        texts.append(texts[1])
        texts += (0..<4).map { c.tokens(content: 2 + $0, padded: 12, seed: 90 + $0) }
        let alone = try texts.map {
            try tower.embed(tokens: $0, workspace: tower.makeWorkspace())
        }
        let team = ComputeTeam(places: 3)
        let seat = team.sit()
        defer { team.leave(seat) }
        let workspace = tower.makeWorkspace(capacity: 8, slots: 3)
        workspace.seat = seat
        for size in workspace.capacity == 1 ? [1] : [8, 4, 3, 1] {
            for start in stride(from: 0, to: texts.count, by: size) {
                let range = start..<min(start + size, texts.count)
                #expect(
                    try tower.embed(texts: Array(texts[range]), workspace: workspace)
                        == Array(alone[range]))
            }
        }
    }

    @Test(arguments: TextCase.all, optionsOfAll.filter { $0.precision != .int8 })
    func encodingsAreTheHiddenStates(c: TextCase, options: ComputeOptions) throws {
        let tower = try c.tower(options)
        let layers = c.configuration.layers
        let texts = (0..<3).map { c.tokens(content: 3 + $0, padded: 12, seed: $0) }
        let workspace = tower.makeWorkspace(capacity: 3)
        let single = tower.makeWorkspace()
        let full = try texts.map { try tower.hiddenStates(tokens: $0, workspace: single) }
        let embeddings = try texts.map { try tower.embed(tokens: $0, workspace: single) }
        for wanted in [[], [layers - 1], [layers, 0], Array(0...layers)] {
            for isPooled in [false, true] {
                let size = workspace.capacity
                for start in stride(from: 0, to: texts.count, by: size) {
                    let range = start..<min(start + size, texts.count)
                    let encodings = try tower.encode(
                        Array(texts[range]), states: wanted,
                        pooledAt: isPooled ? texts[range].map { try tower.pooledIndex($0) } : nil,
                        workspace: workspace)
                    for (index, encoding) in zip(range, encodings) {
                        #expect(encoding.states == wanted.map { full[index].states[$0] })
                        guard isPooled else {
                            #expect(encoding.pooled == nil && encoding.embedding == nil)
                            continue
                        }
                        let row = try tower.pooledIndex(texts[index])
                        let width = c.configuration.width
                        let pooled = full[index].normalized[row * width..<(row + 1) * width]
                        // OpenBLAS gives a row other bits when it is computed alone.
                        let tolerance = options.backend == .openblas ? 1e-5 : 0
                        #expect(
                            relativeError(
                                encoding.embedding ?? [], embeddings[index].map(Double.init))
                                <= tolerance)
                        #expect(
                            relativeError(encoding.pooled ?? [], pooled.map(Double.init))
                                <= tolerance)
                    }
                }
            }
        }
    }

    @Test(arguments: VisionCase.all) func recomputedActivationsGiveTheSameBits(c: VisionCase) throws
    {
        let tower = try c.tower()
        let loss = TestLoss(width: tower.embeddingWidth, seed: 4)
        let pixels = c.pixels(seed: 3)
        let kept = tower.makeWorkspace()
        let recomputing = tower.makeWorkspace(budget: 1)
        let expected = try tower.gradient(pixels, workspace: kept, dEmbedding: loss.gradient)
        let result = try tower.gradient(pixels, workspace: recomputing, dEmbedding: loss.gradient)
        #expect(recomputing.recomputesActivations && !kept.recomputesActivations)
        #expect(result.embedding == expected.embedding)
        #expect(result.dPixels == expected.dPixels)
        if c.configuration.layers > 1 { #expect(recomputing.bytes < kept.bytes) }
    }

    #if PackedKernels
        @Test(arguments: VisionCase.all) func lowerPrecisionsStayClose(c: VisionCase) throws {
            let exact = try c.tower()
            let loss = TestLoss(width: exact.embeddingWidth, seed: 4)
            let half = try c.tower(ComputeOptions(precision: .bf16))
            let bytes = try c.tower(ComputeOptions(precision: .int8))
            for seed in 0..<3 {
                let pixels = c.pixels(seed: seed)
                let expected = try exact.gradient(
                    pixels, workspace: exact.makeWorkspace(), dEmbedding: loss.gradient)
                let result = try half.gradient(
                    pixels, workspace: half.makeWorkspace(), dEmbedding: loss.gradient)
                #expect(cosine(result.embedding, expected.embedding) >= 0.9995)
                #expect(cosine(result.dPixels, expected.dPixels) >= 0.995)
                let coarse = try bytes.embed(pixels, workspace: bytes.makeWorkspace())
                #expect(cosine(coarse, expected.embedding) >= 0.995)
                #expect(coarse != expected.embedding)
            }
        }

        @Test func backendsAgree() throws {
            for c in VisionCase.all {
                let packed = try c.tower()
                let plain = try c.tower(ComputeOptions(backend: .openblas))
                let loss = TestLoss(width: packed.embeddingWidth, seed: 4)
                let pixels = c.pixels(seed: 3)
                let a = try packed.gradient(
                    pixels, workspace: packed.makeWorkspace(), dEmbedding: loss.gradient)
                let b = try plain.gradient(
                    pixels, workspace: plain.makeWorkspace(), dEmbedding: loss.gradient)
                #expect(relativeError(a.embedding, b.embedding.map(Double.init)) < 1e-5)
                #expect(relativeError(a.dPixels, b.dPixels.map(Double.init)) < 2e-5)
            }
        }

        @Test func whatBytesCannotDoIsSaid() throws {
            let options = ComputeOptions(precision: .int8)
            let c = VisionCase.all[0]
            let tower = try c.tower(options)
            let workspace = tower.makeWorkspace()
            #expect {
                try tower.gradient(c.pixels(seed: 1), workspace: workspace) { $0 }
            } throws: { "\($0)".contains("int8") }
            #expect {
                try tower.hiddenStates(c.pixels(seed: 1), workspace: workspace)
            } throws: { "\($0)".contains("int8") }
            let text = try TextCase.all[0].tower(options)
            #expect {
                try text.hiddenStates(
                    tokens: TextCase.all[0].tokens(content: 3, seed: 1),
                    workspace: text.makeWorkspace())
            } throws: { "\($0)".contains("int8") }
        }
    #endif

    @Test func anOpenBLASTowerIsForFp32Alone() {
        #expect {
            try VisionCase.all[0].tower(ComputeOptions(precision: .bf16, backend: .openblas))
        } throws: { "\($0)".contains("OpenBLAS") }
    }

    @Test func stagesAreTimed() throws {
        let c = VisionCase.all[0]
        let tower = try c.tower()
        let workspace = tower.makeWorkspace()
        let meter = StageMeter()
        workspace.meter = meter
        _ = try tower.gradient(c.pixels(seed: 1), workspace: workspace) { $0 }
        for stage in Stage.allCases where stage != .preprocess && stage != .preprocessBackward {
            #expect(meter.nanoseconds[stage, default: 0] > 0, "\(stage)")
        }
    }
}
