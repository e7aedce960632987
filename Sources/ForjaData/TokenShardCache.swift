import ForjaCore
import ForjaFormats
import Foundation

/// Tokenizers and token shards kept between runs, found by what they were made from.
///
/// The directory is `$FORJA_CACHE_DIR`, else `$XDG_CACHE_HOME/forja`, else `~/.cache/forja`. Files
/// appear whole and are never changed, so runs may share it at the same time; removing any of them
/// is safe.
public struct TokenShardCache: Sendable {
    public let directory: String

    /// Opens the user's cache.
    ///
    /// - Throws: `.inputOutput` when the directory cannot be made.
    public init() throws(ForjaError) {
        try self.init(directory: Self.directory(in: ProcessInfo.processInfo.environment))
    }

    /// - Throws: `.inputOutput` when the directory cannot be made.
    public init(directory: String) throws(ForjaError) {
        self.directory = directory
        try makeDirectory(at: directory)
        TemporaryName.removeStale(in: directory)
    }

    package static func directory(in environment: [String: String]) -> String {
        func value(_ key: String) -> NSString? {
            environment[key].flatMap { $0.isEmpty ? nil : $0 as NSString }
        }
        if let directory = value("FORJA_CACHE_DIR") { return directory as String }
        // The XDG specification has relative paths ignored.
        if let cache = value("XDG_CACHE_HOME"), cache.isAbsolutePath {
            return cache.appendingPathComponent("forja")
        }
        let home = value("HOME") ?? NSHomeDirectory() as NSString
        return home.appendingPathComponent(".cache/forja")
    }

    /// The shard of `sources`, made now unless it is there.
    ///
    /// A damaged file in the cache is made again.
    ///
    /// - Parameters:
    ///   - tokenizerPath: The tokenizer.json; its contents are part of the key.
    ///   - endOfText, threads, progress: As of `Tokenization`.
    /// - Throws: What `Tokenizer` and `Tokenization` throw.
    public func shard(
        of sources: [TextSource], tokenizerPath: String, endOfText: Int32? = nil, threads: Int,
        progress: ((Tokenization.Progress) -> Void)? = nil
    ) throws(ForjaError) -> TokenShard {
        let tokenizerDigest = try SHA256Digest(contentsOf: tokenizerPath)
        let sourceDigest = try TextSource.digest(of: sources)
        let path = path(
            of: "tokens", suffix: "shard",
            key: [
                "\(TokenShard.formatVersion)", "\(tokenizerDigest)", "\(sourceDigest)",
                endOfText.map(String.init) ?? "own",
            ])
        if access(path, F_OK) == 0 {
            do throws(ForjaError) {
                return try TokenShard(contentsOf: path)
            } catch {
                guard error.code == .damagedFile else { throw error }
                // Written over below.
            }
        }
        let tokenization = Tokenization(
            tokenizer: try Tokenizer(contentsOf: tokenizerPath), tokenizerDigest: tokenizerDigest,
            endOfText: endOfText, threads: threads)
        return try tokenization.write(
            sources, to: path, sourceDigest: sourceDigest, progress: progress)
    }

    /// Where a file made from `key` belongs, such as a trained tokenizer: write it there
    /// atomically if it is absent.
    ///
    /// - Parameters:
    ///   - kind: First part of the name, such as "tokenizer".
    ///   - key: Everything the contents depend on: digests of inputs, options, format version.
    public func path(of kind: String, suffix: String, key: [String]) -> String {
        var stream = SHA256Stream()
        // Lengths keep ["ab", "c"] and ["a", "bc"] apart.
        for part in key { stream.update("\(part.utf8.count):\(part)") }
        return (directory as NSString).appendingPathComponent("\(kind)-\(stream.digest).\(suffix)")
    }

    /// Puts a copy of a file into a run directory, where the user may change it.
    ///
    /// - Throws: `.inputOutput`.
    public static func place(_ path: String, at destination: String) throws(ForjaError) {
        var (source, present) = (stat(), stat())
        if stat(path, &source) == 0, stat(destination, &present) == 0,
            source.st_dev == present.st_dev, source.st_ino == present.st_ino
        {
            return
        }
        let file = try MappedFile(path: path, access: .sequential)
        let copy = try AtomicFile(at: destination, expectedByteCount: file.count)
        try file.withUnsafeBytes { (bytes) throws(ForjaError) in try copy.write(bytes) }
        try copy.commit()
    }
}
