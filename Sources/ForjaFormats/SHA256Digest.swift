import Crypto
import ForjaCore

/// A SHA-256 digest: 32 bytes, printed as 64 hexadecimal digits.
public struct SHA256Digest: Sendable, Hashable, CustomStringConvertible {
    public static let byteCount = 32
    /// The 32 bytes.
    public let bytes: [UInt8]

    /// Takes 32 bytes as a file stores them.
    public init?(bytes: some Sequence<UInt8>) {
        let bytes = Array(bytes)
        guard bytes.count == Self.byteCount else { return nil }
        self.bytes = bytes
    }

    /// Digest of bytes in memory.
    public init(of data: UnsafeRawBufferPointer) {
        var stream = SHA256Stream()
        stream.update(data)
        self = stream.digest
    }

    /// Digest of the UTF-8 of `text`.
    public init(of text: String) {
        self = Array(text.utf8).withUnsafeBytes(SHA256Digest.init(of:))
    }

    /// Digest of a whole file, memory-mapped.
    ///
    /// - Throws: `.inputOutput` naming the file.
    public init(contentsOf path: String) throws(ForjaError) {
        let file = try MappedFile(path: path, access: .sequential)
        var stream = SHA256Stream()
        for start in stride(from: 0, to: file.count, by: 1 << 24) {
            let range = start..<min(start + (1 << 24), file.count)
            file.withUnsafeBytes { stream.update(UnsafeRawBufferPointer(rebasing: $0[range])) }
            file.release(range)
        }
        self = stream.digest
    }

    public var description: String {
        let digits = Array("0123456789abcdef")
        return String(bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] })
    }
}

/// SHA-256 over bytes that arrive in pieces.
public struct SHA256Stream: Sendable {
    private var state = SHA256()

    public init() {}

    public mutating func update(_ bytes: UnsafeRawBufferPointer) {
        state.update(bufferPointer: bytes)
    }

    public mutating func update(_ text: String) {
        Array(text.utf8).withUnsafeBytes { update($0) }
    }

    /// Digest of all bytes so far.
    public var digest: SHA256Digest {
        guard let digest = SHA256Digest(bytes: state.finalize()) else {
            preconditionFailure("SHA-256 has 32 bytes")
        }
        return digest
    }
}
