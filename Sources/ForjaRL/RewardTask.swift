import ForjaCore
import ForjaData
import ForjaFormats
import ForjaVerifiers

/// A prompt with what its answers are checked against.
public struct RewardTask: Sendable {
    /// File and line.
    let place: String
    /// As the model is asked.
    let prompt: [Int32]
    let checks: [Check]

    struct Check: Sendable {
        let grader: Grader
        let accepted: [String]
    }

    /// What an answer deserves.
    struct Grade: Equatable {
        /// Sum over the checks, before any reward scale.
        var score: Double
        /// Whether every check gives 1.
        var isRight: Bool
    }

    /// - Throws: `.notFinite` when a verifier gives no number.
    func grade(_ response: String) throws(ForjaError) -> Grade {
        var grade = Grade(score: 0, isRight: true)
        for check in checks {
            let score = try check.grader.score(response, accepted: check.accepted)
            grade.score += score
            grade.isRight = grade.isRight && score == 1
        }
        return grade
    }
}

/// Makes tasks of rows, and says of those it leaves out why.
struct RewardTaskReader {
    let encoder: ChatEncoder
    /// Tokens of the longest prompt.
    let maxPromptTokens: Int
    /// Of rows that name none.
    let verifier: String?
    let badRows: BadRowPolicy
    var verifiers: VerifierSet

    /// Tasks of a file, in order.
    ///
    /// - Throws: `.invalidInput` naming file and line of a row that cannot be used, unless such rows are skipped;
    ///   `.unavailable` when a verifier fails its self-test, which no policy passes over.
    mutating func read(
        _ path: String, note: (String) -> Void
    ) throws(ForjaError) -> [RewardTask] {
        let rows = try JSONLines.read(path, as: RewardRow.self, badRows: badRows)
        var skipped = rows.skipped
        var tasks: [RewardTask] = []
        for (index, row) in rows.values.enumerated() {
            do throws(ForjaError) {
                tasks.append(try task(row, place: rows.place(of: index)))
            } catch {
                // Not the row is wrong then.
                guard error.code != .unavailable else { throw error }
                guard badRows == .skip else {
                    throw ForjaError(
                        error.code, "\(rows.place(of: index)): \(error.message)", fix: error.fix)
                }
                skipped.append(SkippedRow(line: rows.lines[index], reason: error.message))
            }
        }
        let first = skipped.min { $0.line < $1.line }
        note(
            "\(path): \(tasks.count) prompts"
                + (first.map {
                    ", \(skipped.count) rows left out, the first in line \($0.line): \($0.reason)"
                } ?? ""))
        return tasks
    }

    private mutating func task(_ row: RewardRow, place: String) throws(ForjaError) -> RewardTask {
        let prompt = try encoder.prompt(row.prompt)
        guard prompt.count <= maxPromptTokens else {
            throw ForjaError(
                .invalidInput,
                "the prompt has \(prompt.count) tokens, and \(maxPromptTokens) leave room for the "
                    + "longest answer",
                fix: "raise training.sequence_length_tokens, or remove the line")
        }
        var checks: [RewardTask.Check] = []
        for check in row.checks {
            let accepted = check.groundTruth.accepted
            let grader = try verifiers.grader(
                named: check.verifier ?? verifier, of: accepted, option: "grpo.verifier")
            checks.append(RewardTask.Check(grader: grader, accepted: accepted))
        }
        return RewardTask(place: place, prompt: prompt, checks: checks)
    }
}
