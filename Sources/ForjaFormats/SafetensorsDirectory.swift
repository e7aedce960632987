import ForjaCore
import Foundation

/// The weights of a Hugging Face directory: `model.safetensors`, or the shards that
/// `model.safetensors.index.json` lists.
public struct SafetensorsDirectory: Sendable {
    public static let fileName = "model.safetensors"
    public static let indexName = "model.safetensors.index.json"

    public let path: String
    /// The files in name order.
    public let files: [SafetensorsFile]
    private let homes: [String: Int]

    private struct Index: Decodable {
        let weightMap: [String: String]

        enum CodingKeys: String, CodingKey {
            case weightMap = "weight_map"
        }
    }

    /// - Throws: `.inputOutput` when a file is missing; `.damagedFile` naming file and tensor,
    ///   among others when index and shards disagree.
    public init(_ path: String) throws(ForjaError) {
        self.path = path
        func full(_ name: String) -> String { (path as NSString).appendingPathComponent(name) }
        let hasIndex = access(full(Self.indexName), F_OK) == 0
        // A single file beside an index wins, as in transformers.
        guard hasIndex, access(full(Self.fileName), F_OK) != 0 else {
            guard access(full(Self.fileName), F_OK) == 0 else {
                throw ForjaError(
                    .inputOutput,
                    "\(path) has neither \(Self.fileName) nor \(Self.indexName)",
                    fix: "give a directory in Hugging Face layout with safetensors weights")
            }
            let file = try SafetensorsFile(contentsOf: full(Self.fileName))
            files = [file]
            homes = Dictionary(uniqueKeysWithValues: file.tensors.map { ($0.name, 0) })
            return
        }

        let index = full(Self.indexName)
        let map = try Self.weightMap(at: index)
        let names = Set(map.values).sorted()
        for name in names where name.contains("/") || name.hasPrefix(".") {
            throw ForjaError(.damagedFile, "\(index) names \(name), which is not a plain file name")
        }
        var files: [SafetensorsFile] = []
        var homes: [String: Int] = [:]
        for (place, name) in names.enumerated() {
            guard access(full(name), F_OK) == 0 else {
                throw ForjaError(
                    .inputOutput, "\(path) lacks the shard \(name) that \(Self.indexName) lists",
                    fix: "fetch the missing shard")
            }
            let file = try SafetensorsFile(contentsOf: full(name))
            for tensor in file.tensors {
                guard map[tensor.name] == name else {
                    let expected = map[tensor.name] ?? "no file"
                    throw ForjaError(
                        .damagedFile,
                        "\(file.path) holds tensor \(tensor.name), which \(Self.indexName) places "
                            + "in \(expected)",
                        fix: "fetch index and shards of one model again")
                }
                homes[tensor.name] = place
            }
            files.append(file)
        }
        if let missing = map.keys.filter({ homes[$0] == nil }).min() {
            throw ForjaError(
                .damagedFile,
                "\(index) places tensor \(missing) in \(map[missing] ?? ""), which lacks it",
                fix: "fetch index and shards of one model again")
        }
        self.files = files
        self.homes = homes
    }

    private static func weightMap(at index: String) throws(ForjaError) -> [String: String] {
        do {
            let data = try MappedFile(path: index).withUnsafeBytes { Data($0) }
            return try JSONDecoder().decode(Index.self, from: data).weightMap
        } catch let error as ForjaError {
            throw error
        } catch {
            throw ForjaError(
                .damagedFile, "\(index) has no readable weight_map", fix: "fetch the file again",
                cause: "\(error)")
        }
    }

    /// All tensors, by file and then in the order of their bytes.
    public var tensors: [SafetensorsTensor] { files.flatMap(\.tensors) }

    public func contains(_ name: String) -> Bool { homes[name] != nil }

    /// - Throws: `.damagedFile` when no file has a tensor of that name.
    public func tensor(named name: String) throws(ForjaError) -> SafetensorsTensor {
        try file(holding: name).tensor(named: name)
    }

    /// Hands `body` a tensor's bytes: row-major, little-endian, aligned to nothing in particular.
    ///
    /// - Throws: `.damagedFile` when no file has a tensor of that name; what `body` throws.
    public func withUnsafeBytes<Result>(
        of name: String, _ body: (UnsafeRawBufferPointer) throws(ForjaError) -> Result
    ) throws(ForjaError) -> Result {
        try file(holding: name).withUnsafeBytes(of: name, body)
    }

    /// The file that holds a tensor, for messages and checksums.
    ///
    /// - Throws: `.damagedFile` when no file has a tensor of that name.
    public func file(holding name: String) throws(ForjaError) -> SafetensorsFile {
        guard let home = homes[name] else {
            throw ForjaError(
                .damagedFile, "\(path) has no tensor \(name)",
                fix: "check that config.json and the weights belong to one model")
        }
        return files[home]
    }
}
