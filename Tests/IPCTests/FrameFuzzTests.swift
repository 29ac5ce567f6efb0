import Glibc
import Testing

@Suite struct FrameFuzzTests {
    /// `GUIDANCED_FUZZ_CASES` sets another number of cases.
    @Test(arguments: [UInt64(1), 20_261_123])
    func anyFramesGiveExactlyOneOutcome(seed: UInt64) {
        let cases = getenv("GUIDANCED_FUZZ_CASES").flatMap { Int(String(cString: $0)) } ?? 50_000
        let fuzz = FrameFuzz.run(cases: cases, seed: seed)
        #expect(fuzz.failures.isEmpty, "seed \(seed)")
        // All three outcomes must have been reached, or the properties say nothing.
        #expect(fuzz.dispatched > cases / 20)
        #expect(fuzz.refused > cases / 20)
        #expect(fuzz.joined > cases / 1000)
    }
}
