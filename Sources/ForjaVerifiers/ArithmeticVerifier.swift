import ForjaCore

/// Whole-number arithmetic, as `forja data generate arithmetic` asks it: the number after the last `####` is the answer.
///
/// What follows the mark must be one whole number and nothing else; a response without a mark is graded by the
/// last number in it. Numbers are compared by value, of any length: `007`, `1,000` and `+5` are what they say.
public struct ArithmeticVerifier: Verifier {
    public static let name = "arithmetic"

    public static let selfTest: [VerifierCase] = [
        .right("7 + 8 = 15, write 5, carry 1\n5 + 6 + 1 = 12\n#### 125", truth: "125"),
        .right("It is 1,000", truth: "1000"),
        .right("#### -07", truth: "-7"),
        .wrong("#### 125 or 126", truth: "126"),
        .wrong("#### 12\n#### 13", truth: "12"),
        .wrong("12.5", truth: "5"),
        .wrong("####", truth: "0"),
        .wrong("", truth: "0"),
    ]

    public init() {}

    public func score(_ response: String, truth: String) throws(ForjaError) -> Double {
        guard let expected = Self.integer(trimmed(truth)) else {
            throw ForjaError(
                .invalidInput, "ground_truth \(truth.debugDescription) is not a whole number",
                fix: "give digits, with a minus in front where there is one")
        }
        let marked = afterLastMark(response)
        let given =
            marked.startIndex == response.startIndex
            ? Numerals.last(in: response).flatMap(Numerals.canonicalInteger)
            : Self.integer(trimmed(marked))
        return given == expected ? 1 : 0
    }

    private static func integer(_ text: String) -> String? {
        let plain = Numerals.withoutCommasBetweenDigits(Array(text.utf8))
        return Numerals.canonicalInteger(String(decoding: plain, as: UTF8.self))
    }
}
