import ForjaCore
import Foundation

/// A directory that appears whole or not at all, such as a checkpoint.
///
/// Files are made under `temporaryPath`; `commit` flushes everything to storage and renames the
/// directory. Without a commit it goes away with this object; what a killed process left is
/// removed when the next directory is made beside it.
public final class AtomicDirectory {
    /// The final name.
    public let path: String
    /// Where to write until the commit: beside the final name, on the same file system.
    public let temporaryPath: String
    private var isCommitted = false

    /// Makes the temporary directory, and the missing parents of `path`.
    ///
    /// - Parameter expectedByteCount: Size of all files together where known, checked against the
    ///   free space now.
    /// - Throws: `.inputOutput`.
    public init(at path: String, expectedByteCount: Int? = nil) throws(ForjaError) {
        self.path = path
        let parent = directory(of: path)
        try makeDirectory(at: parent)
        TemporaryName.removeStale(in: parent)
        if let expectedByteCount {
            let free = try freeBytes(at: parent)
            guard free >= expectedByteCount else {
                throw ForjaError(
                    .inputOutput,
                    "cannot write \(path): \(expectedByteCount) bytes needed, \(free) bytes free",
                    fix: "free space there or write to another file system")
            }
        }
        temporaryPath = TemporaryName.reserve(for: path)
        guard mkdir(temporaryPath, 0o777) == 0 else {
            let code = errno
            TemporaryName.release(temporaryPath)
            throw .file("make the directory", path, errno: code)
        }
    }

    deinit {
        if !isCommitted { try? FileManager.default.removeItem(atPath: temporaryPath) }
        TemporaryName.release(temporaryPath)
    }

    /// Path of a file while it is written.
    public func path(of name: String) -> String {
        (temporaryPath as NSString).appendingPathComponent(name)
    }

    /// Makes the directory durable under its final name.
    ///
    /// - Parameter isReplacing: Whether a directory already there is replaced, such as a damaged
    ///   checkpoint written again. A kill between the two renames leaves neither under the name.
    /// - Throws: `.inputOutput`, among others when the final name exists and is not replaced.
    public func commit(isReplacing: Bool = false) throws(ForjaError) {
        precondition(!isCommitted, "committed twice")
        try synchronizeTree(at: temporaryPath)
        var replaced: String?
        if isReplacing, access(path, F_OK) == 0 {
            let aside = TemporaryName.reserve(for: path)
            guard rename(path, aside) == 0 else {
                let code = errno
                TemporaryName.release(aside)
                throw .file("replace", path, errno: code)
            }
            replaced = aside
        }
        guard rename(temporaryPath, path) == 0 else {
            let code = errno
            // The original goes back: under its temporary name it would count as left over, and be removed.
            if let replaced, rename(replaced, path) == 0 { TemporaryName.release(replaced) }
            throw .file(
                "rename the finished directory to", path, errno: code,
                fix: "move what is there away")
        }
        isCommitted = true
        try synchronizeDirectory(at: directory(of: path))
        if let replaced {
            try? FileManager.default.removeItem(atPath: replaced)
            TemporaryName.release(replaced)
        }
    }

    private func synchronizeTree(at root: String) throws(ForjaError) {
        let entries: [String]
        do {
            entries = try FileManager.default.contentsOfDirectory(atPath: root)
        } catch {
            throw ForjaError(
                .inputOutput, "cannot list \(root)", cause: error.localizedDescription)
        }
        for name in entries {
            let entry = (root as NSString).appendingPathComponent(name)
            var status = stat()
            guard lstat(entry, &status) == 0 else { throw .file("read", entry, errno: errno) }
            switch status.st_mode & S_IFMT {
            case S_IFDIR: try synchronizeTree(at: entry)
            case S_IFREG:
                let descriptor = open(entry, O_RDONLY | O_CLOEXEC)
                guard descriptor >= 0 else { throw .file("open", entry, errno: errno) }
                defer { close(descriptor) }
                guard fsync(descriptor) == 0 else { throw .file("flush", entry, errno: errno) }
            default: break
            }
        }
        try synchronizeDirectory(at: root)
    }
}
