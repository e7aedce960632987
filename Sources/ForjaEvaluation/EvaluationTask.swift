import ForjaCore
import ForjaData
import ForjaFormats
import ForjaVerifiers

/// Questions with what their answers are checked against.
public struct EvaluationTask: Sendable {
    public struct Item: Sendable {
        public let prompt: [ChatMessage]
        /// At least one; their scores are added.
        public let checks: [RewardRow.Check]
        /// Where it comes from, for messages: file and line, or the question's number.
        public let place: String
    }

    /// Key of the task in results, and name of its file of answers.
    public let name: String
    /// At least one.
    public let items: [Item]

    /// Questions of the built-in `arithmetic` where no other number is asked for.
    public static let arithmeticCount = 100

    /// The built-in task `arithmetic`, or the rows of a JSONL file.
    ///
    /// `arithmetic` is what `forja data generate arithmetic` holds out without other options: all operations, operands of 1
    /// to 3 digits. No training set of that generator has any of its questions.
    ///
    /// - Parameters:
    ///   - name: `arithmetic`, or the path of a file that ends in `.jsonl`, with rows as for reinforcement learning.
    ///   - limit: Takes the first ones; `nil` all.
    /// - Throws: `.invalidInput` for another name or a bad row, by file and line; `.inputOutput`.
    public init(named name: String, limit: Int?) throws(ForjaError) {
        if name == "arithmetic" {
            self.name = name
            items = try ArithmeticGenerator(ArithmeticGenerator.Settings())
                .questions(limit ?? Self.arithmeticCount, isHeldOut: true).enumerated()
                .map { number, question in
                    Item(
                        prompt: [.user(question.prompt)],
                        checks: [
                            RewardRow.Check(
                                verifier: "arithmetic",
                                groundTruth: GroundTruth(["\(question.answer)"]))
                        ], place: "arithmetic question \(number)")
                }
            return
        }
        guard name.hasSuffix(".jsonl") else {
            throw ForjaError(
                .invalidInput, "there is no task \"\(name)\"",
                fix: "use arithmetic, or a file that ends in .jsonl")
        }
        let rows = try JSONLines.read(name, as: RewardRow.self)
        self.name = String((name.split(separator: "/").last ?? "").dropLast(".jsonl".count))
        items = rows.values.prefix(limit ?? rows.count).enumerated().map { number, row in
            Item(prompt: row.prompt, checks: row.checks, place: rows.place(of: number))
        }
    }

    /// Verifiers of every check by name, each past its self-test; needs no model.
    ///
    /// - Parameter verifier: Of rows that name none.
    /// - Throws: `.invalidInput` naming the row whose verifier is absent or unknown, or whose ground truth its verifier
    ///   cannot read; `.unavailable` when a verifier fails its self-test.
    public func graders(verifier: String? = nil) throws(ForjaError) -> [String: Grader] {
        var verifiers = VerifierSet()
        var graders: [String: Grader] = [:]
        for item in items {
            do throws(ForjaError) {
                for check in item.checks {
                    let grader = try verifiers.grader(
                        named: check.verifier ?? verifier, of: check.groundTruth.accepted,
                        option: "--verifier")
                    graders[grader.name] = grader
                }
            } catch {
                var error = error
                error.message = "\(item.place): \(error.message)"
                throw error
            }
        }
        return graders
    }
}
