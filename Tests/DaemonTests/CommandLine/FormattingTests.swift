import Daemon
import IPC
import JSON
import Testing

@Suite struct FormattingTests {
    @Test func tableAlignsColumnsAndBreaksHeadings() {
        var table = Table([
            Table.Column("image"), Table.Column("a photo of a big red circle", .right),
        ])
        table.append(["a.png", "0.5"])
        table.append(["long name.png", "-10.25"])
        #expect(
            table.text() == """
                               a photo of a big
                image                red circle
                ─────────────  ────────────────
                a.png                       0.5
                long name.png            -10.25

                """)
    }

    @Test func tableShowsControlCharactersAsText() {
        #expect(Table.printable("a\u{1b}[2Jb\nc\u{7f}") == "a\\x1b[2Jb\\nc\\x7f")
        #expect(Table.printable("é 圖 👩‍🚀") == "é 圖 👩‍🚀")
    }

    @Test(arguments: [
        ("plain", "plain"), ("a,b", "\"a,b\""), ("say \"hi\"", "\"say \"\"hi\"\"\""),
        ("two\nlines", "\"two\nlines\""), ("cr\r", "\"cr\r\""), ("crlf\r\n", "\"crlf\r\n\""),
        ("", ""), (" spaced ", " spaced "),
    ])
    func csvQuotesWhatItMust(text: String, expected: String) {
        #expect(CSV.field(text) == expected)
    }

    @Test func csvEndsEachRowWithANewline() {
        #expect(CSV.text([["a", "b,c"], ["1", "2"]]) == "a,\"b,c\"\n1,2\n")
    }

    @Test(arguments: [
        ([3], "(3,)"), ([2, 2], "(2, 2)"), ([3, 1, 2], "(3, 1, 2)"), ([0, 4], "(0, 4)"),
    ])
    func npyHasNumPysHeader(shape: [Int], text: String) throws {
        let count = shape.reduce(1, *)
        let values = (0..<count).map { Float($0) * 0.5 - 1 }
        let bytes = NPY.encode(values, shape: shape)
        #expect(Array(bytes[..<8]) == [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0])
        let length = Int(bytes[8]) + 256 * Int(bytes[9])
        #expect((10 + length) % 64 == 0)
        let header = String(decoding: bytes[10..<10 + length], as: UTF8.self)
        #expect(
            header.hasPrefix("{'descr': '<f4', 'fortran_order': False, 'shape': \(text), }"))
        #expect(header.hasSuffix("\n"))
        let data = Array(bytes[(10 + length)...])
        try #require(data.count == 4 * count)
        for (index, value) in values.enumerated() {
            let pattern = (0..<4).reduce(UInt32(0)) {
                $0 | UInt32(data[4 * index + $1]) << (8 * $1)
            }
            #expect(pattern == value.bitPattern)
        }
    }

    @Test(arguments: [
        (0.125, 2, "0.13"), (-0.125, 2, "-0.13"), (-0.001, 2, "0.00"), (99.996, 2, "100.00"),
        (1234.5, 0, "1235"), (0, 4, "0.0000"), (1e300, 2, "1e+300"),
    ])
    func fixedRoundsToDigits(value: Double, digits: Int, expected: String) {
        #expect(Numbers.fixed(value, digits) == expected)
    }

    @Test func fixedShowsWhatIsNoNumber() {
        #expect(Numbers.fixed(Double.nan, 2) == "nan")
        #expect(Numbers.fixed(-Double.infinity, 2) == "-inf")
    }

    @Test func numbersReadBackAsTheSameFloat() throws {
        var state: UInt64 = 7
        for _ in 0..<2000 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            let value = Float(bitPattern: UInt32(state >> 32))
            guard value.isFinite else { continue }
            #expect(Float(Numbers.exact(value)) == value)
            let text = Numbers.json(value).text()
            let parsed = try #require(try JSONValue.parse(text).doubleValue)
            #expect(Float(parsed) == value, "seed 7, \(value) as \(text)")
        }
        #expect(Numbers.json(0.1).text() == "0.1")
        #expect(Numbers.json(.nan) == .null)
    }

    @Test func documentKeepsPlainListsOnOneLine() throws {
        let value: JSONValue = [
            "name": "a", "row": [1, 2.5, nil], "none": [],
            "rows": [["x": [1]], ["x": "two\n"]], "empty": [:],
        ]
        let text = value.document()
        #expect(
            text == """
                {
                  "name": "a",
                  "row": [1, 2.5, null],
                  "none": [],
                  "rows": [
                    {
                      "x": [1]
                    },
                    {
                      "x": "two\\n"
                    }
                  ],
                  "empty": {}
                }

                """)
        #expect(try JSONValue.parse(text) == value)
    }

    @Test(arguments: [
        (0.0, "0"), (3.0, "3"), (0.0312, "0.0312"), (4.2e-5, "4.2e-5"), (1e-6, "1.0e-6"),
        (.infinity, "inf"), (2e7, "2.0e7"),
    ])
    func shortNumbers(value: Double, expected: String) {
        #expect(VerificationReport.short(value) == expected)
    }

    @Test func limitsAndConstantsKeepTheirDigits() {
        #expect(VerificationReport.limit(1 - 1e-6) == "0.999999")
        #expect(VerificationReport.limit(0) == "0")
        #expect(VerificationReport.constant("9.999999747378752e-06") == "1e-05")
        #expect(VerificationReport.constant("quick_gelu") == "quick_gelu")
        #expect(VerificationReport.constant("128") == "128")
    }

    @Test(arguments: [(0, "0"), (999, "999"), (1000, "1,000"), (-1_234_567, "-1,234,567")])
    func groupedNumbers(value: Int, expected: String) {
        #expect(VerificationReport.grouped(value) == expected)
    }

    @Test func floatsOfAReplyAreCheckedAgainstTheirShape() throws {
        let good = Reply.scripted(
            outputs: [Output(name: "scores", shape: [2, 1], values: [1, -2.5])])
        #expect(try good.rows("scores", count: 2, width: 1) == [[1], [-2.5]])
        #expect(throws: ReplyError.self) { try good.rows("scores", count: 3) }
        #expect(throws: ReplyError.self) { try good.rows("scores", count: 2, width: 2) }
        #expect(throws: ReplyError.self) { try good.tensor("gradient") }
        let short = Reply.scripted(
            outputs: [
                Output(
                    TensorHeader(name: "x", datatype: .fp32, shape: [2]),
                    Frame([UInt8](repeating: 0, count: 7)))
            ])
        #expect(throws: ReplyError.self) { try short.tensor("x") }
        let wide = Reply.scripted(
            outputs: [
                Output(
                    TensorHeader(name: "x", datatype: .fp16, shape: [2]),
                    Frame([UInt8](repeating: 0, count: 4)))
            ])
        #expect(throws: ReplyError.self) { try wide.tensor("x") }
    }
}

