import ForjaCore

/// A verifier that has passed its self-test.
///
/// A verifier that answers 0 to everything, or 1, trains a model for days without an error. So each run has it grade
/// responses whose scores are known before it grades any other.
public struct Grader: Sendable {
    public let name: String
    private let verifier: any Verifier

    /// - Throws: `.unavailable` naming the first case that gets another score than its own; `.invalidInput` when
    ///   the cases do not hold both a right and a wrong response.
    public init<V: Verifier>(_ verifier: V) throws(ForjaError) {
        name = V.name
        self.verifier = verifier
        guard V.selfTest.contains(where: { $0.score == 1 }),
            V.selfTest.contains(where: { $0.score == 0 })
        else {
            throw ForjaError(
                .invalidInput,
                "the self-test of the verifier \(name) lacks a right or a wrong response",
                fix: "give it at least one case of each")
        }
        for known in V.selfTest {
            let score: Double
            do {
                score = try verifier.score(known.response, truth: known.truth)
            } catch {
                throw Self.failed(name, known, got: "an error", cause: error.message)
            }
            guard score == known.score else {
                throw Self.failed(name, known, got: "\(score)", cause: nil)
            }
        }
    }

    /// The grader of a verifier with the given name.
    ///
    /// - Throws: `.invalidInput` naming the verifiers there are; as `init`.
    public init(named name: String) throws(ForjaError) {
        switch name {
        case GSM8KVerifier.name: try self.init(GSM8KVerifier())
        case ExactVerifier.name: try self.init(ExactVerifier())
        case RegexVerifier.name: try self.init(RegexVerifier())
        case ArithmeticVerifier.name: try self.init(ArithmeticVerifier())
        default:
            throw ForjaError(
                .invalidInput, "there is no verifier \"\(name)\"",
                fix: "use one of \(Self.names.joined(separator: ", "))")
        }
    }

    /// Names of all verifiers.
    public static let names = [
        ArithmeticVerifier.name, ExactVerifier.name, GSM8KVerifier.name, RegexVerifier.name,
    ]

    /// The score of a response.
    ///
    /// - Parameter accepted: Accepted answers, at least one; the response gets the best of its scores.
    /// - Returns: 0 to 1.
    /// - Throws: `.invalidInput` when there is no accepted answer or one cannot be; `.notFinite`.
    public func score(_ response: String, accepted: [String]) throws(ForjaError) -> Double {
        guard !accepted.isEmpty else {
            throw ForjaError(
                .invalidInput, "ground_truth holds no answer", fix: "give at least one")
        }
        // Every answer is looked at, so that a wrong one is found whatever the response.
        var best = -Double.infinity
        for truth in accepted {
            let score = try verifier.score(response, truth: truth)
            guard score.isFinite else {
                throw ForjaError(
                    .notFinite, "the verifier \(name) gives \(score)",
                    fix: "correct the verifier: scores are finite")
            }
            best = max(best, score)
        }
        return best
    }

    private static func failed(
        _ name: String, _ known: VerifierCase, got: String, cause: String?
    ) -> ForjaError {
        ForjaError(
            .unavailable,
            "the verifier \(name) fails its self-test: \(known.response.debugDescription) against "
                + "\(known.truth.debugDescription) gives \(got) where \(known.score) is right",
            fix: "do not grade with this build: run its tests", cause: cause)
    }
}
