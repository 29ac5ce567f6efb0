import JSON
import Testing

@Suite struct JSONTests {
    @Test(
        arguments: [
            ("{}", JSONValue.object(JSONObject())),
            (" [1, -2, 3.5, 1e3] ", [1, -2, 3.5, 1000.0]),
            (#"{"a":{"b":[true,false,null]}}"#, ["a": ["b": [true, false, nil]]]),
            (#""\u00e9\ud83d\ude00\n\/""#, "é😀\n/"),
            ("9223372036854775807", .integer(.max)),
            ("9223372036854775808", .number(9_223_372_036_854_775_808)),
        ] as [(String, JSONValue)])
    func parsesWhatJSONAllows(text: String, expected: JSONValue) throws {
        #expect(try JSONValue.parse(text) == expected)
    }

    @Test(arguments: [
        ("", 0), ("{", 1), ("[1,]", 3), ("01", 1), ("1.", 2), ("nul", 0), ("\"\\x\"", 2),
        ("\"\\ud800\"", 1), (#"{"a":1,"a":2}"#, 7), ("[1] 2", 4), ("1e999", 0), ("\"a\nb\"", 2),
        ("-", 1), ("+1", 0), ("[1 2]", 3), ("NaN", 0),
    ])
    func refusesWhatJSONDoesNot(text: String, offset: Int) {
        let error = #expect(throws: JSONError.self) { try JSONValue.parse(text) }
        #expect(error?.offset == offset)
    }

    @Test func refusesDeepNestingWithoutOverflowingTheStack() {
        let text = String(repeating: "[", count: 1_000_000)
        #expect(throws: JSONError.self) { try JSONValue.parse(text) }
    }

    @Test func refusesInvalidUTF8() {
        #expect(throws: JSONError.self) { try JSONValue.parse([0x22, 0xff, 0x22]) }
        #expect(throws: JSONError.self) { try JSONValue.parse([0x22, 0xed, 0xa0, 0x80, 0x22]) }
    }

    @Test func writesWhatItReads() throws {
        let text = #"{"z":[1,2.5,-3],"a":"\"\\\n\u0001é","n":null,"t":true,"o":{}}"#
        #expect(try JSONValue.parse(text).text() == text)
        #expect(
            try JSONValue.parse(JSONValue.parse(text).text(pretty: true)) == JSONValue.parse(text))
    }

    @Test func writesNumbersThatReadBackExactly() throws {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<1000 {
            let value = Double(bitPattern: UInt64.random(in: 0...UInt64.max, using: &generator))
            guard value.isFinite else { continue }
            let read = try JSONValue.parse(JSONValue.number(value).text())
            #expect(read.doubleValue == value)
        }
    }
}
