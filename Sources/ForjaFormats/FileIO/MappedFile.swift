import ForjaCore
import Foundation

/// A file's bytes in memory without reading them: pages come from the page cache when touched, so
/// files larger than memory work and processes share one copy.
///
/// The file must keep its length while mapped; cutting it raises SIGBUS in whoever touches the
/// missing pages. Everything Forja writes is renamed into place and never changed after.
public final class MappedFile: @unchecked Sendable {
    // Immutable after init, and the mapping is read-only: safe to share.

    public let path: String
    /// The bytes; valid as long as this object lives.
    public let unsafeBytes: UnsafeRawBufferPointer

    /// How the pages will be visited, a hint for read-ahead.
    public enum Access: Sendable {
        case sequential, random
    }

    /// - Throws: `.inputOutput` naming the file.
    public init(path: String, access: Access = .random) throws(ForjaError) {
        self.path = path
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .file("open", path, errno: errno) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw .file("read", path, errno: errno) }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw ForjaError(
                .inputOutput, "\(path) is not a regular file", fix: "give the path of a file")
        }
        let size = Int(status.st_size)
        guard size > 0 else {
            unsafeBytes = UnsafeRawBufferPointer(start: nil, count: 0)
            return
        }
        guard let address = mmap(nil, size, PROT_READ, MAP_PRIVATE, descriptor, 0),
            address != MAP_FAILED
        else { throw .file("map", path, errno: errno) }
        if access == .sequential { madvise(address, size, Int32(MADV_SEQUENTIAL)) }
        unsafeBytes = UnsafeRawBufferPointer(start: address, count: size)
    }

    deinit {
        if let address = unsafeBytes.baseAddress {
            munmap(UnsafeMutableRawPointer(mutating: address), unsafeBytes.count)
        }
    }

    public var count: Int { unsafeBytes.count }

    /// Gives the memory of pages wholly inside `range` back; they are read again when touched.
    ///
    /// For one pass over a large file: the kernel would take clean pages back by itself, but until
    /// it has to they count as this process's memory.
    public func release(_ range: Range<Int>) {
        let page = Int(getpagesize())
        let start = (range.lowerBound + page - 1) / page * page
        let end = range.upperBound == count ? count : range.upperBound / page * page
        guard let base = unsafeBytes.baseAddress, start < end else { return }
        madvise(UnsafeMutableRawPointer(mutating: base + start), end - start, Int32(MADV_DONTNEED))
    }

    /// The bytes, with this object kept alive meanwhile.
    public func withUnsafeBytes<Result, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        defer { withExtendedLifetime(self) {} }
        return try body(unsafeBytes)
    }
}
