import Guidance
import Testing

/// Linear decoders against values worked out from the published constants, and their transposes.
@Suite struct LinearDecoderTests {
    @Test func knownLatentsHaveKnownColours() {
        // Zero latents are the bias alone.
        let flux = LinearDecoder(.flux).forward([Float](repeating: 0, count: 16))
        #expect(close(flux, halved([-0.0329, -0.0718, -0.0851])))
        // One of each channel: the sums of the columns.
        let sd1 = LinearDecoder(.sd1).forward([1, 1, 1, 1])
        #expect(close(sd1, halved([0.1813, 0.6417, 0.1121])))
        let sdxl = LinearDecoder(.sdxl).forward([2, 0, 0, -1])
        #expect(close(sdxl, halved([1.1551, 1.0781, 1.0859])))
    }

    @Test(arguments: LatentFormat.all) func theSpaceOfTheVAEIsShiftedAndScaled(format: LatentFormat)
    {
        let model = (0..<format.channels * 6).map { Float($0 % 7) - 3 }
        let vae = model.map { $0 / format.scale + format.shift }
        #expect(
            close(
                LinearDecoder(format, space: .vae).forward(vae),
                LinearDecoder(format).forward(model)))
    }

    @Test(arguments: LatentFormat.all, LatentFormat.Space.allCases)
    func pullbackIsTheTranspose(format: LatentFormat, space: LatentFormat.Space) {
        let decoder = LinearDecoder(format, space: space)
        let x = (0..<format.channels * 5).map { Float(($0 * 37) % 11) - 5 }
        let y = (0..<15).map { Float(($0 * 29) % 13) - 6 }
        let origin = decoder.forward([Float](repeating: 0, count: x.count))
        let moved: [Float] = zip(decoder.forward(x), origin).map { $0 - $1 }
        let left = Float(Embedding.dot(moved, y))
        let right = Float(Embedding.dot(x, decoder.pullback(y)))
        #expect(abs(left - right) < 1e-4 * max(abs(left), 1))
    }

    @Test func namesAreTheWires() {
        #expect(LatentFormat.all.map(\.name) == ["sd1", "sdxl", "sd3", "flux"])
        #expect(LatentFormat.all.map(\.channels) == [4, 4, 16, 16])
        #expect(LatentFormat.named("sd3") == .sd3 && LatentFormat.named("sd2") == nil)
    }

    /// From −1…1 to 0…1.
    private func halved(_ values: [Float]) -> [Float] { values.map { ($0 + 1) / 2 } }

    private func close(_ values: [Float], _ expected: [Float]) -> Bool {
        values.count == expected.count
            && zip(values, expected).allSatisfy { abs($0 - $1) < 2e-5 * max(1, abs($1)) }
    }
}
