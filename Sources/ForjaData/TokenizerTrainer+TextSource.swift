import ForjaCore
import ForjaFormats

extension TokenizerTrainer {
    /// Adds a source: a text file as one document, a JSONL file row by row.
    ///
    /// - Throws: `.inputOutput` when the file cannot be read; `.invalidInput` naming the file, and the line of a bad
    ///   row, when there is no text.
    public mutating func add(_ source: TextSource) throws(ForjaError) {
        let file = try MappedFile(path: source.path, access: .sequential)
        guard file.count > 0 else { throw TextPieces.empty(source.path) }
        guard source.format == .jsonLines else { return try add(contentsOf: source.path) }
        var rowCount = 0
        try file.withUnsafeBytes { (bytes) throws(ForjaError) in
            try TextRows.forEach(in: bytes[...], path: source.path, firstLine: 1) { text in
                add(text)
                rowCount += 1
            }
        }
        guard rowCount > 0 else { throw TextPieces.empty(source.path) }
    }
}
