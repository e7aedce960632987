import ForjaCore

/// What a pipeline came to: every stage's checkpoint, and what was measured on it.
public struct PipelineReport: Codable, Sendable {
    public struct Stage: Codable, Sendable {
        public let name: String
        /// Directory of the last checkpoint.
        public let checkpoint: String
        /// `held_out_loss` (nats per token), `preference_accuracy` and `pass_at_1` (0 to 1), `answer_tokens` (mean), as far as
        /// they were measured.
        public let metrics: [String: Double]

        public init(name: String, checkpoint: String, metrics: [String: Double]) {
            self.name = name
            self.checkpoint = checkpoint
            self.metrics = metrics
        }
    }

    public var stages: [Stage] = []

    /// Names of the figures, those that every pipeline may have first.
    private var columns: [String] {
        let known = ["held_out_loss", "preference_accuracy", "pass_at_1", "answer_tokens"]
        let all = Set(stages.flatMap(\.metrics.keys))
        return known.filter(all.contains) + all.subtracting(known).sorted()
    }

    /// A Markdown table, a row a stage.
    public var table: String {
        let columns = columns
        let header = ["stage"] + columns
        let rows = stages.map { stage in
            [stage.name]
                + columns.map { name in stage.metrics[name].map(Self.shown) ?? "" }
        }
        let widths = header.indices.map { column in
            ([header] + rows).map { $0[column].count }.max() ?? 0
        }
        func line(_ cells: [String]) -> String {
            "| "
                + zip(cells, widths).map { cell, width in
                    cell + String(repeating: " ", count: width - cell.count)
                }.joined(separator: " | ") + " |"
        }
        let rule =
            "| " + widths.map { String(repeating: "-", count: $0) }.joined(separator: " | ") + " |"
        return ([line(header), rule] + rows.map(line)).joined(separator: "\n")
    }

    private static func shown(_ value: Double) -> String {
        let thousandths = (value * 10_000).rounded() / 10_000
        return "\(thousandths)"
    }
}
