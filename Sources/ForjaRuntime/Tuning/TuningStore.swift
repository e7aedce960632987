import ForjaCore
import Foundation

/// Tunings on disk: one JSON file for each device and driver, in `tuning/` of the user's cache.
///
/// A file holds for the kernels it was measured with. It appears whole: a reader sees the one before or
/// the new one.
public struct TuningStore: Sendable {
    struct File: Codable {
        var format = 1
        var device: String
        var platform: String
        var driver: String
        /// SHA-256 of the kernel sources.
        var kernels: String
        var tuning: Tuning
    }

    public let directory: String

    /// The user's store; `nil` when no variable names a cache directory.
    public static var user: TuningStore? {
        Device.cacheDirectory.map { TuningStore(directory: $0 + "/tuning") }
    }

    public init(directory: String) { self.directory = directory }

    /// Where a device's tuning is kept: its name, and a hash of name, platform and driver.
    public func path(for device: Device.Description) -> String {
        let name = device.name.lowercased().map { $0.isLetter || $0.isNumber ? $0 : "-" }
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325  // FNV-1a (Fowler, Noll and Vo)
        for byte in "\(device.name)\n\(device.platform)\n\(device.driver)".utf8 {
            hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3
        }
        return "\(directory)/\(String(name.prefix(60)))-\(String(hash, radix: 16)).json"
    }

    /// What was measured on `device` with these kernels; empty when nothing was.
    ///
    /// - Throws: `.damagedFile` when there is a file that cannot be read.
    public func tuning(for device: Device.Description) throws(ForjaError) -> Tuning {
        let path = path(for: device)
        guard FileManager.default.fileExists(atPath: path) else { return Tuning() }
        let file: File
        do {
            file = try JSONDecoder().decode(
                File.self, from: Data(contentsOf: URL(fileURLWithPath: path)))
        } catch {
            throw ForjaError(
                .damagedFile, "\(path) cannot be read as a tuning",
                fix: "remove it, or run forja tune, which writes it again", cause: "\(error)")
        }
        return file.kernels == Device.kernelsHash ? file.tuning : Tuning()
    }

    /// Keeps a device's tuning, in place of the one before.
    public func save(_ tuning: Tuning, for device: Device.Description) throws(ForjaError) {
        let file = File(
            device: device.name, platform: device.platform, driver: device.driver,
            kernels: Device.kernelsHash, tuning: tuning)
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
        let path = path(for: device)
        do {
            try FileManager.default.createDirectory(
                atPath: directory, withIntermediateDirectories: true)
            try (encoder.encode(file) + Data("\n".utf8)).write(
                to: URL(fileURLWithPath: path), options: .atomic)
        } catch {
            throw ForjaError(
                .inputOutput, "\(path) cannot be written",
                fix: "make room, or name another directory by FORJA_CACHE_DIR", cause: "\(error)")
        }
    }
}

extension Device {
    /// Takes the tuning that is known for this device: the user's, for further classes of shapes the
    /// shipped one, and for the rest none. `FORJA_TUNING=0` takes none.
    ///
    /// - Returns: One line when the user's tuning cannot be read and is left out.
    public func takeKnownTuning() throws(ForjaError) -> String? {
        guard ProcessInfo.processInfo.environment["FORJA_TUNING"] != "0" else { return nil }
        var note: String?
        var tuning = Tuning()
        do throws(ForjaError) {
            tuning = try TuningStore.user?.tuning(for: description) ?? tuning
        } catch {
            note = "tuning: \(error.message); it is left out"
        }
        try setTuning(tuning.merging(ShippedTunings.tuning(for: description)))
        return note
    }
}
