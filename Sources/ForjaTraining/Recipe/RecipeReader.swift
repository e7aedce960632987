import ForjaCore
import Foundation
import Yams

/// Reads a recipe's YAML and overrides into checked values.
struct RecipeReader {
    /// File as the user named it, for messages.
    let file: String
    private(set) var values: [String: RecipeValue] = [:]
    /// Line of each key, from 1; overrides have none.
    private(set) var lines: [String: Int] = [:]

    /// Directory that paths of the file are relative to; overrides are relative to the working directory.
    private let directory: URL

    init(file: String, yaml: String) throws(ForjaError) {
        self.file = file
        directory = URL(fileURLWithPath: file).deletingLastPathComponent()
        let root: Node?
        do {
            root = try Yams.compose(yaml: yaml)
        } catch {
            throw ForjaError(
                .invalidInput, "\(file) is not YAML: \(firstLine(of: error))",
                fix: "correct the file; recipes/quickstart.yaml is an example")
        }
        guard let root, case .mapping(let mapping) = root else {
            throw ForjaError(
                .invalidInput, "\(file) is not a mapping of keys to values",
                fix: "start from recipes/quickstart.yaml")
        }
        try read(mapping, path: "")
    }

    /// Reads a recipe that stands inside another file.
    init(file: String, mapping: Node.Mapping) throws(ForjaError) {
        self.file = file
        directory = URL(fileURLWithPath: file).deletingLastPathComponent()
        try read(mapping, path: "")
    }

    /// Applies one `--set key=value`.
    mutating func set(_ assignment: String) throws(ForjaError) {
        guard let equals = assignment.firstIndex(of: "=") else {
            throw ForjaError(
                .invalidInput, "--set \(assignment) has no =",
                fix: "write --set training.max_steps=100")
        }
        let path = String(assignment[..<equals])
        let text = String(assignment[assignment.index(after: equals)...])
        let node: Node?
        do { node = try Yams.compose(yaml: text) } catch {
            throw ForjaError(
                .invalidInput, "--set \(assignment): \(firstLine(of: error))",
                fix: "quote the value as in YAML")
        }
        try read(
            node ?? Node(""), path: path, place: "--set",
            relativeTo: URL(fileURLWithPath: FileManager.default.currentDirectoryPath))
        lines[path] = nil
    }

    private mutating func read(_ mapping: Node.Mapping, path: String) throws(ForjaError) {
        var seen = Set<String>()
        for (key, node) in mapping {
            let name = key.string ?? "?"
            let whole = path.isEmpty ? name : "\(path).\(name)"
            let line = key.mark?.line ?? node.mark?.line ?? 0
            guard seen.insert(name).inserted else {
                throw ForjaError(
                    .invalidInput, "\(whole) stands twice (\(file):\(line))",
                    fix: "keep one of them")
            }
            lines[whole] = line
            if case .mapping(let inner) = node, RecipeSchema.sections.contains(whole) {
                try read(inner, path: whole)
            } else if RecipeSchema.sections.contains(whole), node.null != nil {
                continue
            } else {
                try read(node, path: whole, place: "\(file):\(line)", relativeTo: directory)
            }
        }
    }

    private mutating func read(
        _ node: Node, path: String, place: String, relativeTo base: URL
    ) throws(ForjaError) {
        guard let key = RecipeSchema.byPath[path] else {
            if RecipeSchema.sections.contains(path) {
                throw ForjaError(
                    .invalidInput, "\(path) is a section, not a value (\(place))",
                    fix: "give the keys below it, such as "
                        + (RecipeSchema.keys.first { $0.path.hasPrefix(path + ".") }?.path ?? ""))
            }
            throw ForjaError(
                .invalidInput, "unknown recipe key \(path) (\(place))",
                fix: RecipeSchema.nearest(to: path).map { "did you mean \($0)?" }
                    ?? "docs/recipes.md lists the keys")
        }
        guard let value = Self.value(of: node, for: key, relativeTo: base) else {
            throw ForjaError(
                .invalidInput,
                "\(path) is \(Self.shown(node)) (\(place))", fix: "give \(Self.expected(key))")
        }
        values[path] = value
    }

    private static func value(
        of node: Node, for key: RecipeKey, relativeTo base: URL
    ) -> RecipeValue? {
        func absolute(_ path: String) -> String {
            URL(fileURLWithPath: path, relativeTo: base).standardizedFileURL.path
        }
        switch key.kind {
        case .integer(let range):
            guard let integer = node.int, range.contains(integer) else { return nil }
            return .integer(integer)
        case .number(let range):
            guard let number = node.float ?? node.int.map(Double.init), range.contains(number)
            else { return nil }
            return .number(number)
        case .boolean:
            return node.bool.map(RecipeValue.boolean)
        case .string:
            return node.string.map(RecipeValue.string)
        case .choice(let choices):
            guard let string = node.string, choices.contains(string) else { return nil }
            return .string(string)
        case .path:
            guard let string = node.string, !string.isEmpty else { return nil }
            return .string(absolute(string))
        case .paths:
            if let string = node.string, !string.isEmpty { return .strings([absolute(string)]) }
            guard case .sequence(let sequence) = node, !sequence.isEmpty else { return nil }
            let strings = sequence.compactMap(\.string).filter { !$0.isEmpty }
            guard strings.count == sequence.count else { return nil }
            return .strings(strings.map(absolute))
        }
    }

    private static func shown(_ node: Node) -> String {
        switch node {
        case .scalar(let scalar): "\"\(scalar.string)\""
        case .mapping: "a mapping"
        case .sequence: "a list"
        case .alias: "an alias"
        }
    }

    private static func expected(_ key: RecipeKey) -> String {
        switch key.kind {
        case .integer(let range):
            "a whole number in \(range.lowerBound) ... \(range.upperBound)"
        case .number(let range): "a number in \(range.lowerBound) ... \(range.upperBound)"
        case .boolean: "true or false"
        case .string: "a text"
        case .choice(let choices): choices.joined(separator: " or ")
        case .path: "a path"
        case .paths: "a path or a list of paths"
        }
    }
}

private func firstLine(of error: any Error) -> String {
    String("\(error)".split(separator: "\n").first ?? "")
}
