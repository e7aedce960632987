import ForjaCore
import ForjaFormats
import Foundation

/// Σ log π_ref of answers in a file of the cache, a line for each part of the work:
///
///     {"digest":"..","part":0,"sums":[..]}
///
/// Lines are only ever appended, and each is checked by a digest of its own: what a killed run has written counts, a line
/// that it tore does not, and two runs may write at the same time.
package final class ReferenceSumsFile {
    private struct Line: Codable {
        let part: Int
        let sums: [Double]
        /// SHA-256 of both.
        let digest: String

        init(part: Int, sums: [Double]) {
            self.part = part
            self.sums = sums
            digest = Self.digest(part, sums)
        }

        var isWhole: Bool { digest == Self.digest(part, sums) }

        private static func digest(_ part: Int, _ sums: [Double]) -> String {
            var stream = SHA256Stream()
            stream.update("\(part)\n")
            sums.withUnsafeBytes { stream.update($0) }
            return stream.digest.description
        }
    }

    package let path: String
    private var descriptor: Int32 = -1

    package init(_ path: String) { self.path = path }

    deinit {
        if descriptor >= 0 { close(descriptor) }
    }

    /// What is there.
    ///
    /// - Parameter counts: Sums of each part.
    /// - Returns: Sums by part, and how many lines are no whole part.
    package func read(counts: [Int]) -> (parts: [Int: [Double]], damagedLineCount: Int) {
        let data = FileManager.default.contents(atPath: path) ?? Data()
        let decoder = JSONDecoder()
        var parts: [Int: [Double]] = [:]
        var damagedLineCount = 0
        for text in data.split(separator: UInt8(ascii: "\n")) {
            guard let line = try? decoder.decode(Line.self, from: text), line.isWhole,
                counts.indices.contains(line.part), line.sums.count == counts[line.part]
            else {
                damagedLineCount += 1
                continue
            }
            parts[line.part] = line.sums
        }
        return (parts, damagedLineCount)
    }

    /// Appends a part.
    ///
    /// - Parameter sums: Finite.
    /// - Throws: `.inputOutput`.
    package func append(_ sums: [Double], part: Int) throws(ForjaError) {
        if descriptor < 0 {
            descriptor = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o666)
            guard descriptor >= 0 else { throw .file("open", path, errno: errno) }
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        guard let json = try? encoder.encode(Line(part: part, sums: sums)) else {
            preconditionFailure("finite numbers encode")
        }
        // The line feed before ends a line that a killed run has torn.
        let code = writeAll([UInt8(ascii: "\n")] + json + [UInt8(ascii: "\n")], to: descriptor)
        guard code == 0 else {
            throw .file(
                "append to", path, errno: code,
                fix: "free space there, then run the command again: it goes on from what is kept")
        }
    }
}
