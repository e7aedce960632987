import ForjaCore
import Foundation

/// Where a rank's last step and collective can be read by others, and by people, when it is gone or hangs: one line in
/// `DIRECTORY/rank-N`, written over at every collective.
///
///     rank 2 on node7, step 31, collective 4
public final class Heartbeat: Sendable {
    private let descriptor: Int32
    /// Lines are padded to this length, so that one write replaces the one before.
    private static let byteCount = 128

    /// Opens the file of a rank, made anew.
    ///
    /// - Throws: `.inputOutput` when it cannot be written.
    public init(of rank: Int, in directory: String) throws(ForjaError) {
        let path = Self.path(of: rank, in: directory)
        descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else {
            throw ForjaError(
                .inputOutput, "\(path) cannot be written: \(String(cString: strerror(errno)))",
                fix: "all ranks write into the run directory: check its owner and mode")
        }
    }

    deinit { close(descriptor) }

    private static func path(of rank: Int, in directory: String) -> String {
        (directory as NSString).appendingPathComponent("rank-\(rank)")
    }

    /// A full disk or a lost one does not end a run that still computes: what is lost is a word in an error message.
    func write(_ line: String) {
        var bytes = Array(line.utf8.prefix(Self.byteCount - 1))
        bytes += Array(repeating: UInt8(ascii: " "), count: Self.byteCount - 1 - bytes.count)
        bytes.append(UInt8(ascii: "\n"))
        _ = pwrite(descriptor, bytes, bytes.count, 0)
    }

    /// What a rank wrote last; `nil` when it wrote nothing.
    public static func last(of rank: Int, in directory: String) -> String? {
        guard
            let line = FileManager.default.contents(atPath: path(of: rank, in: directory)),
            !line.isEmpty
        else { return nil }
        return String(decoding: line, as: UTF8.self)
            .trimmingCharacters(in: .whitespacesAndNewlines)
    }
}
