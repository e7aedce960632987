import ForjaCore
import ForjaFormats
import Foundation

/// A file of text to tokenise.
public struct TextSource: Sendable, Hashable {
    public enum Format: String, Sendable {
        /// UTF-8; the whole file is one document.
        case plainText = "text"
        /// One JSON object a line; its `text` is one document. Blank lines are passed over.
        case jsonLines = "jsonl"
    }

    public var path: String
    public var format: Format

    public init(path: String, format: Format) {
        self.path = path
        self.format = format
    }

    /// Takes the format from the name: `.jsonl` and `.ndjson` are rows, everything else is text.
    ///
    /// - Throws: `.invalidInput` for packed and binary formats, by name.
    public init(path: String) throws(ForjaError) {
        let suffix = (path as NSString).pathExtension.lowercased()
        if ["gz", "zst", "xz", "bz2", "zip", "tar", "parquet", "arrow"].contains(suffix) {
            throw ForjaError(
                .invalidInput, "\(path): .\(suffix) files are not read",
                fix: "unpack it to plain text or JSONL first")
        }
        let isRows = ["jsonl", "ndjson"].contains(suffix)
        self.init(path: path, format: isRows ? .jsonLines : .plainText)
    }

    /// A source for each path.
    public static func all(_ paths: [String]) throws(ForjaError) -> [TextSource] {
        var sources: [TextSource] = []
        for path in paths { sources.append(try TextSource(path: path)) }
        return sources
    }

    /// SHA-256 over formats and contents of the sources, in order; names do not count.
    ///
    /// - Throws: `.inputOutput` naming the file.
    public static func digest(of sources: [TextSource]) throws(ForjaError) -> SHA256Digest {
        var stream = SHA256Stream()
        for source in sources {
            let contents = try SHA256Digest(contentsOf: source.path)
            stream.update("\(source.format.rawValue) \(contents)\n")
        }
        return stream.digest
    }
}

/// A source file cut into pieces of about one size, each encoded on its own.
package struct TextPieces {
    package enum Piece {
        /// Part of a plain text.
        case text(Range<Int>, endsDocument: Bool)
        /// Whole lines of JSONL; `firstLine` counts from 1.
        case rows(Range<Int>, firstLine: Int)

        package var range: Range<Int> {
            switch self {
            case .text(let range, _), .rows(let range, _): range
            }
        }
    }

    package let source: TextSource
    package let file: MappedFile
    private let targetByteCount: Int
    private let rule: Tokenizer.CuttingRule
    private var position = 0
    private var line = 1

    /// - Throws: `.inputOutput` when the file cannot be read; `.invalidInput` when it is empty.
    package init(
        _ source: TextSource, targetByteCount: Int, rule: Tokenizer.CuttingRule
    ) throws(ForjaError) {
        self.source = source
        self.targetByteCount = targetByteCount
        self.rule = rule
        file = try MappedFile(path: source.path, access: .sequential)
        guard file.count > 0 else { throw Self.empty(source.path) }
    }

    static func empty(_ path: String) -> ForjaError {
        ForjaError(.invalidInput, "\(path) holds no text", fix: "give a file with text in it")
    }

    /// The next piece; `nil` at the end of the file.
    package mutating func next() -> Piece? {
        guard position < file.count else { return nil }
        let start = position
        let firstLine = line
        let rest = start..<file.count
        switch source.format {
        case .plainText:
            position = file.withUnsafeBytes {
                TextCut.place(
                    in: $0, range: rest, target: min(start + targetByteCount, file.count),
                    rule: rule)
            }
            return .text(start..<position, endsDocument: position == file.count)
        case .jsonLines:
            (position, line) = file.withUnsafeBytes { bytes in
                var end = start
                var line = firstLine
                while end < bytes.count, end - start < targetByteCount {
                    let next = memchr(bytes.baseAddress! + end, 0x0A, bytes.count - end)
                    end = next.map { UnsafeRawPointer($0) - bytes.baseAddress! + 1 } ?? bytes.count
                    line += 1
                }
                return (end, line)
            }
            return .rows(start..<position, firstLine: firstLine)
        }
    }
}
