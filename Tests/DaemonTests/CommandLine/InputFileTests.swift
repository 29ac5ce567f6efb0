import Daemon
import Encoders
import Glibc
import IPC
import JSON
import Serving
import Testing

@Suite struct InputFileTests {
    @Test(arguments: [0, 1, 65_535, 65_536, 65_537, 300_000])
    func readsAWholeFile(count: Int) throws {
        let folder = try TemporaryFolder()
        let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        let path = try folder.write("f", bytes)
        #expect(try InputFile.read(path, limit: 1 << 20) == bytes)
        if count > 0 {
            #expect(throws: InputFileError.tooLarge(path: path, limit: count - 1)) {
                try InputFile.read(path, limit: count - 1)
            }
            #expect(try InputFile.read(path, limit: count) == bytes)
        }
    }

    @Test func endlessFilesStopAtTheLimit() {
        #expect(throws: InputFileError.tooLarge(path: "/dev/zero", limit: 1000)) {
            try InputFile.read("/dev/zero", limit: 1000)
        }
    }

    @Test(arguments: ["", "/nonexistent/a.png", "/"])
    func missingFilesAreNamed(path: String) throws {
        let error = try #require(throws: InputFileError.self) {
            try InputFile.read(path, limit: 10)
        }
        #expect(!error.isContentAtFault)
        #expect(error.description.contains(path))
    }

    @Test func linesAreTrimmedAndEmptyOnesLeftOut() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("l", Array("red circle\r\n\n  blue square \n\u{e9}\n".utf8))
        #expect(try InputFile.lines(path) == ["red circle", "blue square", "é"])
        let empty = try folder.write("e", Array(" \n\n".utf8))
        #expect(throws: InputFileError.self) { try InputFile.lines(empty) }
        let binary = try folder.write("b", [0xff, 0xfe, 0x0a])
        #expect(throws: InputFileError.self) { try InputFile.lines(binary) }
    }

    @Test func aByteOrderMarkIsNoPartOfTheFirstLine() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("l", [0xef, 0xbb, 0xbf] + Array("red\nblue\n".utf8))
        #expect(
            try InputFile.lines(path).map { Array($0.utf8) } == [
                Array("red".utf8), Array("blue".utf8),
            ])
        let only = try folder.write("o", [0xef, 0xbb, 0xbf, 0x0a])
        #expect(throws: InputFileError.self) { try InputFile.lines(only) }
        // Inside the text it is a character like others.
        let inside = try folder.write("i", Array("a\n\u{feff}b\n".utf8))
        #expect(try InputFile.lines(inside)[1].unicodeScalars.count == 2)
        let settings = try ServeSettings.parse(
            [0xef, 0xbb, 0xbf] + Array("{\"threads\": 3}".utf8), path: "g.json")
        #expect(try settings.value(SettingTable.threads)?.value == 3)
    }

    @Test func aFileThatIsNoUTF8SaysWhere() throws {
        let folder = try TemporaryFolder()
        let bad = try folder.write("b", Array("red\nblue\ncaf".utf8) + [0xe9, 0x0a])
        let error = try #require(throws: InputFileError.self) { try InputFile.lines(bad) }
        #expect(error.description.hasSuffix("not UTF-8 text in line 3"))
        let wide = try folder.write("w", [0xff, 0xfe, 0x61, 0x00])
        let other = try #require(throws: InputFileError.self) { try InputFile.lines(wide) }
        #expect(other.reason.contains("UTF-16"))
    }

    @Test func namesAreBytes() throws {
        let folder = try TemporaryFolder()
        let name = Array("\(folder.path)/caf".utf8) + [0xe9]
        let path = PathText.text(name)
        let memory = MemoryConsole()
        try OutputFile(path).checkWritable()
        try OutputFile(path).write([1, 2], isBinary: true, console: memory.console)
        #expect(try InputFile.read(path, limit: 10) == [1, 2])
        #expect(
            try CheckpointFiles.directory(folder.path).names == [
                PathText.text(Array("caf".utf8) + [0xe9])
            ])
        #expect(try MappedBytes.map(path: path).array() == [1, 2])
        memory.console.warn(path)
        #expect(String(decoding: memory.errors.bytes, as: UTF8.self).hasSuffix("caf\u{fffd}\n"))
        unlink(name.map { CChar(bitPattern: $0) } + [0])
    }

    @Test func textsThatAreNoUTF8AreRefusedByName() throws {
        let bad = PathText.text([0x61, 0xff])
        try ArgumentText.check(["prompts": ["a", "b\u{e9}"], "path": .string(bad)])
        let fault = try #require(throws: WireFault.self) {
            try ArgumentText.check(["prompts": ["a", .string(bad)]])
        }
        #expect(fault.field == "params.prompts[1]")
        #expect(fault.message.contains("0xFF after 1 bytes"))
        #expect(throws: WireFault.self) {
            try ArgumentText.check(["loras": [["name": .string(bad)]]])
        }
        #expect(!AdapterName.isValid(bad))
        #expect(!SettingRules.isEndpoint("ipc:///tmp/" + bad))
    }

    @Test func outputIsCheckedBeforeTheWork() throws {
        let folder = try TemporaryFolder()
        try OutputFile(folder.path + "/new.npy").checkWritable()
        try OutputFile(nil).checkWritable()
        try OutputFile("-").checkWritable()
        for path in ["", folder.path, folder.path + "/none/x.npy", "/nonexistent/x"] {
            #expect(throws: OutputError.self) { try OutputFile(path).checkWritable() }
        }
    }

    @Test func outputReplacesAFile() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("o", [1, 2, 3, 4])
        let memory = MemoryConsole()
        try OutputFile(path).write([9, 8], isBinary: true, console: memory.console)
        #expect(try InputFile.read(path, limit: 10) == [9, 8])
        #expect(memory.output.bytes.isEmpty)
    }

    @Test func binaryIsNotForTerminals() throws {
        let terminal = MemoryConsole(isTerminal: true)
        #expect(throws: OutputError.binaryToTerminal) {
            try OutputFile("-").write([0], isBinary: true, console: terminal.console)
        }
        let pipe = MemoryConsole()
        try OutputFile("-").write([0], isBinary: true, console: pipe.console)
        #expect(pipe.output.bytes == [0])
    }

    @Test func aFullDiskIsAnError() {
        #expect(throws: OutputError.self) {
            try OutputFile("/dev/full").write(
                [1], isBinary: false, console: MemoryConsole().console)
        }
    }
}
