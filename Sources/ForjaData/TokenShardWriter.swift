import ForjaCore
import ForjaFormats

/// Writes a token shard as tokens arrive; the file appears when `finish` is called.
///
/// One thread at a time may use a writer.
public final class TokenShardWriter {
    /// Tokens so far.
    public private(set) var count = 0

    private let header: TokenShard.Header
    private let file: AtomicFile

    /// - Throws: `.inputOutput`; `.invalidInput` when vocabulary and end-of-text token do not fit.
    public init(path: String, header: TokenShard.Header) throws(ForjaError) {
        guard header.vocabularySize > 0, header.vocabularySize <= Int(Int32.max),
            header.endOfText.map({ $0 >= 0 && Int($0) < header.vocabularySize }) ?? true
        else {
            throw ForjaError(
                .invalidInput,
                "a vocabulary of \(header.vocabularySize) tokens with end-of-text token "
                    + "\(header.endOfText.map(String.init) ?? "none") cannot be stored")
        }
        self.header = header
        file = try AtomicFile(at: path)
        try file.write(Self.bytes(of: header, count: 0))
    }

    /// Appends tokens.
    ///
    /// - Throws: `.invalidInput` when one lies outside the vocabulary; `.inputOutput`.
    public func append(_ tokens: [Int32]) throws(ForjaError) {
        if let wrong = tokens.first(where: { $0 < 0 || Int($0) >= header.vocabularySize }) {
            throw ForjaError(
                .invalidInput,
                "token \(wrong) lies outside the vocabulary of \(header.vocabularySize)",
                fix: "check that tokenizer.json is complete")
        }
        if header.tokenByteCount == 2 {
            try write(tokens.map { UInt16(truncatingIfNeeded: $0).littleEndian })
        } else {
            try write(tokens.map { UInt32(truncatingIfNeeded: $0).littleEndian })
        }
        count += tokens.count
    }

    /// Completes the header and makes the file durable under its final name.
    ///
    /// - Throws: `.inputOutput`.
    public func finish() throws(ForjaError) -> TokenShard {
        try file.overwrite(Self.bytes(of: header, count: count), at: 0)
        try file.commit()
        return try TokenShard(contentsOf: file.path)
    }

    private func write<Token: BitwiseCopyable>(_ tokens: [Token]) throws(ForjaError) {
        try tokens.span.withUnsafeBytes { (bytes) throws(ForjaError) in try file.write(bytes) }
    }

    private static func bytes(of header: TokenShard.Header, count: Int) -> [UInt8] {
        func encoded(_ value: some FixedWidthInteger) -> [UInt8] {
            withUnsafeBytes(of: value.littleEndian, Array.init)
        }
        var bytes = TokenShard.magic
        bytes += encoded(TokenShard.formatVersion)
        bytes += encoded(UInt32(header.tokenByteCount))
        bytes += encoded(UInt64(count))
        bytes += encoded(UInt32(header.vocabularySize))
        bytes += encoded(header.endOfText ?? -1)
        bytes += header.tokenizerDigest.bytes
        bytes += header.sourceDigest.bytes
        bytes += [UInt8](repeating: 0, count: TokenShard.headerByteCount - bytes.count)
        return bytes
    }
}
