import ForjaCore
import Foundation

extension ForjaError {
    /// A system call on a file failed: names the file, the operation and the reason.
    package static func file(
        _ operation: String, _ path: String, errno code: Int32, fix: String? = nil
    ) -> ForjaError {
        let usualFix: String? =
            switch code {
            case ENOENT: "check the path"
            case EACCES, EPERM, EROFS: "check the permissions of the file and its directory"
            case ENOTDIR, EISDIR: "give a path of the other kind"
            default: nil
            }
        return ForjaError(
            .inputOutput, "cannot \(operation) \(path): \(String(cString: strerror(code)))",
            fix: fix ?? usualFix)
    }
}

/// Bytes that an unprivileged process may still write on the file system of `path`, or of its
/// nearest directory that exists.
///
/// - Throws: `.inputOutput` when the file system cannot be asked.
public func freeBytes(at path: String) throws(ForjaError) -> Int {
    var existing = path.isEmpty ? "." : path
    var status = statvfs()
    while statvfs(existing, &status) != 0 {
        guard errno == ENOENT, existing != ".", existing != "/" else {
            throw .file("ask for free space at", existing, errno: errno)
        }
        existing = directory(of: existing)
    }
    return Int(clamping: UInt64(status.f_bavail) * UInt64(status.f_frsize))
}

/// Directory part of a path; "." where there is none.
package func directory(of path: String) -> String {
    let parent = (path as NSString).deletingLastPathComponent
    return parent.isEmpty ? "." : parent
}

/// Makes a directory and its missing parents.
///
/// - Throws: `.inputOutput` naming the directory.
public func makeDirectory(at path: String) throws(ForjaError) {
    do {
        try FileManager.default.createDirectory(
            atPath: path, withIntermediateDirectories: true)
    } catch {
        throw ForjaError(
            .inputOutput, "cannot make the directory \(path)",
            fix: "check the permissions of its parent and that no file has its name",
            cause: error.localizedDescription)
    }
}

/// Flushes a directory's entries to storage, so that a rename inside it survives a power cut.
package func synchronizeDirectory(at path: String) throws(ForjaError) {
    let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { throw .file("open", path, errno: errno) }
    defer { close(descriptor) }
    // Some network file systems cannot flush a directory and say EINVAL; nothing better exists
    // there, and the rename itself has happened.
    if fsync(descriptor) != 0, errno != EINVAL, errno != ENOTSUP {
        throw .file("flush", path, errno: errno)
    }
}
