import ForjaCore
import ForjaFormats
import Foundation

extension TokenizerTrainer {
    /// Adds a source: a text file as one document, a JSONL file row by row.
    ///
    /// - Throws: `.inputOutput` when the file cannot be read; `.invalidInput` when it is empty or a row has no text.
    public mutating func add(_ source: TextSource) throws(ForjaError) {
        let file = try MappedFile(path: source.path, access: .sequential)
        guard file.count > 0 else {
            throw ForjaError(
                .invalidInput, "\(source.path) holds no text", fix: "give a file with text in it")
        }
        guard source.format == .jsonLines else { return try add(contentsOf: source.path) }
        var start = 0
        var line = 1
        while start < file.count {
            let end = file.unsafeBytes[start...].firstIndex(of: 0x0A) ?? file.count
            let bytes = Data(file.unsafeBytes[start..<end])
            if !bytes.allSatisfy({ $0 == 0x20 || $0 == 0x0D || $0 == 0x09 }) {
                guard
                    let row = try? JSONSerialization.jsonObject(with: bytes) as? [String: Any],
                    let text = row["text"] as? String
                else {
                    throw ForjaError(
                        .invalidInput, "\(source.path):\(line) is not an object with a text field",
                        fix: "each line is {\"text\": \"...\"}")
                }
                add(text)
            }
            start = end + 1
            line += 1
        }
    }
}
