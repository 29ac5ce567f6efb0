import Encoders
import Testing

/// The pickle machine and torch's containers.
@Suite struct TorchFileTests {
    private func openFile(_ bytes: [UInt8]) throws -> TorchFile {
        try TorchFile(bytes: MappedBytes(bytes), path: "x.bin")
    }

    private func open(_ value: [UInt8], _ storages: [String: [Float]] = [:]) throws -> TorchFile {
        try openFile(PickleText.file(value, storages: storages))
    }

    private static let numbers: [Float] = [0, 1, 2, 3, 4, 5]

    private func tensor(
        _ shape: [Int32], _ strides: [Int32], offset: Int32 = 0, count: Int32 = 6
    ) -> [UInt8] {
        PickleText.dictionary([
            (
                "w",
                PickleText.tensor(
                    "0", count: count, offset: offset, shape: shape, strides: strides)
            )
        ])
    }

    // MARK: values

    @Test(
        arguments: [
            ([2, 3], [3, 1], 0, [0, 1, 2, 3, 4, 5]), ([3, 2], [1, 3], 0, [0, 3, 1, 4, 2, 5]),
            ([2], [3], 1, [1, 4]), ([2, 2], [2, 1], 2, [2, 3, 4, 5]), ([], [], 5, [5]),
            ([3], [0], 4, [4, 4, 4]), ([0, 7], [7, 1], 6, []),
            ([1, 6], [99, 1], 0, [0, 1, 2, 3, 4, 5]),
        ] as [([Int32], [Int32], Int32, [Float])])
    func readsStridedViews(
        _ shape: [Int32], _ strides: [Int32], _ offset: Int32, _ expected: [Float]
    ) throws {
        let file = try open(tensor(shape, strides, offset: offset), ["0": Self.numbers])
        #expect(try file.floats("w", shape: shape.map { Int($0) }) == expected)
        let bytes = try file.storedBytes("w")
        #expect(bytes == expected.flatMap { littleEndian($0.bitPattern) })
    }

    @Test(
        arguments: [
            ([2, 3], [3, 1], 1), ([7], [1], 0), ([2], [6], 0), ([1], [1], 6), ([7, 1], [0, 0], 0),
            ([Int32.max, Int32.max, Int32.max], [1, 1, 1], 0), ([2], [Int32.max], 0),
            ([2], [-1], 3),
            ([-1], [1], 0), ([1], [1], -1), ([2, 3], [3], 0),
        ] as [([Int32], [Int32], Int32)])
    func refusesViewsThatLeaveTheirStorage(
        _ shape: [Int32], _ strides: [Int32], _ offset: Int32
    ) throws {
        let value = tensor(shape, strides, offset: offset)
        #expect(throws: EncoderError.self) { try open(value, ["0": Self.numbers]) }
    }

    @Test func joinsNestedNamesAndUnwrapsStateDictionaries() throws {
        let weight = PickleText.tensor("0", count: 6, shape: [6], strides: [1])
        let nested = PickleText.dictionary([
            ("a", PickleText.dictionary([("b", weight)])), ("name", PickleText.text("cat")),
        ])
        #expect(try open(nested, ["0": Self.numbers]).tensorNames == ["a.b"])
        let wrapped = PickleText.dictionary([
            ("state_dict", PickleText.dictionary([("module.w", weight)])), ("other", weight),
        ])
        #expect(try open(wrapped, ["0": Self.numbers]).tensorNames == ["w"])
    }

    @Test func readsZip64Directories() throws {
        var zip = PickleText.builder(tensor([6], [1]), storages: ["0": Self.numbers])
        zip.isZip64 = true
        #expect(try openFile(zip.file()).floats("w", shape: [6]) == Self.numbers)
    }

    // MARK: what is refused

    @Test(arguments: [
        ("os", "system"), ("posix", "system"), ("builtins", "eval"), ("builtins", "exec"),
        ("builtins", "getattr"), ("__builtin__", "apply"), ("subprocess", "Popen"),
        ("torch.storage", "_load_from_bytes"), ("torch", "load"), ("torch.hub", "load"),
        ("torch._utils", "_rebuild_tensor_v2.__globals__"), ("numpy", "load"), ("", ""),
        ("collections", "OrderedDict.fromkeys"), ("__torch__evil", "x"), ("functools", "partial"),
        ("torch.nn.modules.linear", "Linear"), ("copyreg", "_reconstructor"),
    ])
    func refusesEveryOtherGlobalByItsName(_ module: String, _ name: String) throws {
        let global = PickleText.global(module, name)
        let stacked = PickleText.text(module) + PickleText.text(name) + [0x93]
        let pickles = [
            global, stacked, global + Array(")R".utf8), global + [UInt8(ascii: ")"), 0x81],
            PickleText.dictionary([("w", global + PickleText.tuple(PickleText.text("ls")))]),
        ]
        for pickle in pickles {
            let error = #expect(throws: EncoderError.self) { try open(pickle) }
            guard case .unsupported(_, _, "the global \"\(module).\(name)\"") = error else {
                Issue.record("\(String(describing: error))")
                continue
            }
        }
    }

    /// Opcodes that instantiate by name, extensions, out-of-band buffers, and bytes that are none.
    @Test(
        arguments: [
            "i", "o", "P", "\u{82}", "\u{83}", "\u{84}", "\u{92}", "\u{97}", "\u{98}", "I", "F",
            "V", "p",
            "g", "\u{00}", "\u{7f}", "\u{ff}",
        ] as [Character])
    func refusesOtherOpcodes(_ opcode: Character) throws {
        let byte = UInt8(opcode.unicodeScalars.first?.value ?? 0)
        let error = #expect(throws: EncoderError.self) { try open([0x4e, byte]) }
        guard case .malformed(_, _, "an opcode of plain data", "byte \(byte)") = error else {
            Issue.record("\(String(describing: error))")
            return
        }
    }

