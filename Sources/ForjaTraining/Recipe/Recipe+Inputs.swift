import ForjaCore
import ForjaFormats
import ForjaModels
import Foundation

extension Recipe {
    /// SHA-256 of everything that decides what a run of the recipe gives: its values, and the contents, not the places, of
    /// the files and models they name. Keys that leave the outcome as it is do not count: where checkpoints are made, what
    /// is logged, and the mesh.
    public func inputDigest() throws(ForjaError) -> SHA256Digest {
        var stream = SHA256Stream()
        for key in RecipeSchema.keys where key.path != "name" {
            guard let value = values[key.path],
                !key.mayChangeOnResume || key.path == "training.max_steps"
            else { continue }
            stream.update("\(key.path)\0")
            switch (key.kind, value) {
            case (.path, .string(let path)): stream.update(try Self.contents(of: path))
            case (.paths, .strings(let paths)):
                for path in paths { stream.update(try Self.contents(of: path)) }
            default: stream.update("\(value)\0")
            }
        }
        return stream.digest
    }

    /// Digest of the model that `model.from` names: configuration, tokenizer, chat template, weights; `nil` for fresh weights.
    package func startDigest() throws(ForjaError) -> String? {
        guard let modelSource else { return nil }
        return "\(SHA256Digest(of: try Self.contents(of: modelSource)))"
    }

    /// Digests of a file, or of what makes a model in a directory.
    private static func contents(of path: String) throws(ForjaError) -> String {
        var isDirectory: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory),
            isDirectory.boolValue
        else { return try SHA256Digest(contentsOf: path).description }
        // A tokenizer's directory needs no weights.
        let directory = (try? ModelDirectory(path).path) ?? path
        var digests: [String] = []
        for name in [
            "config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja",
        ] {
            let file = (directory as NSString).appendingPathComponent(name)
            guard FileManager.default.fileExists(atPath: file) else { continue }
            digests.append("\(name) \(try SHA256Digest(contentsOf: file))")
        }
        for weights in (try? SafetensorsDirectory(directory))?.files ?? [] {
            digests.append("\(try SHA256Digest(contentsOf: weights.path))")
        }
        return digests.joined(separator: "\n")
    }
}
