import ForjaCore
import Foundation

/// Standard output for results, standard error for everything else.
enum Console {
    /// Writes a result and a line end.
    static func result(_ text: String) { write(text + "\n", to: .standardOutput) }

    /// Writes part of a result at once: generated text as it is made.
    static func partialResult(_ text: String) { write(text, to: .standardOutput) }

    static func note(_ text: String) { write(text + "\n", to: .standardError) }

    static func error(_ error: ForjaError) { note("error: \(error)") }

    /// Replaces the current line of an interactive terminal.
    static func status(_ text: String) { write("\r\u{1b}[K\(text)", to: .standardError) }

    static let isInteractive = isatty(STDERR_FILENO) != 0

    /// Prints a result as one JSON document with keys in a fixed order.
    static func json(_ value: some Encodable) throws(ForjaError) {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        do {
            result(String(decoding: try encoder.encode(value), as: UTF8.self))
        } catch {
            throw ForjaError(.inputOutput, "the result cannot be written as JSON: \(error)")
        }
    }

    private static func write(_ text: String, to handle: FileHandle) {
        // A reader that went away (head, a closed pipe) is no failure of ours.
        try? handle.write(contentsOf: Data(text.utf8))
    }
}
