import Foundation

/// The ready files of recipes/: recipes for `forja train`, pipelines for `forja run`.
public enum ShippedRecipes {
    public static let recipes = files { !$0.contains("\nstages:") }
    public static let pipelines = files { $0.contains("\nstages:") }

    private static func files(where isWanted: (String) -> Bool) -> [String] {
        let directory = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("recipes").path
        let names = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
        return names.filter { $0.hasSuffix(".yaml") }.sorted().map { "\(directory)/\($0)" }
            .filter { isWanted((try? String(contentsOfFile: $0, encoding: .utf8)) ?? "") }
    }
}
