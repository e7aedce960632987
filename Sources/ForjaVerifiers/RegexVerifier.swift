import ForjaCore
import Foundation

/// The response has a place that matches the pattern in `ground_truth`; `^` and `$` hold it to the whole.
///
/// Patterns are ICU regular expressions. Some need exponentially many steps on some texts, and a response may be such a
/// text, so matching ends after a number of steps in proportion to the response's length and counts as no match. Steps are
/// counted, not seconds: the verdict does not depend on the machine.
public struct RegexVerifier: Verifier {
    public static let name = "regex"

    public static let selfTest: [VerifierCase] = [
        .right("the year 1984 it was", truth: #"\b19\d\d\b"#),
        .right("yes", truth: "^(yes|no)$"),
        .wrong("yes!", truth: "^(yes|no)$"),
        .wrong("", truth: "."),
        .wrong(String(repeating: "a", count: 64) + "b", truth: "^(a+)+$"),
    ]

    public init() {}

    public func score(_ response: String, truth: String) throws(ForjaError) -> Double {
        let expression: NSRegularExpression
        do {
            expression = try NSRegularExpression(pattern: truth)
        } catch {
            throw ForjaError(
                .invalidInput,
                "ground_truth \(truth.debugDescription) is not a regular expression",
                fix: "correct the pattern")
        }
        // ICU reports at each place where a match could begin, and once in 10,000 steps of its matcher.
        let limit = 1000 + response.utf16.count
        var isMatch = false
        var reports = 0
        expression.enumerateMatches(
            in: response, options: .reportProgress,
            range: NSRange(location: 0, length: response.utf16.count)
        ) { result, _, stop in
            reports += 1
            if result != nil { isMatch = true }
            if isMatch || reports > limit { stop.pointee = true }
        }
        return isMatch ? 1 : 0
    }
}