@Suite struct ProgressTests {
    private static func line(
        _ done: Int, _ total: Int?, seconds: Double, width: Int = 80
    ) -> String {
        ProgressLine(label: "score", done: done, total: total, elapsed: UInt64(seconds * 1e9))
            .text(width: width)
    }

    @Test func shortWorkShowsNothing() {
        #expect(ProgressTests.line(1, 10, seconds: 1.99) == "")
    }

    @Test func showsBarCountRateAndRest() {
        let line = ProgressTests.line(25, 100, seconds: 5)
        #expect(
            line == "score " + String(repeating: "█", count: 10)
                + String(repeating: "░", count: 30) + " 25/100  5.0/s  15 s left")
    }

    @Test func beforeTheFirstItemThereIsNoRate() {
        #expect(ProgressTests.line(0, 100, seconds: 3).hasSuffix(" 0/100  3 s"))
    }

    @Test func workOfUnknownLengthShowsItsTime() {
        #expect(ProgressTests.line(0, nil, seconds: 75) == "score 1:15")
    }

    @Test(arguments: [1, 5, 20, 30, 40, 79, 200])
    func neverWiderThanTheTerminal(width: Int) {
        for done in [0, 3, 1000] {
            #expect(ProgressTests.line(done, 1000, seconds: 100, width: width).count <= width)
        }
    }

    @Test func aFinishedBarIsFull() {
        let line = ProgressTests.line(10, 10, seconds: 5)
        #expect(line.contains("█") && !line.contains("░") && line.hasSuffix("0 s left"))
    }

    @Test(arguments: [
        (0.2, "1 s"), (59.0, "59 s"), (60.0, "1:00"), (3725.0, "1:02:05"), (.infinity, "?"),
    ])
    func durations(seconds: Double, expected: String) {
        #expect(ProgressLine.duration(seconds) == expected)
    }
}
