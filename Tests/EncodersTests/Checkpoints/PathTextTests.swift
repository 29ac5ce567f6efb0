import Encoders
import Testing

@Suite struct PathTextTests {
    @Test(arguments: [
        "", "a.png", "/tmp/caf\u{e9}/\u{1f600}.png", "e\u{301}", "\u{fffd}", "\u{10f6ff}",
    ])
    func validNamesStayAsTheyAre(name: String) {
        #expect(Array(PathText.text(Array(name.utf8)).utf8) == Array(name.utf8))
        #expect(PathText.bytes(of: name) == Array(name.utf8))
        #expect(PathText.firstEscape(in: name) == nil)
        #expect(PathText.readable(name) == name)
    }

    @Test(
        arguments: [
            [0xff], [0x61, 0xe9, 0x2e], [0xc3], [0xc3, 0x28], [0xed, 0xa0, 0x80],
            [0xf4, 0x90, 0x80, 0x80],
            [0xc0, 0x80], [0xe2, 0x82], [0x80, 0xbf],
            // The escapes themselves, as valid UTF-8.
            [0xf4, 0x8f, 0x9e, 0x80], [0xf4, 0x8f, 0x9f, 0xbf],
        ] as [[UInt8]])
    func otherNamesComeBack(bytes: [UInt8]) {
        let text = PathText.text(bytes)
        #expect(PathText.bytes(of: text) == bytes)
        #expect(PathText.bytes(of: "/a/" + text) == Array("/a/".utf8) + bytes)
        #expect(PathText.firstEscape(in: text) != nil)
        #expect(PathText.readable(text).contains("\u{fffd}"))
        #expect(PathText.firstEscape(in: PathText.readable(text)) == nil)
    }

    @Test func everyStringOfBytesHasATextOfItsOwn() {
        var random = ImageRandom(state: 3)
        var texts: [String: [UInt8]] = [:]
        for _ in 0..<5_000 {
            let pieces: [[UInt8]] = [
                [0x61], [0xc3, 0xa9], [0xc3], [0xa9], [0xf4, 0x8f, 0x9e], [0x80],
                [0xf0, 0x9f, 0x98, 0x80],
            ]
            let bytes = (0..<Int.random(in: 1...5, using: &random)).flatMap { _ in
                pieces[Int.random(in: 0..<pieces.count, using: &random)]
            }
            let text = PathText.text(bytes)
            #expect(PathText.bytes(of: text) == bytes)
            #expect(texts[text, default: bytes] == bytes)
            texts[text] = bytes
        }
    }

    @Test func saysWhereTheFirstOneIs() throws {
        let escape = try #require(
            PathText.firstEscape(in: PathText.text([0x61, 0xc3, 0xa9, 0xfe, 0xff])))
        #expect(escape.byte == 0xfe)
        #expect(escape.offset == 3)
    }
}
