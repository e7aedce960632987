import ForjaCore

/// The response is the answer, letter by letter, white space around either aside.
public struct ExactVerifier: Verifier {
    public static let name = "exact"

    public static let selfTest: [VerifierCase] = [
        .right(" Paris\n", truth: "Paris"),
        .right("a  b", truth: "a  b"),
        .wrong("paris", truth: "Paris"),
        .wrong("Paris.", truth: "Paris"),
        .wrong("a b", truth: "a  b"),
        .wrong("", truth: "Paris"),
    ]

    public init() {}

    public func score(_ response: String, truth: String) throws(ForjaError) -> Double {
        // By bytes: Swift's == would take two spellings of one accented letter for equal.
        trimmed(response).utf8.elementsEqual(trimmed(truth).utf8) ? 1 : 0
    }
}

/// `text` without white space at either end.
func trimmed(_ text: some StringProtocol) -> String {
    var rest = text[...].drop(while: \.isWhitespace)
    while rest.last?.isWhitespace == true { rest.removeLast() }
    return String(rest)
}
