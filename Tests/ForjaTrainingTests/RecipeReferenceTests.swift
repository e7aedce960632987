import ForjaTraining
import Foundation
import Testing

/// Holds `docs/recipes.md` to the schema: a key is one table row.
@Suite("Recipe reference")
struct RecipeReferenceTests {
    /// Cells of every row that starts with a code span, by the text of that span, and the order they stand in.
    static let rows: [(name: String, cells: [String])] = {
        let page = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .appendingPathComponent("../../docs/recipes.md").standardizedFileURL.path
        let data = FileManager.default.contents(atPath: page) ?? Data()
        return String(decoding: data, as: UTF8.self).split(separator: "\n").compactMap { line in
            guard line.hasPrefix("| `") else { return nil }
            let cells = line.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
            guard cells.count == 4 else { return nil }
            return (cells[0].replacingOccurrences(of: "`", with: ""), cells)
        }
    }()

    @Test("every key has a row, in the schema's order, and there is no other row")
    func keysAreThoseOfTheSchema() {
        #expect(Self.rows.map(\.name) == RecipeSchema.keys.map(\.path))
    }

    @Test("a row has the key's summary, and ↻ where the key may change on resume")
    func rowsSayWhatTheSchemaSays() {
        let rows = Dictionary(Self.rows.map { ($0.name, $0.cells) }) { first, _ in first }
        for key in RecipeSchema.keys {
            let meaning = key.summary + (key.mayChangeOnResume ? " ↻" : "")
            #expect(rows[key.path]?[3] == meaning, "\(key.path)")
        }
    }

    @Test("a row has the key's default and choices")
    func rowsHaveDefaultsAndChoices() {
        let rows = Dictionary(Self.rows.map { ($0.name, $0.cells) }) { first, _ in first }
        for key in RecipeSchema.keys {
            guard let row = rows[key.path] else { continue }
            if case .choice(let choices) = key.kind {
                for choice in choices { #expect(row[1].contains("`\(choice)`"), "\(key.path)") }
            }
            let shown = row[2].hasPrefix("`") ? row[2].replacingOccurrences(of: "`", with: "") : nil
            switch key.defaultValue {
            case .integer(let value): #expect(shown.flatMap { Int($0) } == value, "\(key.path)")
            case .number(let value): #expect(shown.flatMap { Double($0) } == value, "\(key.path)")
            case .boolean(let value): #expect(shown == "\(value)", "\(key.path)")
            case .string(let value): #expect(shown == value, "\(key.path)")
            case .strings, nil: #expect(shown == nil, "\(key.path)")
            }
        }
    }
}
