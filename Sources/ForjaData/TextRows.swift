import ForjaCore
import Foundation

/// The one reader of JSONL text: tokenising and training a tokenizer see the same rows and refuse the same ones.
enum TextRows {
    private struct Row: Decodable {
        let text: String
    }

    /// Hands over the `text` of each line of `bytes`, in order; blank lines are passed over.
    ///
    /// - Parameters:
    ///   - bytes: Whole lines of the file; the last may lack its line feed.
    ///   - path: The file, for messages.
    ///   - firstLine: Number of the first line in `bytes`, from 1.
    /// - Throws: `.invalidInput` naming file and line when a line is not an object with a string `text`, or the text is
    ///   empty; what `body` throws.
    static func forEach(
        in bytes: UnsafeRawBufferPointer.SubSequence, path: String, firstLine: Int,
        _ body: (String) throws(ForjaError) -> Void
    ) throws(ForjaError) {
        let decoder = JSONDecoder()
        var start = bytes.startIndex
        var lineNumber = firstLine
        while start < bytes.endIndex {
            let end = bytes[start...].firstIndex(of: UInt8(ascii: "\n")) ?? bytes.endIndex
            let line = bytes[start..<end]
            let place = "\(path):\(lineNumber)"
            start = end + 1
            lineNumber += 1
            if line.allSatisfy({ [0x20, 0x09, 0x0D].contains($0) }) { continue }
            let row: Row
            do {
                row = try decoder.decode(Row.self, from: Data(line))
            } catch {
                throw ForjaError(
                    .invalidInput, "\(place) is not a JSON object with a string \"text\"",
                    fix: "correct the line, or name a plain text .txt", cause: "\(error)")
            }
            guard !row.text.isEmpty else {
                throw ForjaError(
                    .invalidInput, "\(place) has an empty \"text\"", fix: "remove the line")
            }
            try body(row.text)
        }
    }
}
