import ForjaCore
import ForjaFormats

/// Rows of a file made into examples of at most T positions, and what was lost on the way.
public struct ExampleSet: Sendable {
    /// Examples in the order of the rows; of a preference row two, the chosen one first.
    public private(set) var examples: [Example] = []
    /// Line in the file of each row used.
    public private(set) var lines: [Int] = []
    /// Examples that were cut at T positions; their ends are lost.
    public private(set) var truncatedCount = 0
    /// Rows left out: those the file's reader left out, then those of which nothing to learn is left.
    public private(set) var skipped: [SkippedRow]
    public let path: String

    /// Encodes chats, with every answer as labels.
    ///
    /// - Parameters:
    ///   - length: T, at least 1.
    ///   - badRows: What becomes of a row of which no label is left after T positions.
    /// - Throws: `.invalidInput` naming file and line of a row that cannot be used, or when no row is left.
    public init(
        _ rows: Rows<ChatRow>, encoder: ChatEncoder, length: Int, badRows: BadRowPolicy
    ) throws(ForjaError) {
        try self.init(rows, length: length, badRows: badRows) { (row) throws(ForjaError) in
            [try encoder.encode(row.messages)]
        }
    }

    /// Encodes preferences, with the last answer alone as labels.
    ///
    /// - Parameters: As of the other.
    /// - Throws: As the other; also when the two answers of a row are equal after T positions.
    public init(
        _ rows: Rows<PreferenceRow>, encoder: ChatEncoder, length: Int, badRows: BadRowPolicy
    ) throws(ForjaError) {
        try self.init(rows, length: length, badRows: badRows) { (row) throws(ForjaError) in
            [
                try encoder.encode(row.chosenChat, labels: .lastAnswer),
                try encoder.encode(row.rejectedChat, labels: .lastAnswer),
            ]
        }
    }

    private init<Row>(
        _ rows: Rows<Row>, length: Int, badRows: BadRowPolicy,
        encode: (Row) throws(ForjaError) -> [ChatTokens]
    ) throws(ForjaError) {
        precondition(length >= 1)
        path = rows.path
        skipped = rows.skipped
        for (index, row) in rows.values.enumerated() {
            do throws(ForjaError) {
                try add(encode(row), line: rows.lines[index], length: length)
            } catch {
                guard badRows == .skip else {
                    var error = error
                    error.message = "\(rows.place(of: index)): \(error.message)"
                    throw error
                }
                skipped.append(SkippedRow(line: rows.lines[index], reason: error.message))
            }
        }
        guard !examples.isEmpty else {
            throw ForjaError(
                .invalidInput, "\(path) has no row that can be trained on: \(summary)",
                fix: "correct the rows, or raise training.sequence_length_tokens")
        }
    }

    private mutating func add(
        _ chats: [ChatTokens], line: Int, length: Int
    ) throws(ForjaError) {
        var row: [Example] = []
        for chat in chats {
            let kept = min(chat.ids.count, length + 1)
            let example = Example(
                ChatTokens(ids: Array(chat.ids[..<kept]), isLabel: Array(chat.isLabel[..<kept])))
            guard example.labelCount > 0 else {
                throw ForjaError(
                    .invalidInput,
                    "no label is left of a chat of \(chat.ids.count) tokens cut at \(length) "
                        + "positions",
                    fix: "raise training.sequence_length_tokens, or skip such rows")
            }
            row.append(example)
        }
        guard Set(row).count == row.count else {
            throw ForjaError(
                .invalidInput, "both answers are equal in the first \(length) positions",
                fix: "raise training.sequence_length_tokens, or skip such rows")
        }
        truncatedCount += chats.count { $0.ids.count > length + 1 }
        examples += row
        lines.append(line)
    }

    /// Of a preference row two, else one.
    public var examplesPerRow: Int { lines.isEmpty ? 1 : examples.count / lines.count }

    /// File and line of an example, for messages.
    public func place(ofExample index: Int) -> String {
        "\(path):\(lines[index / examplesPerRow])"
    }

    /// One line for the log: rows used, examples cut, rows left out and the first of these with its reason.
    public var summary: String {
        var text =
            "\(path): \(lines.count) rows used, \(truncatedCount) examples cut, "
            + "\(skipped.count) rows left out"
        if let first = skipped.first { text += " (the first, line \(first.line): \(first.reason))" }
        return text
    }
}