    @Test(arguments: [
        "", "NN", "(N", "0", "1", "h\u{05}", "R", "N)R", ")b", "]N\u{86}\u{86}", "}(Nu", "NNs",
        "Na",
        "X\u{ff}\u{ff}\u{ff}\u{7f}", "cno newline", "NQ", "}Nb0.",
    ])
    func refusesAPickleThatDoesNotAddUp(_ text: String) throws {
        let bytes = text.unicodeScalars.map { UInt8($0.value) }
        #expect(throws: EncoderError.self) { try open(bytes) }
    }

    @Test func endsADictionaryThatContainsItself() throws {
        let cycle = Array("}q\u{0}X\u{1}\u{0}\u{0}\u{0}ah\u{0}s".utf8)
        let error = #expect(throws: EncoderError.self) { try open(cycle) }
        guard case .tooLarge = error else {
            Issue.record("\(String(describing: error))")
            return
        }
    }

    @Test func endsATreeThatGrowsBySharing() throws {
        // Forty dictionaries that each hold the one before twice.
        var value = Array("}q\u{0}0".utf8)
        for index in 0..<40 {
            value += Array("}(".utf8)
            for name in ["a", "b"] {
                value += PickleText.text(name) + [UInt8(ascii: "h"), UInt8(index)]
            }
            value += Array("uq".utf8) + [UInt8(index + 1)] + Array("0".utf8)
        }
        value += [UInt8(ascii: "h"), 40]
        #expect(throws: EncoderError.self) { try open(value) }
    }

    @Test func freesAStructureOfAnyDepth() throws {
        let deep = [UInt8(ascii: "]")] + [UInt8](repeating: 0x85, count: 3_000_000)
        #expect(try open(deep).tensorNames.isEmpty)
    }

    @Test func refusesAStorageOfAnotherLength() throws {
        for count: Int32 in [5, 7, 0, Int32.max] {
            let value = tensor([1], [1], count: count)
            #expect(throws: EncoderError.self) { try open(value, ["0": Self.numbers]) }
        }
        #expect(throws: EncoderError.self) { try open(tensor([6], [1])) }
    }

    @Test func refusesManyTensorsOfOneStorage() throws {
        let weight = PickleText.tensor("0", count: 60_000, shape: [60_000], strides: [1])
        let value = PickleText.dictionary((0..<40).map { ("w\($0)", weight) })
        let numbers = [Float](repeating: 1, count: 60_000)
        let error = #expect(throws: EncoderError.self) { try open(value, ["0": numbers]) }
        guard case .tooLarge = error else {
            Issue.record("\(String(describing: error))")
            return
        }
    }

    @Test func refusesCompressedAndEncryptedEntries() throws {
        var zip = PickleText.builder(tensor([6], [1]), storages: ["0": Self.numbers])
        zip.method = 8
        let error = #expect(throws: EncoderError.self) { try openFile(zip.file()) }
        #expect(error?.description.contains("compression method 8") == true)
        zip.method = 0
        zip.flags = 1
        #expect(throws: EncoderError.self) { try openFile(zip.file()) }
    }

    @Test func refusesAnotherByteOrderAndSeveralPickles() throws {
        var zip = PickleText.builder(tensor([6], [1]), storages: ["0": Self.numbers])
        zip.add("archive/byteorder", Array("big".utf8))
        #expect(throws: EncoderError.self) { try openFile(zip.file()) }
        zip.entries.removeLast()
        zip.add("other/data.pkl", PickleText.pickle([0x4e]))
        #expect(throws: EncoderError.self) { try openFile(zip.file()) }
        #expect(throws: EncoderError.self) { try openFile(ZipBuilder().file()) }
    }

    @Test(arguments: ["legacy/pytorch_model.bin", "sd1.ckpt", "openai.pt"])
    func refusesFilesCutShortAnywhere(_ name: String) throws {
        let whole = try Fixture.read(FormatFixture.path(name))
        for count in stride(from: 0, to: whole.count, by: max(1, whole.count / 100)) {
            #expect(throws: EncoderError.self, "cut at \(count)") {
                try openFile(Array(whole.prefix(count)))
            }
        }
        #expect(throws: EncoderError.self) { try openFile(Array(whole.dropLast())) }
    }

    @Test func survivesMutation() throws {
        var bases: [[UInt8]] = []
        for name in ["small.pt", "small-legacy.pt", "small-script.pt"] {
            bases.append(try Fixture.read(FormatFixture.path("small/" + name)))
        }
        var zip = PickleText.builder(tensor([3, 2], [1, 3]), storages: ["0": Self.numbers])
        bases.append(zip.file())
        zip.isZip64 = true
        bases.append(zip.file())
        for base in bases { ByteFuzz.readAll(try openFile(base)) }
        let summary = ByteFuzz.run(bases, cases: ByteFuzz.cases(20_000), seed: 7) {
            bytes throws(EncoderError) in
            ByteFuzz.readAll(try TorchFile(bytes: MappedBytes(bytes), path: "fuzz"))
        }
        print("torch fuzz: \(summary)")
        #expect(summary.accepted > 100)
        #expect(summary.refused > 1_000)
    }
}
