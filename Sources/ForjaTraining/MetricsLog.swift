import ForjaCore
import ForjaFormats
import Foundation

/// One line of `metrics.jsonl`: numbers under fixed names, in the order given.
public struct MetricsLine: Sendable {
    private var members: [(name: String, text: String)] = []

    public init(step: Int) { add("step", step) }

    public mutating func add(_ name: String, _ value: Int) { members.append((name, "\(value)")) }

    /// Shortest text that reads back to the same number; `null` when it is not finite, which JSON cannot say.
    public mutating func add(_ name: String, _ value: Float) {
        members.append((name, value.isFinite ? "\(value)" : "null"))
    }
    public mutating func add(_ name: String, _ value: Double) {
        members.append((name, value.isFinite ? "\(value)" : "null"))
    }

    public var json: String {
        "{" + members.map { "\"\($0.name)\":\($0.text)" }.joined(separator: ",") + "}"
    }
}

/// `metrics.jsonl` of a run: one line a step, appended as steps end.
public final class MetricsLog {
    public static let fileName = "metrics.jsonl"
    private let path: String
    private let descriptor: Int32

    /// Opens the log, cut back to what a checkpoint at `step` had seen: later lines and a torn last one go.
    ///
    /// - Parameters:
    ///   - name: Another file whose every line has a `step`, for a stage's own lines.
    ///   - step: Steps done; 0 starts an empty log.
    public init(
        directory: String, name: String = fileName, continuingAfter step: Int
    ) throws(ForjaError) {
        path = (directory as NSString).appendingPathComponent(name)
        let kept = try Self.byteCount(ofLinesAt: path, upTo: step)
        descriptor = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o644)
        guard descriptor >= 0, ftruncate(descriptor, off_t(kept)) == 0 else {
            throw ForjaError(
                .inputOutput, "\(path) cannot be opened: \(String(cString: strerror(errno)))",
                fix: "make the run directory writable")
        }
    }

    /// Bytes up to the end of the last whole line of at most `step`. Steps ascend, so only what goes is looked at, from the
    /// end, however long the log is.
    private static func byteCount(
        ofLinesAt path: String, upTo step: Int
    ) throws(ForjaError) -> Int {
        guard FileManager.default.fileExists(atPath: path) else { return 0 }
        return try MappedFile(path: path).withUnsafeBytes { bytes in
            let newline = UInt8(ascii: "\n")
            var end = bytes.lastIndex(of: newline).map { $0 + 1 } ?? 0
            while end > 0 {
                let start = bytes[..<(end - 1)].lastIndex(of: newline).map { $0 + 1 } ?? 0
                let line = Data(bytes[start..<end])
                if let last = Self.step(of: line), last <= step { break }
                end = start
            }
            return end
        }
    }

    /// Of one line; `nil` when it cannot be read.
    private static func step(of line: Data) -> Int? {
        (try? JSONSerialization.jsonObject(with: line) as? [String: Any])?["step"] as? Int
    }

    deinit { close(descriptor) }

    /// Appends one line.
    public func append(_ line: MetricsLine) throws(ForjaError) { try append(line.json) }

    /// Appends one line, a JSON object with a `step`.
    public func append(_ json: String) throws(ForjaError) {
        try check(writeAll(Array((json + "\n").utf8), to: descriptor), "append to")
    }

    /// Makes everything appended durable.
    ///
    /// - Throws: `.inputOutput`: a full disk or quota may show only here.
    public func synchronize() throws(ForjaError) {
        try check(fsync(descriptor) == 0 ? 0 : errno, "flush")
    }

    private func check(_ code: Int32, _ operation: String) throws(ForjaError) {
        guard code == 0 else {
            throw .file(
                operation, path, errno: code,
                fix: "free space there, then resume from the last checkpoint")
        }
    }

    /// Figures of the newest validation in a run's log, by name; empty when there is none.
    public static func lastValidation(directory: String) throws(ForjaError) -> [String: Double] {
        let path = (directory as NSString).appendingPathComponent(fileName)
        for line in try lines(at: path).reversed() {
            let object = try? JSONSerialization.jsonObject(with: Data(line.text.utf8))
            guard var figures = object as? [String: Any], figures["loss"] == nil else { continue }
            figures["step"] = nil
            return figures.compactMapValues { $0 as? Double }
        }
        return [:]
    }

    /// Whole lines of a log with their steps; a torn last line is left out.
    private static func lines(at path: String) throws(ForjaError) -> [(step: Int, text: String)] {
        guard let data = FileManager.default.contents(atPath: path) else { return [] }
        let text = String(decoding: data, as: UTF8.self)
        return text.split(separator: "\n").compactMap { line in
            step(of: Data(line.utf8)).map { ($0, String(line)) }
        }
    }
}
