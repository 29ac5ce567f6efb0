import Daemon
import Glibc
import JSON
import Testing

@Suite struct ImagePathsTests {
    @Test func aFolderStandsForItsImagesInTheOrderOfTheirNames() throws {
        let folder = try TemporaryFolder()
        for name in ["b.png", "a.PNG", "é.jpg", "z.webp", "c.jpeg", "n.txt", ".d.png", "png"] {
            _ = try folder.write(name, [1])
        }
        #expect(mkdir(folder.path + "/inner.png", 0o755) == 0)
        defer { rmdir(folder.path + "/inner.png") }
        let memory = MemoryConsole()
        let expected = ["a.PNG", "b.png", "c.jpeg", "z.webp", "é.jpg"]
        for path in [folder.path, folder.path + "/"] {
            let start = folder.path + "/"
            #expect(
                ImagePaths.expand(["x.png", path, "-"], memory.console)
                    == ["x.png"] + expected.map { start + $0 } + ["-"])
        }
        #expect(memory.errors.text.isEmpty)
    }

    @Test func aFolderWithoutImagesStaysAndIsNamed() throws {
        let folder = try TemporaryFolder()
        _ = try folder.write("notes.txt", [1])
        let memory = MemoryConsole()
        #expect(ImagePaths.expand([folder.path], memory.console) == [folder.path])
        #expect(memory.errors.text.contains(folder.path))
        #expect(ImagePaths.expand(["/nonexistent"], memory.console) == ["/nonexistent"])
    }
}
