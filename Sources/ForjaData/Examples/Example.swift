import ForjaCore
import ForjaFormats

/// One chat as the model sees it: at each position a token, and the token to predict there.
///
/// The last token of a chat is only ever predicted, so a chat of n tokens has n − 1 positions.
public struct Example: Sendable, Equatable {
    public let tokens: [Int32]
    /// Of each position: the token that follows, or `Batch.ignoredLabel` where it is not part of a trained answer.
    public let labels: [Int32]

    /// - Parameter chat: At least one token.
    public init(_ chat: ChatTokens) {
        precondition(!chat.ids.isEmpty)
        tokens = chat.ids.dropLast()
        labels = zip(chat.ids, chat.isLabel).dropFirst().map { $1 ? $0 : Batch.ignoredLabel }
    }

    /// Positions.
    public var count: Int { tokens.count }
    public var labelCount: Int { labels.count { $0 >= 0 } }
}

/// Chats of a file made into examples of at most T positions, and what was lost on the way.
public struct ExampleSet: Sendable {
    public private(set) var examples: [Example] = []
    /// Line in the file of each example.
    public private(set) var lines: [Int] = []
    /// Examples that were cut at T positions; their ends are lost.
    public private(set) var truncatedCount = 0
    /// Rows left out, by line: those the file's reader left out, then those without a label left.
    public private(set) var skipped: [SkippedRow]
    private let path: String

    /// Encodes the rows of a file.
    ///
    /// - Parameters:
    ///   - length: T, at least 1.
    ///   - badRows: What becomes of a row of which no label is left after T positions.
    /// - Throws: `.invalidInput` naming file and line of a row that cannot be used, or when no row is left.
    public init(
        _ rows: Rows<ChatRow>, encoder: ChatEncoder, length: Int, badRows: BadRowPolicy
    ) throws(ForjaError) {
        precondition(length >= 1)
        path = rows.path
        skipped = rows.skipped
        for (index, row) in rows.values.enumerated() {
            do throws(ForjaError) {
                try add(
                    try encoder.encode(row.messages), line: rows.lines[index], length: length)
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
        _ chat: ChatTokens, line: Int, length: Int
    ) throws(ForjaError) {
        let kept = min(chat.ids.count, length + 1)
        let example = Example(
            ChatTokens(ids: Array(chat.ids[..<kept]), isLabel: Array(chat.isLabel[..<kept])))
        guard example.labelCount > 0 else {
            throw ForjaError(
                .invalidInput,
                "no label is left of a chat of \(chat.ids.count) tokens cut at \(length) positions",
                fix: "raise training.sequence_length_tokens, or skip such rows")
        }
        if kept < chat.ids.count { truncatedCount += 1 }
        examples.append(example)
        lines.append(line)
    }

    /// One line for the log: rows used, cut and left out, the first of these with its reason.
    public var summary: String {
        var text =
            "\(path): \(examples.count) examples, \(truncatedCount) cut, \(skipped.count) rows left out"
        if let first = skipped.first { text += " (the first, line \(first.line): \(first.reason))" }
        return text
    }
}
