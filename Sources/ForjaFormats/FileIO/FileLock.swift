import ForjaCore
import Foundation

/// A directory in use by one process: an advisory `flock` on a file inside it.
///
/// The lock goes with the process however it ends. The file stays and holds the last holder's
/// process and host, for the message that a second process gets.
public final class FileLock: Sendable {
    /// Name of the lock file inside the directory.
    public static let fileName = ".lock"

    private let descriptor: Int32

    /// Takes the lock, or refuses at once.
    ///
    /// - Throws: `.unavailable` naming the holder; `.inputOutput` when the file cannot be made.
    public init(directory: String) throws(ForjaError) {
        let path = (directory as NSString).appendingPathComponent(Self.fileName)
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw .file("open the lock", path, errno: errno) }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            let code = errno
            let holder = Self.holder(descriptor)
            close(descriptor)
            guard code == EWOULDBLOCK else { throw .file("lock", path, errno: code) }
            throw ForjaError(
                .unavailable, "\(directory) is in use by \(holder)",
                fix: "wait for it or stop it, or choose another directory")
        }
        let text = Array("\(getpid()) \(TemporaryName.host)\n".utf8)
        // Only a courtesy to the next reader: the lock holds without it, on a full disk too.
        if ftruncate(descriptor, 0) == 0 { _ = pwrite(descriptor, text, text.count, 0) }
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }

    private static func holder(_ descriptor: Int32) -> String {
        var bytes = [UInt8](repeating: 0, count: 300)
        let size = pread(descriptor, &bytes, bytes.count, 0)
        let words = String(decoding: bytes.prefix(max(0, size)), as: UTF8.self)
            .split(whereSeparator: \.isWhitespace)
        guard words.count == 2, let process = Int(words[0]) else { return "another process" }
        return "process \(process) on \(words[1])"
    }
}
