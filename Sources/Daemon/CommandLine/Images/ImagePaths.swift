import Encoders
import Glibc

/// What stands for images on the command line: files, `-` for standard input, and folders.
package enum ImagePaths {
    /// Endings of names that make a file of a folder an image, in any case of letters. Files of
    /// other formats than PNG are among them, so that they are reported and not passed over.
    package static let endings = [".png", ".jpg", ".jpeg", ".webp"]

    /// Each folder replaced by its images in the order of their names, byte by byte; folders inside
    /// it and hidden files are left out.
    ///
    /// A folder without images, or that cannot be read, stays what it is and fails as an image.
    package static func expand(_ paths: [String], _ console: Console) -> [String] {
        paths.flatMap { path in
            guard path != "-", isFolder(path) else { return [path] }
            let names = images(in: path)
            if names.isEmpty {
                console.warn(
                    "\(path): no name in this folder ends in "
                        + endings.joined(separator: ", "))
                return [path]
            }
            let start = path.hasSuffix("/") ? path : path + "/"
            return names.map { start + $0 }
        }
    }

    private static func isFolder(_ path: String) -> Bool {
        var status = stat()
        return stat(path.nativePath, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    private static func images(in folder: String) -> [String] {
        guard let listing = opendir(folder.nativePath) else { return [] }
        defer { closedir(listing) }
        var names: [String] = []
        while let entry = readdir(listing) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                PathText.text(bytes.prefix { $0 != 0 })
            }
            let lowered = name.lowercased()
            if !name.hasPrefix("."), endings.contains(where: { lowered.hasSuffix($0) }),
                !isFolder(folder + "/" + name)
            {
                names.append(name)
            }
        }
        return names.sorted {
            PathText.bytes(of: $0).lexicographicallyPrecedes(PathText.bytes(of: $1))
        }
    }
}
