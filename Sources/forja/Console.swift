import ForjaCore
import ForjaFormats
import Foundation
import Synchronization

/// Standard output for results, standard error for everything else.
///
/// A reader that went away (`head`, a closed pipe) stops nothing. A result that cannot be written for any other reason, such
/// as a full disk, ends the process with exit code 1; a log line that cannot be written is lost.
enum Console {
    private static let isSilent = Atomic<Bool>(false)

    /// Prints nothing but errors from now on: for ranks other than the first.
    static func silence() { isSilent.store(true, ordering: .relaxed) }

    /// Writes a result and a line end.
    static func result(_ text: String) { write(text + "\n", to: STDOUT_FILENO) }

    /// Writes part of a result at once: generated text as it is made.
    static func partialResult(_ text: String) { write(text, to: STDOUT_FILENO) }

    static func note(_ text: String) { write(text + "\n", to: STDERR_FILENO) }

    static func error(_ error: ForjaError) { emit("error: \(error)\n", to: STDERR_FILENO) }

    /// Replaces the current line of an interactive terminal.
    static func status(_ text: String) { write("\r\u{1b}[K\(text)", to: STDERR_FILENO) }

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

    private static func write(_ text: String, to descriptor: Int32) {
        guard !isSilent.load(ordering: .relaxed) else { return }
        emit(text, to: descriptor)
    }

    private static func emit(_ text: String, to descriptor: Int32) {
        let code = writeAll(Array(text.utf8), to: descriptor)
        guard code != 0, code != EPIPE, descriptor == STDOUT_FILENO else { return }
        error(
            .file(
                "write", "standard output", errno: code,
                fix: "free space where it goes, or send it elsewhere"))
        exit(1)
    }
}
