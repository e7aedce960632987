import ForjaCore

/// How long answers may be, step by step: iterative context lengthening raises the limit as training goes on.
public struct AnswerLengths: Sendable, Equatable {
    /// From each step on, that many tokens; ascending, the first from step 1.
    private let stages: [Stage]

    private struct Stage: Equatable {
        let step: Int
        let tokens: Int
    }

    /// - Parameters:
    ///   - first: Tokens from the first step on.
    ///   - schedule: `STEP:TOKENS, STEP:TOKENS`.
    /// - Throws: `.invalidInput` when the text is none, or steps do not ascend.
    package init(first: Int, schedule: String?) throws(ForjaError) {
        var stages = [Stage(step: 1, tokens: first)]
        for part in (schedule ?? "").split(separator: ",") {
            let numbers = part.split(separator: ":", omittingEmptySubsequences: false)
                .map { Int($0.filter { $0 != " " }) }
            guard numbers.count == 2, let step = numbers[0], let tokens = numbers[1],
                step > stages.last!.step, tokens > 0
            else {
                throw ForjaError(
                    .invalidInput, "grpo.lengthening is \"\(schedule!)\"",
                    fix: "write steps after the first, ascending, with tokens: "
                        + "\"180:32768, 400:65536\"")
            }
            stages.append(Stage(step: step, tokens: tokens))
        }
        self.stages = stages
    }

    /// Most tokens of an answer that the step trains on.
    package func limit(atStep step: Int) -> Int { stages.last { $0.step <= step }!.tokens }

    package var longest: Int { stages.map(\.tokens).max()! }
}
