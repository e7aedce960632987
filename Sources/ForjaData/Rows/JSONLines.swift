import ForjaCore
import ForjaFormats
import Foundation

/// Lines of a JSONL file, each with its number: the one reader of rows.
///
/// Blank lines are no rows and are passed over, but counted, so that a number is the one an editor shows.
public enum JSONLines {
    /// Hands over each line of `bytes` that is not blank, in order.
    ///
    /// - Parameters:
    ///   - bytes: Whole lines of the file; the last may lack its line feed.
    ///   - firstLine: Number of the first line in `bytes`, from 1.
    static func forEachLine(
        in bytes: UnsafeRawBufferPointer.SubSequence, firstLine: Int = 1,
        _ body: (_ line: Data, _ number: Int) throws(ForjaError) -> Void
    ) throws(ForjaError) {
        var start = bytes.startIndex
        var number = firstLine
        while start < bytes.endIndex {
            let end = bytes[start...].firstIndex(of: UInt8(ascii: "\n")) ?? bytes.endIndex
            let line = bytes[start..<end]
            if !line.allSatisfy({ [0x20, 0x09, 0x0D].contains($0) }) {
                try body(Data(line), number)
            }
            start = end + 1
            number += 1
        }
    }

    /// Reads every row of a file.
    ///
    /// - Parameters:
    ///   - badRows: Whether a row that is none ends the reading or is left out and listed.
    /// - Throws: `.inputOutput` when the file cannot be read; `.invalidInput` when it holds no row, or naming file,
    ///   line and reason of a bad row.
    public static func read<Row: Decodable>(
        _ path: String, as type: Row.Type, badRows: BadRowPolicy = .refuse
    ) throws(ForjaError) -> Rows<Row> {
        let file = try MappedFile(path: path, access: .sequential)
        let decoder = JSONDecoder()
        var rows = Rows<Row>(path: path)
        try file.withUnsafeBytes { (bytes) throws(ForjaError) in
            try forEachLine(in: bytes[...]) { (line, number) throws(ForjaError) in
                do {
                    rows.append(try decoder.decode(Row.self, from: line), line: number)
                } catch {
                    let reason = reason(error)
                    guard badRows == .skip else {
                        throw ForjaError(
                            .invalidInput, "\(path):\(number): \(reason)",
                            fix: "correct or remove the line")
                    }
                    rows.skipped.append(SkippedRow(line: number, reason: reason))
                }
            }
        }
        guard !rows.isEmpty || !rows.skipped.isEmpty else {
            throw ForjaError(
                .invalidInput, "\(path) holds no rows", fix: "give one JSON object a line")
        }
        return rows
    }

    /// Rows as JSONL, keys in alphabetical order.
    static func text(_ rows: [any Encodable]) throws(ForjaError) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        do {
            return try rows.map { String(decoding: try encoder.encode($0), as: UTF8.self) + "\n" }
                .joined()
        } catch {
            throw ForjaError(.inputOutput, "a row cannot be written as JSON: \(error)")
        }
    }

    /// What is wrong with a line, in the words of the file.
    static func reason(_ error: any Error) -> String {
        if let problem = error as? RowProblem {
            return problem.path.isEmpty
                ? problem.text : "\"\(name(of: problem.path))\" \(problem.text)"
        }
        switch error as? DecodingError {
        case .keyNotFound(let key, let context):
            return "\"\(name(of: context.codingPath + [key]))\" is missing"
        case .valueNotFound(_, let context):
            return "\"\(name(of: context.codingPath))\" is null"
        case .typeMismatch(let type, let context):
            let path = name(of: context.codingPath)
            return path.isEmpty
                ? "the line is not a JSON object" : "\"\(path)\" is not \(phrase(for: type))"
        default: return "the line is not JSON"
        }
    }

    /// A key as `messages[2].content`.
    private static func name(of path: [any CodingKey]) -> String {
        path.reduce(into: "") { text, key in
            if let index = key.intValue {
                text += "[\(index)]"
            } else {
                text += (text.isEmpty ? "" : ".") + key.stringValue
            }
        }
    }

    private static func phrase(for type: any Any.Type) -> String {
        switch type {
        case is String.Type: "a string"
        case is [Any].Type: "a list"
        case is [String: Any].Type: "an object"
        default: "of the right type"
        }
    }
}

/// What becomes of a row that cannot be used.
public enum BadRowPolicy: String, Sendable, CaseIterable {
    /// The first one ends the work, by file, line and reason.
    case refuse
    /// Left out, and counted with its line and reason.
    case skip
}

/// A row left out.
public struct SkippedRow: Sendable, Equatable {
    public var line: Int
    public var reason: String

    public init(line: Int, reason: String) {
        self.line = line
        self.reason = reason
    }
}

/// Rows of one file, with the lines they stand on and those left out.
public struct Rows<Row> {
    public let path: String
    public private(set) var values: [Row] = []
    /// Line of each of `values`, from 1.
    public private(set) var lines: [Int] = []
    public internal(set) var skipped: [SkippedRow] = []

    public var count: Int { values.count }
    public var isEmpty: Bool { values.isEmpty }

    /// File and line of a row, for messages.
    public func place(of index: Int) -> String { "\(path):\(lines[index])" }

    /// The first rows alone.
    ///
    /// - Parameter count: 0 keeps all.
    public func first(_ count: Int) -> Rows {
        guard count > 0, count < values.count else { return self }
        var part = self
        part.values = Array(values.prefix(count))
        part.lines = Array(lines.prefix(count))
        return part
    }

    mutating func append(_ row: Row, line: Int) {
        values.append(row)
        lines.append(line)
    }
}

extension Rows: Sendable where Row: Sendable {}

/// What makes a row unusable although it is JSON of the right types.
struct RowProblem: Error {
    /// The key, or nothing for the row itself.
    let path: [any CodingKey]
    /// Follows the key's name in the message.
    let text: String

    init(_ text: String, at path: [any CodingKey]) {
        self.text = text
        self.path = path
    }
}
