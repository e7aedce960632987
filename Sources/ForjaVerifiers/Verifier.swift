import ForjaCore

/// Decides by rule whether a response answers a task: the reward of reinforcement learning and the score of evaluations.
///
/// A verifier is a pure function of its two texts. Use one through a `Grader`, which runs its self-test first.
public protocol Verifier: Sendable {
    /// What `--verifier` and the `dataset` field of a row call it.
    static var name: String { get }

    /// Cases with a known verdict, at least one right and one wrong.
    static var selfTest: [VerifierCase] { get }

    /// Whether `response` gives the answer `truth`.
    ///
    /// - Parameters:
    ///   - response: What a model wrote; any text, also an empty one.
    ///   - truth: One accepted answer.
    /// - Returns: 1 for right, 0 for wrong, before any reward scale; verifiers with partial credit give what lies between.
    /// - Throws: `.invalidInput` when `truth` can be no answer of this kind: the data is wrong then, not the response.
    func score(_ response: String, truth: String) throws(ForjaError) -> Double
}

/// A response with the score that it is known to deserve.
public struct VerifierCase: Sendable {
    public let response: String
    public let truth: String
    public let score: Double

    public static func right(_ response: String, truth: String) -> VerifierCase {
        VerifierCase(response: response, truth: truth, score: 1)
    }

    public static func wrong(_ response: String, truth: String) -> VerifierCase {
        VerifierCase(response: response, truth: truth, score: 0)
    }
}
