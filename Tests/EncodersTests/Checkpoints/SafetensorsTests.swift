import Encoders
import Glibc
import JSON
import Testing

@Suite struct SafetensorsTests {
    private func open(_ bytes: [UInt8]) throws(EncoderError) -> SafetensorsFile {
        try SafetensorsFile(bytes: MappedBytes(bytes), path: "t.safetensors")
    }

    private func sample() -> SafetensorsBuilder {
        var builder = SafetensorsBuilder()
        builder.add("a", shape: [2, 2], [1, -2, 3.5, 0])
        builder.add("scalar", shape: [], [7])
        builder.add("empty", shape: [0, 3], [])
        builder.add("ids", type: "I64", shape: [1], bytes: littleEndian(Int64(5)))
        builder.metadata = ["format": "pt"]
        return builder
    }

    @Test func readsWhatWasWritten() throws {
        let file = try open(sample().file())
        #expect(file.tensorNames == ["a", "scalar", "empty", "ids"])
        #expect(try file.floats("a", shape: [2, 2]) == [1, -2, 3.5, 0])
        #expect(try file.floats("scalar", shape: []) == [7])
        #expect(try file.floats("empty", shape: [0, 3]) == [])
        #expect(file.storedType(of: "ids") == .i64)
        #expect(file.metadata == ["format": "pt"])
        #expect(
            try file.storedBytes("scalar") == littleEndian(Float(7).bitPattern))
        #expect(try file.storedBytes("none") == nil)
    }

    @Test func readsDataOfAnyAlignment() throws {
        var builder = SafetensorsBuilder()
        builder.add("pad", type: "U8", shape: [1], bytes: [1])
        builder.add("f32", shape: [2], [1.5, -3])
        builder.add("f16", type: "F16", shape: [2], bytes: [0x00, 0x3c, 0x00, 0xc0])
        builder.add("bf16", type: "BF16", shape: [2], bytes: [0x80, 0x3f, 0x00, 0xc0])
        let file = try open(builder.file())
        #expect(try file.floats("f32", shape: [2]) == [1.5, -3])
        #expect(try file.floats("f16", shape: [2]) == [1, -2])
        #expect(try file.floats("bf16", shape: [2]) == [1, -2])
    }

    @Test func widensEveryFiniteHalfExactly() throws {
        let finite = (0...UInt16.max).filter { $0 & 0x7c00 != 0x7c00 }
        var builder = SafetensorsBuilder()
        builder.add(
            "h", type: "F16", shape: [finite.count], bytes: finite.flatMap { littleEndian($0) })
        let values = try open(builder.file()).floats("h", shape: [finite.count])
        let wrong = zip(finite, values).filter { bits, value in
            Float(Float16(bitPattern: bits)).bitPattern != value.bitPattern
        }
        #expect(wrong.isEmpty)
    }

    @Test func widensEveryFiniteBrainFloatExactly() throws {
        let finite = (0...UInt16.max).filter { $0 & 0x7f80 != 0x7f80 }
        var builder = SafetensorsBuilder()
        builder.add(
            "b", type: "BF16", shape: [finite.count], bytes: finite.flatMap { littleEndian($0) })
        let values = try open(builder.file()).floats("b", shape: [finite.count])
        #expect(values.map(\.bitPattern) == finite.map { UInt32($0) << 16 })
    }

    @Test func widensEveryByteOfBothKindsExactly() throws {
        // sign · 2^(exponent − bias) · (1 + mantissa/2^bits); the exponent 0 has no leading 1.
        func value(_ byte: UInt8, bits: Int, bias: Int) -> Float {
            let mantissa = Float(byte & (1 << UInt8(bits) - 1)) / Float(1 << bits)
            let exponent = Int(byte & 0x7f) >> bits
            let power = Float(sign: .plus, exponent: max(1, exponent) - bias, significand: 1)
            let size = power * (exponent == 0 ? mantissa : 1 + mantissa)
            return byte & 0x80 == 0 ? size : -size
        }
        let kinds: [(name: String, bits: Int, bias: Int, finite: (UInt8) -> Bool)] = [
            ("F8_E4M3", 3, 7, { $0 & 0x7f != 0x7f }), ("F8_E5M2", 2, 15, { $0 & 0x7c != 0x7c }),
        ]
        for kind in kinds {
            let bytes = (UInt8.min...UInt8.max).filter(kind.finite)
            var builder = SafetensorsBuilder()
            builder.add("w", type: kind.name, shape: [bytes.count], bytes: bytes)
            builder.add("odd", type: kind.name, shape: [1], bytes: [0xff])
            let file = try open(builder.file())
            let values = try file.floats("w", shape: [bytes.count])
            let expected = bytes.map { value($0, bits: kind.bits, bias: kind.bias) }
            #expect(values.map(\.bitPattern) == expected.map(\.bitPattern))
            #expect(throws: EncoderError.self) { try file.floats("odd", shape: [1]) }
        }
    }

    @Test(arguments: [
        ("F32", littleEndian(Float.nan.bitPattern)),
        ("F32", littleEndian((-Float.infinity).bitPattern)),
        ("F16", [0x00, 0x7c]), ("F16", [0x01, 0xfc]), ("BF16", [0x80, 0x7f]),
        ("BF16", [0xff, 0xff]),
    ])
    func refusesValuesThatAreNotFinite(_ type: String, _ bytes: [UInt8]) throws {
        var builder = SafetensorsBuilder()
        let zero = [UInt8](repeating: 0, count: bytes.count)
        builder.add("w", type: type, shape: [3], bytes: zero + bytes + zero)
        let file = try open(builder.file())
        let error = #expect(throws: EncoderError.self) { try file.floats("w", shape: [3]) }
        guard case .tensor(_, "w", "finite values", let actual) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(actual.hasSuffix("at element 1"))
    }

    @Test func namesTensorAndShapesWhenTheyDoNotFit() throws {
        let file = try open(sample().file())
        #expect(
            throws: EncoderError.tensor(
                path: "t.safetensors", name: "a", expected: "shape [4]", actual: "shape [2, 2]")
        ) { try file.floats("a", shape: [4]) }
        #expect(
            throws: EncoderError.tensor(
                path: "t.safetensors", name: "b", expected: "shape [4]", actual: "no such tensor")
        ) { try file.floats("b", shape: [4]) }
        #expect(
            throws: EncoderError.tensor(
                path: "t.safetensors", name: "ids", expected: "numbers with a fraction",
                actual: "I64"
            )
        ) { try file.floats("ids", shape: [1]) }
    }

    @Test(arguments: [
        UInt64.max, UInt64(Int.max), 100_000_001, 1 << 40, 1_000, 99_999_999,
    ])
    func refusesAHeaderLengthBeyondTheFile(_ length: UInt64) {
        var bytes = sample().file()
        bytes.replaceSubrange(0..<8, with: littleEndian(length))
        #expect(throws: EncoderError.self) { try open(bytes) }
    }

    @Test func refusesEveryTruncation() {
        let bytes = sample().file()
        for count in 0..<bytes.count {
            #expect(throws: EncoderError.self, "cut at \(count)") {
                try open(Array(bytes.prefix(count)))
            }
        }
        #expect(throws: EncoderError.self) { try open(bytes + [0]) }
    }

    @Test(arguments: [
        "[]", "3", "{", "{\"a\":3}", "{\"a\":{}}", "{\"__metadata__\":3}",
        "{\"__metadata__\":{\"x\":3}}",
        "{\"a\":{\"dtype\":3,\"shape\":[],\"data_offsets\":[0,4]}}",
        "{\"a\":{\"dtype\":\"F31\",\"shape\":[],\"data_offsets\":[0,4]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":3,\"data_offsets\":[0,4]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,4]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,9223372036854775807]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4],\"data_offsets\":[0,0]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[9223372036854775807,9223372036854775807],"
            + "\"data_offsets\":[0,4]}}",
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]}}",
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[1,4]}}",
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]},"
            + "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[2,4]}}",
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
            + "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[2,4]}}",
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
            + "\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}",
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
            + "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}",
    ])
    func refusesAWrongHeader(_ header: String) {
        let bytes = littleEndian(UInt64(header.utf8.count)) + Array(header.utf8) + [0, 0, 0, 0]
        #expect(throws: EncoderError.self) { try open(bytes) }
    }

    @Test func acceptsSpaceAfterTheHeader() throws {
        let header = "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}   "
        let bytes = littleEndian(UInt64(header.utf8.count)) + Array(header.utf8) + [0, 0, 0, 0]
        #expect(try open(bytes).tensorNames == ["a"])
    }

    @Test func noticesAFileThatWasShortenedAfterMapping() throws {
        let folder = try TemporaryDirectory()
        var builder = SafetensorsBuilder()
        builder.add("w", shape: [4_096], [Float](repeating: 1, count: 4_096))
        try folder.write("w.safetensors", builder.file())
        let path = folder.path + "/w.safetensors"
        let file = try SafetensorsFile(bytes: MappedBytes.map(path: path), path: path)
        #expect(try file.floats("w", shape: [4_096]).count == 4_096)
        try folder.write("w.safetensors", [1, 2, 3])
        #expect(
            throws: EncoderError.file(
                path: path, reason: "was shortened while it was being read")
        ) { try file.floats("w", shape: [4_096]) }
    }

    /// `GUIDANCED_FUZZ_CASES` sets another number of cases.
    @Test func survivesMutations() {
        let cases =
            getenv("GUIDANCED_FUZZ_CASES").flatMap { Int(String(cString: $0)) } ?? 30_000
        let summary = SafetensorsFuzz.run(cases: cases, seed: 11)
        print("safetensors fuzz: \(summary)")
        #expect(summary.accepted + summary.refused == cases)
        #expect(summary.refused > cases / 4)
        #expect(summary.accepted > cases / 50)
    }
}
