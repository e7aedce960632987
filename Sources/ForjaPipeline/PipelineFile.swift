import ForjaCore
import ForjaFormats
import ForjaTraining
import Foundation
import Yams

/// A pipeline: stages that hand a model on, and what is measured after each.
///
///     seed: 1
///     model: {width: 128, layers: 4, heads: 4, feed_forward_width: 384}
///     evaluation: {chat_template: tulu, chats: chats.jsonl, pairs: pairs.jsonl, questions: questions.jsonl}
///     stages:
///       - name: pretrain
///         recipe: pretrain.yaml
///       - name: sft
///         recipe: {stage: sft, data: {train: chats.jsonl}, ..}
///
/// A stage starts from the one before it, or from the one that `from` names; the first from `model`. Paths are relative to
/// the file.
public struct PipelineFile {
    /// One stage as the file has it.
    public struct Stage {
        public let name: String
        /// The stage it starts from; `nil` for the first.
        public let start: String?
        fileprivate let source: Source
        fileprivate var overrides: [String] = []

        fileprivate enum Source {
            case file(String)
            case inline(Node.Mapping)
        }
    }

    /// File as the user named it.
    public let file: String
    public private(set) var name: String
    /// Of every stage.
    public private(set) var seed = 0
    public private(set) var stages: [Stage] = []
    public private(set) var evaluation = PipelineEvaluation()
    /// `model.*` of the first stage, as `--set` takes them.
    private var model: [String] = []

    /// Reads and checks a pipeline and every recipe in it.
    ///
    /// - Parameter overrides: `STAGE.key=value`, `model.key=value`, `evaluation.key=value` or `seed=value`, in order.
    /// - Throws: `.invalidInput` naming key, file, line and remedy; `.inputOutput` when a file cannot be read.
    public init(contentsOf file: String, overrides: [String] = []) throws(ForjaError) {
        guard let data = FileManager.default.contents(atPath: file) else {
            throw ForjaError(
                .inputOutput, "the pipeline \(file) cannot be read",
                fix: "check the path; recipes/tulu-tiny.yaml is one")
        }
        self.file = file
        name = URL(fileURLWithPath: file).deletingPathExtension().lastPathComponent
        let root: Node?
        do { root = try Yams.compose(yaml: String(decoding: data, as: UTF8.self)) } catch {
            throw ForjaError(
                .invalidInput, "\(file) is not YAML: \("\(error)".prefix { $0 != "\n" })",
                fix: "correct the file; recipes/tulu-tiny.yaml is an example")
        }
        guard case .mapping(let mapping)? = root else {
            throw ForjaError(
                .invalidInput, "\(file) is not a mapping of keys to values",
                fix: "start from recipes/tulu-tiny.yaml")
        }
        for (key, node) in mapping { try read(key.string ?? "?", node) }
        guard !stages.isEmpty else {
            throw ForjaError(
                .invalidInput, "\(file) has no stages",
                fix: "add stages: a list of name and recipe")
        }
        for override in overrides { try set(override) }
        for stage in stages {
            _ = try recipe(of: stage, startingFrom: stage.start.map { "/" + $0 })
        }
    }

    /// A stage's recipe.
    ///
    /// - Parameter start: Run directory of the stage it starts from; `nil` for the first stage.
    public func recipe(
        of stage: Stage, startingFrom start: String?
    ) throws(ForjaError) -> Recipe {
        let overrides =
            (start.map { ["model.from=\(jsonQuoted($0))"] } ?? model)
            + ["training.seed=\(seed)", "name=\(jsonQuoted(stage.name))"] + stage.overrides
        do throws(ForjaError) {
            switch stage.source {
            case .file(let path):
                return try Recipe(contentsOf: path, overrides: overrides)
            case .inline(let mapping):
                return try Recipe(mapping: mapping, file: file, overrides: overrides)
            }
        } catch {
            var error = error
            error.message = "stage \(stage.name): \(error.message)"
            throw error
        }
    }

    // MARK: Reading

    private func place(_ node: Node) -> String { " (\(file):\(node.mark?.line ?? 0))" }

    private func absolute(_ path: String) -> String {
        URL(
            fileURLWithPath: path,
            relativeTo: URL(fileURLWithPath: file).deletingLastPathComponent()
        ).standardizedFileURL.path
    }

    private mutating func read(_ key: String, _ node: Node) throws(ForjaError) {
        switch key {
        case "name": name = try text(node, key)
        case "seed": try setSeed(node)
        case "model":
            guard case .mapping(let mapping) = node else {
                throw ForjaError(
                    .invalidInput, "model is no mapping\(place(node))",
                    fix: "give the model keys of a recipe, or from: DIRECTORY")
            }
            model = try assignments(mapping, path: "model")
        case "evaluation":
            guard case .mapping(let mapping) = node else {
                throw ForjaError(
                    .invalidInput, "evaluation is no mapping\(place(node))",
                    fix: "give \(PipelineEvaluation.keys.joined(separator: ", "))")
            }
            for (key, value) in mapping {
                try evaluation.set(
                    key.string ?? "?", try text(value, "evaluation"), place: place(value),
                    path: absolute)
            }
        case "stages":
            guard case .sequence(let sequence) = node else {
                throw ForjaError(
                    .invalidInput, "stages is no list\(place(node))",
                    fix: "write - name: sft and recipe: sft.yaml for each stage")
            }
            for node in sequence { try readStage(node) }
        default:
            throw ForjaError(
                .invalidInput, "unknown pipeline key \(key)\(place(node))",
                fix: "use name, seed, model, evaluation and stages")
        }
    }

