import ForjaCore
import Foundation

/// A file that appears whole or not at all.
///
/// Bytes go to a temporary name in the same directory; `commit` flushes them to storage, renames
/// the file over the final name and flushes the directory. Without a commit the temporary goes
/// away with this object, and a file already at the final name stays as it was.
///
/// A full disk or quota and the process's file size limit (`ulimit -f`) become errors that name
/// the path, the bytes needed and the bytes free. One thread at a time may use a file.
public final class AtomicFile {
    /// The final name.
    public let path: String
    /// Bytes written so far.
    public private(set) var byteCount = 0

    private let temporaryPath: String
    private let expectedByteCount: Int?
    private var descriptor: Int32
    private var isCommitted = false
    private var pending: [UInt8] = []

    private static let pendingLimit = 1 << 18

    // The kernel sends SIGXFSZ, deadly by default, where a write passes the file size limit.
    // Ignored, the write fails with EFBIG instead. A handler that somebody installed is kept.
    private static let ignoreFileSizeSignal: Void = {
        var action = sigaction()
        guard sigaction(SIGXFSZ, nil, &action) == 0,
            action.__sigaction_handler.sa_handler == nil  // SIG_DFL
        else { return }
        signal(SIGXFSZ, SIG_IGN)
    }()

    /// Opens the temporary file.
    ///
    /// - Parameters:
    ///   - path: The final name; its directory must exist.
    ///   - expectedByteCount: Size of the whole file where known: checked against the free space
    ///     now, before hours of work are spent on a file that cannot be written.
    /// - Throws: `.inputOutput`.
    public init(at path: String, expectedByteCount: Int? = nil) throws(ForjaError) {
        Self.ignoreFileSizeSignal
        self.path = path
        self.expectedByteCount = expectedByteCount
        if let expectedByteCount {
            let free = try freeBytes(at: path)
            guard free >= expectedByteCount else {
                throw Self.full(path, needed: expectedByteCount, free: free, limit: ENOSPC)
            }
        }
        temporaryPath = TemporaryName.reserve(for: path)
        descriptor = open(temporaryPath, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else {
            let code = errno
            TemporaryName.release(temporaryPath)
            throw .file("create", path, errno: code)
        }
    }

    deinit { discard() }

    /// Appends bytes.
    ///
    /// - Throws: `.inputOutput`; the temporary is then removed and the file unusable.
    public func write(_ bytes: UnsafeRawBufferPointer) throws(ForjaError) {
        if bytes.count + pending.count <= Self.pendingLimit {
            pending.append(contentsOf: bytes)
        } else {
            try flush()
            try write(bytes, at: byteCount)
        }
        byteCount += bytes.count
    }

    /// Appends the UTF-8 of `text`.
    public func write(_ text: String) throws(ForjaError) {
        try write(Array(text.utf8))
    }

    /// Appends bytes.
    public func write(_ bytes: [UInt8]) throws(ForjaError) {
        try bytes.span.withUnsafeBytes { (raw) throws(ForjaError) in try write(raw) }
    }

    /// Writes over bytes that were written before, such as a count in a header.
    public func overwrite(_ bytes: [UInt8], at offset: Int) throws(ForjaError) {
        precondition(offset >= 0 && offset + bytes.count <= byteCount)
        try flush()
        try bytes.span.withUnsafeBytes { (raw) throws(ForjaError) in try write(raw, at: offset) }
    }

    /// Makes the file durable under its final name.
    ///
    /// - Throws: `.inputOutput`; what was at the final name is then untouched.
    public func commit() throws(ForjaError) {
        precondition(descriptor >= 0, "commit after a failure or a commit")
        try flush()
        // A quota or a network disk may report a full disk only here or at close.
        guard fsync(descriptor) == 0 else { throw failed("flush", errno, needed: byteCount) }
        let open = descriptor
        descriptor = -1
        guard close(open) == 0 else { throw failed("close", errno, needed: byteCount) }
        guard rename(temporaryPath, path) == 0 else {
            throw failed("rename", errno, needed: byteCount)
        }
        isCommitted = true
        TemporaryName.release(temporaryPath)
        try synchronizeDirectory(at: directory(of: path))
    }

    /// Writes a whole file.
    public static func write(_ text: String, to path: String) throws(ForjaError) {
        try write(Array(text.utf8), to: path)
    }

    /// Writes a whole file.
    public static func write(_ bytes: [UInt8], to path: String) throws(ForjaError) {
        let file = try AtomicFile(at: path, expectedByteCount: bytes.count)
        try file.write(bytes)
        try file.commit()
    }

    private func flush() throws(ForjaError) {
        guard !pending.isEmpty else { return }
        let start = byteCount - pending.count
        let bytes = pending
        pending = []
        try bytes.span.withUnsafeBytes { (raw) throws(ForjaError) in try write(raw, at: start) }
    }

    private func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(ForjaError) {
        precondition(descriptor >= 0, "write after a failure or a commit")
        var done = 0
        while done < bytes.count {
            // Linux moves at most 2 GiB − 4 KiB a call; 1 GiB also suits every other kernel.
            let size = min(bytes.count - done, 1 << 30)
            let written = pwrite(
                descriptor, bytes.baseAddress! + done, size, off_t(offset + done))
            if written > 0 {
                done += written
            } else if written < 0, errno == EINTR {
                continue
            } else {
                throw failed(
                    "write", written == 0 ? ENOSPC : errno, needed: offset + bytes.count)
            }
        }
    }

    /// Removes the temporary and says why. Free space is read before the removal gives it back.
    private func failed(_ operation: String, _ code: Int32, needed: Int) -> ForjaError {
        let free = (try? freeBytes(at: path)) ?? 0
        discard()
        guard code == ENOSPC || code == EDQUOT || code == EFBIG else {
            return .file(operation, path, errno: code)
        }
        return Self.full(
            path, needed: max(expectedByteCount ?? 0, needed), free: free, limit: code)
    }

    private static func full(
        _ path: String, needed: Int, free: Int, limit code: Int32
    ) -> ForjaError {
        let reason =
            switch code {
            case EFBIG: "the file size limit of this process or file system is lower"
            case EDQUOT: "the disk quota is used up"
            default: "the disk is full"
            }
        return ForjaError(
            .inputOutput,
            "cannot write \(path): \(needed) bytes needed, \(free) bytes free; \(reason)",
            fix: code == EFBIG
                ? "raise `ulimit -f` or write to another file system"
                : "free space there or write to another file system")
    }

    private func discard() {
        if descriptor >= 0 { close(descriptor) }
        descriptor = -1
        if !isCommitted { unlink(temporaryPath) }
        TemporaryName.release(temporaryPath)
    }
}
