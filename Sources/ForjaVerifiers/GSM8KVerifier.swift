import ForjaCore

/// Grade-school mathematics: the last number of the response against the number after `####`.
///
/// The rule of Tülu 3's training reward (Lambert et al., 2024, arXiv:2411.15124): commas between digits are dropped,
/// the last signed decimal or integer of the response is taken, and compared as text with the gold answer, from which
/// commas are removed. As text: `5.0` is not `5`. `Numerals.last` says when a minus belongs to a number.
public struct GSM8KVerifier: Verifier {
    public static let name = "gsm8k"

    public static let selfTest: [VerifierCase] = [
        .right("She has 3 + 4 = <<3+4=7>>7 apples.\n#### 7", truth: "7"),
        .right("That makes $1,450,000.", truth: "so 5 times\n#### 1,450,000"),
        .right("The change is -12.5 degrees", truth: "-12.5"),
        .wrong("7 apples, or rather 8", truth: "7"),
        .wrong("The answer is -7", truth: "7"),
        .wrong("seven", truth: "7"),
        .wrong("", truth: "7"),
    ]

    public init() {}

    /// - Parameter truth: A number, or a worked answer that ends in `####` and a number.
    public func score(_ response: String, truth: String) throws(ForjaError) -> Double {
        let gold = answer(of: truth)
        guard Numerals.isNumber(gold) else {
            throw ForjaError(
                .invalidInput, "ground_truth \(truth.debugDescription) is not a number",
                fix: "give a number, or text that ends in #### and a number")
        }
        return Numerals.last(in: response) == (gold.first == "+" ? String(gold.dropFirst()) : gold)
            ? 1 : 0
    }

    private func answer(of truth: String) -> String {
        afterLastMark(truth).filter { $0 != "," && !$0.isWhitespace }
    }
}

/// What follows the last `####`; all of `text` where there is none.
func afterLastMark(_ text: String) -> Substring {
    var rest = text[...]
    while let mark = rest.firstRange(of: "####") { rest = rest[mark.upperBound...] }
    return rest
}
