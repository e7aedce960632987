import Foundation

/// The answers that a verifier accepts for a task: a string, a number, or a list of these.
///
/// Numbers become text as they are written, `3.0` as `3`; one accepted answer is enough.
public struct GroundTruth: Decodable, Sendable, Hashable {
    /// At least one.
    public let accepted: [String]

    public init(_ accepted: [String]) { self.accepted = accepted }

    public init(from decoder: any Decoder) throws {
        let path = decoder.codingPath
        if var list = try? decoder.unkeyedContainer() {
            var accepted: [String] = []
            while !list.isAtEnd { accepted.append(try list.decode(Answer.self).text) }
            guard !accepted.isEmpty else { throw RowProblem("is an empty list", at: path) }
            self.accepted = accepted
        } else {
            accepted = [try Answer(from: decoder).text]
        }
    }

    private struct Answer: Decodable {
        let text: String

        init(from decoder: any Decoder) throws {
            let value = try decoder.singleValueContainer()
            if let text = try? value.decode(String.self) {
                self.text = text
            } else if let number = try? value.decode(Int.self) {
                text = "\(number)"
            } else if let number = try? value.decode(Decimal.self), number.isFinite {
                text = "\(number)"
            } else {
                throw RowProblem(
                    "is not a string, a number or a list of these", at: decoder.codingPath)
            }
        }
    }
}
