import ForjaCore
import ForjaFormats
import Foundation

/// Answers of a task in a directory, kept as they come, so that an interrupted evaluation goes on where it stopped.
///
///     NAME.json    what they are answers to: a key of model, questions and settings
///     NAME.jsonl   one `AnswerRecord` a line, in the order of the questions once all are there
///
/// The directory is locked while one evaluation uses it.
public final class AnswerLog: Sendable {
    /// What was there already.
    public let kept: [AnswerRecord]
    private let path: String
    private let descriptor: Int32

    /// Opens or begins the files of a task.
    ///
    /// - Parameter key: What the answers depend on, by name.
    /// - Throws: `.invalidInput` naming what differs when the directory holds answers with another key; `.damagedFile` for
    ///   files that are not ours; `.inputOutput`.
    public init(directory: String, task: String, key: [String: String]) throws(ForjaError) {
        let base = (directory as NSString).appendingPathComponent(task)
        path = base + ".jsonl"
        let files = FileManager.default
        if files.fileExists(atPath: base + ".json") {
            try Self.check(base + ".json", key)
            kept = try Self.wholeLines(path)
        } else if files.fileExists(atPath: path) {
            throw ForjaError(
                .invalidInput, "\(path) exists and \(task).json beside it does not",
                fix: "choose another --output; this one holds no answers of forja eval")
        } else {
            kept = []
        }
        // First what the answers are to: a process killed in between leaves no answers that nothing explains.
        try AtomicFile.write(Self.json(key) + "\n", to: base + ".json")
        // Without a torn last line, which would spoil the next one.
        try AtomicFile.write(Self.text(kept), to: path)
        descriptor = open(path, O_WRONLY | O_APPEND | O_CLOEXEC)
        guard descriptor >= 0 else { throw .file("open", path, errno: errno) }
    }

    deinit { close(descriptor) }

    /// Appends an answer.
    public func append(_ record: AnswerRecord) throws(ForjaError) {
        let code = writeAll(Array(try Self.text([record]).utf8), to: descriptor)
        guard code == 0 else {
            throw .file(
                "append to", path, errno: code,
                fix: "free space there, then run the command again: it goes on from what is kept")
        }
    }

    /// Writes all answers anew, in the order given.
    public func finish(_ records: [AnswerRecord]) throws(ForjaError) {
        try AtomicFile.write(Self.text(records), to: path)
    }

    private static func check(_ path: String, _ key: [String: String]) throws(ForjaError) {
        let data = try MappedFile(path: path).withUnsafeBytes { Data($0) }
        guard let old = try? JSONDecoder().decode([String: String].self, from: data) else {
            throw ForjaError(
                .damagedFile, "\(path) is not what forja eval writes",
                fix: "choose another --output")
        }
        let names = Set(old.keys).union(key.keys).sorted().filter { old[$0] != key[$0] }
        guard names.isEmpty else {
            let differences = names.map { name in
                let text = { (value: String?) in value ?? "nothing" }
                return "\(name) (\(text(old[name])) there, \(text(key[name])) now)"
            }
            throw ForjaError(
                .invalidInput,
                "\(path) is of other answers; these differ: "
                    + differences.joined(separator: ", "),
                fix: "choose another --output, or the same model, task and options")
        }
    }

    /// Records of every whole line; a torn last line, as a killed process leaves it, is left out.
    private static func wholeLines(_ path: String) throws(ForjaError) -> [AnswerRecord] {
        guard let data = FileManager.default.contents(atPath: path) else { return [] }
        let decoder = JSONDecoder()
        let lines = data.split(separator: UInt8(ascii: "\n"))
        var records: [AnswerRecord] = []
        for (number, line) in lines.enumerated() {
            guard let record = try? decoder.decode(AnswerRecord.self, from: line) else {
                guard number == lines.count - 1 else {
                    throw ForjaError(
                        .damagedFile, "\(path):\(number + 1) is not an answer",
                        fix: "remove the line, and it is answered again; or choose another --output"
                    )
                }
                break
            }
            records.append(record)
        }
        return records
    }

    private static func text(_ records: [AnswerRecord]) throws(ForjaError) -> String {
        var text = ""
        for record in records { text += try json(record) + "\n" }
        return text
    }

    private static func json(_ value: some Encodable) throws(ForjaError) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        do {
            return String(decoding: try encoder.encode(value), as: UTF8.self)
        } catch {
            throw ForjaError(.inputOutput, "an answer cannot be written as JSON: \(error)")
        }
    }
}
