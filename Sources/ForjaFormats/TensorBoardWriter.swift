import ForjaCore
import Foundation

/// Scalars for TensorBoard: one event file in a run directory, every event on disk when `write`
/// returns.
///
/// One thread at a time may use a writer.
public final class TensorBoardWriter {
    /// The event file.
    public let path: String
    private let descriptor: Int32

    private static let prefix = "events.out.tfevents."

    /// Opens a new event file.
    ///
    /// - Parameters:
    ///   - directory: Where event files go; must exist.
    ///   - resumingAfterStep: Cuts earlier event files of the directory back to this step, a torn
    ///     last event included, so that no step is shown twice. `nil` leaves them as they are.
    /// - Throws: `.inputOutput`.
    public init(directory: String, resumingAfterStep: Int? = nil) throws(ForjaError) {
        let folder = directory as NSString
        let earlier = try Self.eventFiles(in: directory)
        if let resumingAfterStep {
            for name in earlier {
                try Self.cut(folder.appendingPathComponent(name), afterStep: resumingAfterStep)
            }
        }
        // TensorBoard reads a run's files in name order and never goes back, so the time in the
        // name grows even where the clock was set back or two files start in one second.
        let latest = earlier.compactMap { name in
            name.dropFirst(Self.prefix.count).split(separator: ".").first.flatMap { Int($0) }
        }.max()
        let now = Date().timeIntervalSince1970
        let time = max(Int(now), (latest ?? 0) + 1)
        path = folder.appendingPathComponent(
            "\(Self.prefix)\(String(format: "%010d", time)).\(TemporaryName.host)")
        descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw .file("create", path, errno: errno) }
        try append(TensorBoardEvent.fileVersion(wallTime: now))
    }

    deinit { close(descriptor) }

    /// Appends the scalars of one step.
    ///
    /// - Parameters:
    ///   - step: Updates done.
    ///   - wallTime: Seconds since 1970; `nil`: now.
    /// - Throws: `.inputOutput`, such as on a full disk.
    public func write(
        step: Int, scalars: [(tag: String, value: Float)], wallTime: Double? = nil
    ) throws(ForjaError) {
        try append(
            TensorBoardEvent.scalars(
                scalars, step: step, wallTime: wallTime ?? Date().timeIntervalSince1970))
    }

    private func append(_ event: [UInt8]) throws(ForjaError) {
        let code = writeAll(TensorBoardRecord.frame(event), to: descriptor)
        guard code == 0 else { throw .file("write", path, errno: code) }
    }

    private static func eventFiles(in directory: String) throws(ForjaError) -> [String] {
        do {
            return try FileManager.default.contentsOfDirectory(atPath: directory)
                .filter { $0.hasPrefix(prefix) }.sorted()
        } catch {
            throw ForjaError(
                .inputOutput, "cannot list \(directory)", fix: "check the path",
                cause: error.localizedDescription)
        }
    }

    private static func cut(_ path: String, afterStep step: Int) throws(ForjaError) {
        let file = try MappedFile(path: path).withUnsafeBytes { Array($0) }
        let kept = TensorBoardRecord.records(in: file).filter { record in
            TensorBoardEvent.step(of: record).map { $0 <= step } ?? false
        }.flatMap { TensorBoardRecord.frame(Array($0)) }
        if kept.count < file.count { try AtomicFile.write(kept, to: path) }
    }
}
