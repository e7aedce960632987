import ForjaCore
import ForjaFormats

/// A tokenised text in one memory-mapped file.
///
///     offset  size
///          0     8  magic "FORJATOK"
///          8     4  u32  format version, 1
///         12     4  u32  bytes of a token: 2 or 4
///         16     8  u64  number of tokens
///         24     4  u32  vocabulary size V; every token is below it
///         28     4  i32  end-of-text token, −1 where there is none
///         32    32  SHA-256 of the tokenizer file
///         64    32  SHA-256 over the sources
///         96    32  zero
///        128        tokens, u16 or u32
///
/// Everything is little-endian. The end-of-text token stands after each document.
public struct TokenShard: Sendable {
    /// What a shard says about itself.
    public struct Header: Sendable, Equatable {
        public var vocabularySize: Int
        /// `nil` where documents are joined without a mark.
        public var endOfText: Int32?
        public var tokenizerDigest: SHA256Digest
        public var sourceDigest: SHA256Digest

        public init(
            vocabularySize: Int, endOfText: Int32?, tokenizerDigest: SHA256Digest,
            sourceDigest: SHA256Digest
        ) {
            self.vocabularySize = vocabularySize
            self.endOfText = endOfText
            self.tokenizerDigest = tokenizerDigest
            self.sourceDigest = sourceDigest
        }

        /// Bytes of one token: 2 where the vocabulary allows it.
        var tokenByteCount: Int { vocabularySize <= 1 << 16 ? 2 : 4 }
    }

    static let magic = Array("FORJATOK".utf8)
    /// Part of every cache key, so that a new format makes new files.
    public static let formatVersion: UInt32 = 1
    static let headerByteCount = 128

    public let path: String
    public let header: Header
    /// Number of tokens.
    public let count: Int

    private let file: MappedFile

    public var endOfText: Int32? { header.endOfText }

    /// - Throws: `.inputOutput` when the file cannot be read; `.damagedFile` when it is no shard,
    ///   of another version, or cut off.
    public init(contentsOf path: String) throws(ForjaError) {
        let file = try MappedFile(path: path)
        (header, count) = try file.withUnsafeBytes { (bytes) throws(ForjaError) in
            try Self.readHeader(path: path, bytes: bytes)
        }
        self.path = path
        self.file = file
    }

    /// Copies tokens as int32.
    ///
    /// - Parameters:
    ///   - range: Within 0 ..< `count`.
    ///   - destination: At least as many elements as `range`.
    /// - Throws: `.damagedFile` when a token lies outside the vocabulary.
    public func copy(
        _ range: Range<Int>, into destination: UnsafeMutableBufferPointer<Int32>
    ) throws(ForjaError) {
        precondition(range.lowerBound >= 0 && range.upperBound <= count)
        precondition(range.count <= destination.count)
        let largest = file.withUnsafeBytes { bytes in
            let tokens = UnsafeRawBufferPointer(rebasing: bytes[Self.headerByteCount...])
            return header.tokenByteCount == 2
                ? Self.widen(tokens.bindMemory(to: UInt16.self)[range], into: destination)
                : Self.widen(tokens.bindMemory(to: UInt32.self)[range], into: destination)
        }
        guard largest < UInt32(header.vocabularySize) || range.isEmpty else {
            throw ForjaError(
                .damagedFile,
                "\(path) holds token \(largest) between \(range.lowerBound) and "
                    + "\(range.upperBound), outside its vocabulary of \(header.vocabularySize)",
                fix: "remove the file; it is made again from the text")
        }
    }

    /// Tokens as an array.
    ///
    /// - Throws: `.damagedFile` when a token lies outside the vocabulary.
    public func tokens(in range: Range<Int>) throws(ForjaError) -> [Int32] {
        var failure: ForjaError?
        let tokens = [Int32](unsafeUninitializedCapacity: range.count) { buffer, size in
            do throws(ForjaError) {
                try copy(range, into: buffer)
                size = range.count
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        return tokens
    }

    /// Returns the largest value, which tells whether all are in the vocabulary.
    private static func widen<Token: FixedWidthInteger & UnsignedInteger>(
        _ source: UnsafeBufferPointer<Token>.SubSequence,
        into destination: UnsafeMutableBufferPointer<Int32>
    ) -> UInt32 {
        var largest: UInt32 = 0
        for (place, token) in source.enumerated() {
            let value = UInt32(Token(littleEndian: token))
            largest = max(largest, value)
            destination.initializeElement(at: place, to: Int32(bitPattern: value))
        }
        return largest
    }

    private static func readHeader(
        path: String, bytes: UnsafeRawBufferPointer
    ) throws(ForjaError) -> (Header, count: Int) {
        func damaged(_ what: String) -> ForjaError {
            ForjaError(
                .damagedFile, "\(path) is not a sound token shard: \(what)",
                fix: "remove the file; it is made again from the text")
        }
        guard bytes.count >= headerByteCount, bytes.prefix(magic.count).elementsEqual(magic) else {
            throw damaged("its first bytes are not a shard's header")
        }
        let version = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt32.self))
        guard version == formatVersion else {
            throw damaged("it has version \(version), this program reads \(formatVersion)")
        }
        let width = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 12, as: UInt32.self))
        let count = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: 16, as: UInt64.self))
        let size = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 24, as: UInt32.self))
        let end = Int32(littleEndian: bytes.loadUnaligned(fromByteOffset: 28, as: Int32.self))
        guard let tokenizer = SHA256Digest(bytes: bytes[32..<64]),
            let source = SHA256Digest(bytes: bytes[64..<96]),
            size > 0, size <= UInt32(Int32.max), end >= -1, end < Int64(size)
        else {
            throw damaged("vocabulary size \(size) and end-of-text token \(end) do not fit")
        }
        let header = Header(
            vocabularySize: Int(size), endOfText: end < 0 ? nil : end, tokenizerDigest: tokenizer,
            sourceDigest: source)
        guard Int(width) == header.tokenByteCount else {
            throw damaged("tokens of \(width) bytes for a vocabulary of \(size)")
        }
        let stored = (bytes.count - headerByteCount) / header.tokenByteCount
        guard count == UInt64(stored),
            (bytes.count - headerByteCount) % header.tokenByteCount == 0
        else {
            throw damaged("its header says \(count) tokens, the file has room for \(stored)")
        }
        return (header, stored)
    }
}
