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
        try JSONLines.forEachLine(in: bytes, firstLine: firstLine) {
            (line, number) throws(ForjaError) in
            let row: Row
            do {
                row = try decoder.decode(Row.self, from: line)
            } catch {
                throw ForjaError(
                    .invalidInput,
                    "\(path):\(number) is not a JSON object with a string \"text\"",
                    fix: "correct the line, or name a plain text .txt", cause: "\(error)")
            }
            guard !row.text.isEmpty else {
                throw ForjaError(
                    .invalidInput, "\(path):\(number) has an empty \"text\"",
                    fix: "remove the line")
            }
            try body(row.text)
        }
    }
}
