import ForjaCore
import ForjaFormats
import Foundation

/// The directory of one run, locked while a process uses it.
///
///     recipe.yaml  metrics.jsonl  events.out.tfevents.*  manifest.json
///     checkpoints/step-N/  samples/  heartbeats/rank-N (of several ranks)
public struct RunDirectory: Sendable {
    public let path: String
    /// `nil` where another rank's process holds it.
    private let lock: FileLock?

    /// Opens a directory for a new run, or for one to be resumed.
    ///
    /// - Throws: `.invalidInput` when it holds a run and `isResuming` is false; `.inputOutput` when another process
    ///   uses it or it cannot be written.
    public init(path: String, isResuming: Bool) throws(ForjaError) {
        self.path = path
        try makeDirectory(at: path)
        guard isResuming || Self.isUnused(path) else {
            throw ForjaError(
                .invalidInput, "the run directory \(path) is not empty",
                fix: "add --resume to continue that run, or name another directory")
        }
        lock = try FileLock(directory: path)
        for name in ["checkpoints", "samples"] { try makeDirectory(at: file(name)) }
        TemporaryName.removeStale(in: file("checkpoints"), isExclusive: true)
    }

    /// A directory that the first rank's process has opened for all.
    public init(joining path: String) {
        self.path = path
        lock = nil
    }

    /// Whether a directory is empty or holds only what a run makes before its data and memory are known to suffice: a
    /// refused recipe can then be corrected and started again in the same place.
    private static func isUnused(_ path: String) -> Bool {
        let present = Set(entries(of: path).filter { !$0.hasPrefix(".") })
        let own: Set = ["checkpoints", "samples"]
        return present.isEmpty
            || present.isSuperset(of: own)
                && present.isSubset(of: own.union(["tokenizer.json", "heartbeats"]))
                && own.allSatisfy {
                    entries(of: (path as NSString).appendingPathComponent($0)).isEmpty
                }
    }

    public func file(_ name: String) -> String {
        (path as NSString).appendingPathComponent(name)
    }

    /// Where the ranks of a mesh say how far they are; made when it is asked for.
    public func heartbeats() throws(ForjaError) -> String {
        let directory = file("heartbeats")
        try makeDirectory(at: directory)
        return directory
    }

    public func checkpoint(step: Int) -> String { file("checkpoints/step-\(step)") }

    /// Steps of the checkpoints in a run directory, ascending.
    public static func checkpointSteps(in path: String) -> [Int] {
        entries(of: (path as NSString).appendingPathComponent("checkpoints"))
            .compactMap { $0.hasPrefix("step-") ? Int($0.dropFirst(5)) : nil }.sorted()
    }

    public var checkpointSteps: [Int] { Self.checkpointSteps(in: path) }

    /// Removes all but the newest `count` checkpoints.
    public func removeOldCheckpoints(keeping count: Int) {
        for step in checkpointSteps.dropLast(count) {
            try? FileManager.default.removeItem(atPath: checkpoint(step: step))
        }
    }

    private static func entries(of path: String) -> [String] {
        (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
    }

    /// `runs/NAME-DATE`, with a number behind when that is taken.
    public static func defaultPath(name: String, now: Date = Date()) -> String {
        let formatter = DateFormatter()
        formatter.locale = Locale(identifier: "en_US_POSIX")
        formatter.dateFormat = "yyyyMMdd-HHmmss"
        let base = "runs/\(name)-\(formatter.string(from: now))"
        var path = base
        var number = 2
        while FileManager.default.fileExists(atPath: path) {
            path = "\(base)-\(number)"
            number += 1
        }
        return path
    }
}
