import ForjaCore
import ForjaFormats
import Foundation

/// What a pipeline remembers of a stage, in a file beside the stage's run directory: `02-sft.json` of `02-sft`.
struct StageRecord: Codable, Equatable {
    /// SHA-256 of what goes into the stage: `Recipe.inputDigest`.
    var inputs: String
    /// SHA-256 of what `metrics` were measured by; `nil` until they are.
    var evaluation: String?
    /// Measured after the last step.
    var metrics: [String: Double]?

    /// - Throws: `.damagedFile` when it is there and cannot be read.
    init?(of directory: String) throws(ForjaError) {
        let path = Self.path(of: directory)
        guard let data = FileManager.default.contents(atPath: path) else { return nil }
        do { self = try JSONDecoder().decode(Self.self, from: data) } catch {
            throw ForjaError(
                .damagedFile, "\(path) cannot be read",
                fix: "move it and \(directory) away: the stage runs anew", cause: "\(error)")
        }
    }

    init(inputs: String) { self.inputs = inputs }

    private static func path(of directory: String) -> String { directory + ".json" }

    func write(for directory: String) throws(ForjaError) {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted]
        guard let json = try? encoder.encode(self) else {
            throw ForjaError(
                .notFinite, "a metric of \(directory) is not a finite number: \(metrics ?? [:])")
        }
        try AtomicFile.write(
            String(decoding: json, as: UTF8.self) + "\n", to: Self.path(of: directory))
    }
}