    private mutating func readStage(_ node: Node) throws(ForjaError) {
        guard case .mapping(let mapping) = node else {
            throw ForjaError(
                .invalidInput, "a stage is no mapping\(place(node))",
                fix: "give it name and recipe")
        }
        var name: String?
        var from: String?
        var source: Stage.Source?
        for (key, value) in mapping {
            switch key.string ?? "?" {
            case "name": name = try text(value, "name")
            case "from": from = try text(value, "from")
            case "recipe":
                if case .mapping(let inner) = value {
                    source = .inline(inner)
                } else {
                    source = .file(absolute(try text(value, "recipe")))
                }
            case let other:
                throw ForjaError(
                    .invalidInput, "unknown key \(other) of a stage\(place(value))",
                    fix: "use name, recipe and from")
            }
        }
        guard let name, let source else {
            throw ForjaError(
                .invalidInput,
                "a stage lacks \(name == nil ? "its name" : "a recipe")\(place(node))",
                fix: "give it name and recipe")
        }
        // Names are directories and the heads of --set keys.
        let taken = stages.map(\.name) + ["model", "evaluation", "seed"]
        guard !taken.contains(name), !name.isEmpty,
            name.allSatisfy({ $0.isASCII && ($0.isLetter || $0.isNumber || "-_".contains($0)) })
        else {
            throw ForjaError(
                .invalidInput, "a stage cannot be named \"\(name)\"\(place(node))",
                fix: "use letters, digits, - and _, and each name once")
        }
        if let from, !stages.contains(where: { $0.name == from }) {
            throw ForjaError(
                .invalidInput,
                "stage \(name) starts from \(from), which is no stage before it"
                    + place(node),
                fix: stages.isEmpty
                    ? "remove from: the first stage starts from model"
                    : "use one of \(stages.map(\.name).joined(separator: ", "))")
        }
        stages.append(Stage(name: name, start: from ?? stages.last?.name, source: source))
    }

    private func text(_ node: Node, _ key: String) throws(ForjaError) -> String {
        guard let text = node.string else {
            throw ForjaError(
                .invalidInput, "\(key) is no text\(place(node))", fix: "give one value")
        }
        return text
    }

    private mutating func setSeed(_ node: Node) throws(ForjaError) {
        guard let value = node.int, value >= 0 else {
            throw ForjaError(
                .invalidInput, "seed is no whole number from 0\(place(node))", fix: "use seed: 1")
        }
        seed = value
    }

    /// A mapping's values as `path.key=value`, paths made absolute.
    private func assignments(
        _ mapping: Node.Mapping, path: String
    ) throws(ForjaError) -> [String] {
        var result: [String] = []
        for (key, node) in mapping {
            let whole = "\(path).\(key.string ?? "?")"
            if case .mapping(let inner) = node {
                result += try assignments(inner, path: whole)
            } else {
                let value = try text(node, whole)
                result.append(
                    "\(whole)=" + (whole == "model.from" ? jsonQuoted(absolute(value)) : value))
            }
        }
        return result
    }

    /// Applies one `--set`.
    private mutating func set(_ assignment: String) throws(ForjaError) {
        guard let equals = assignment.firstIndex(of: "="), equals > assignment.startIndex else {
            throw ForjaError(
                .invalidInput,
                "--set \"\(assignment)\" has no " + (assignment.first == "=" ? "key" : "="),
                fix: "write --set STAGE.training.max_steps=100")
        }
        let key = String(assignment[..<equals])
        let value = String(assignment[assignment.index(after: equals)...])
        let head = key.split(separator: ".", maxSplits: 1).map(String.init)
        let first = head.first ?? key
        if let index = stages.firstIndex(where: { $0.name == first }), head.count == 2 {
            stages[index].overrides.append("\(head[1])=\(value)")
        } else if first == "model", head.count == 2 {
            model.append(assignment)
        } else if first == "evaluation", head.count == 2 {
            try evaluation.set(head[1], value, place: " (--set)") {
                URL(fileURLWithPath: $0).standardizedFileURL.path
            }
        } else if key == "seed" {
            try setSeed(Node(value, Tag(.int)))
        } else {
            throw ForjaError(
                .invalidInput, "--set \(assignment): there is no stage \"\(first)\"",
                fix: "begin with one of "
                    + (stages.map(\.name) + ["model", "evaluation", "seed"]).joined(separator: ", ")
            )
        }
    }
}
