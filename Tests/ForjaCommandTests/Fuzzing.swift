import Foundation

/// How long, how and where files are damaged, from the environment.
enum Fuzzing {
    private static let environment = ProcessInfo.processInfo.environment

    static let seed = environment["FUZZ_SEED"].flatMap(UInt64.init) ?? 1

    /// Of a suite, by FUZZ_SECONDS.
    static func seconds(default seconds: Double) -> Double {
        environment["FUZZ_SECONDS"].flatMap(Double.init) ?? seconds
    }

    /// Where what was not refused as it should be is kept, if FUZZ_KEEP names a directory.
    static let keptPath = environment["FUZZ_KEEP"]

    /// Keeps a file there.
    static func keep(_ bytes: [UInt8], _ name: String) throws {
        guard let keptPath else { return }
        try FileManager.default.createDirectory(
            atPath: keptPath, withIntermediateDirectories: true)
        let path = keptPath + "/" + name.replacingOccurrences(of: " ", with: "-")
        try Data(bytes).write(to: URL(fileURLWithPath: path))
    }
}
