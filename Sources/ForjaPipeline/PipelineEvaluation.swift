import ForjaCore

/// What is measured on the model of every stage; what no file is given for is left out.
public struct PipelineEvaluation: Codable, Hashable, Sendable {
    static let keys = [
        "chat_template", "chats", "pairs", "questions", "limit", "max_tokens", "length_tokens",
    ]

    /// How chats are written, also for a model that was not trained on any.
    public private(set) var chatTemplate = "tulu"
    /// Chats whose answers `held_out_loss` is measured on.
    public private(set) var chats: String?
    /// Pairs of answers that `preference_accuracy` is measured on.
    public private(set) var pairs: String?
    /// Questions with a ground truth that `pass_at_1` is measured on.
    public private(set) var questions: String?
    /// Rows used of each file, the first ones; 0 uses all.
    public private(set) var limit = 0
    /// Longest answer to a question, tokens.
    public private(set) var maxTokens = 128
    /// Longest chat, tokens; longer ones are cut.
    public private(set) var lengthTokens = 512

    mutating func set(
        _ key: String, _ value: String, place: String, path: (String) -> String
    ) throws(ForjaError) {
        func number(_ least: Int) throws(ForjaError) -> Int {
            guard let number = Int(value), number >= least else {
                throw ForjaError(
                    .invalidInput, "evaluation.\(key) is \"\(value)\"\(place)",
                    fix: "use a whole number from \(least)")
            }
            return number
        }
        switch key {
        case "chat_template": chatTemplate = value
        case "chats": chats = path(value)
        case "pairs": pairs = path(value)
        case "questions": questions = path(value)
        case "limit": limit = try number(0)
        case "max_tokens": maxTokens = try number(1)
        case "length_tokens": lengthTokens = try number(1)
        default:
            throw ForjaError(
                .invalidInput, "unknown key evaluation.\(key)\(place)",
                fix: "use one of \(Self.keys.joined(separator: ", "))")
        }
    }
}
