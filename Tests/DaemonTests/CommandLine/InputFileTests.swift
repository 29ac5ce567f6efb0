import Daemon
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
