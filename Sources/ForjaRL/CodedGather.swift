import ForjaCore
import ForjaRuntime
import Foundation

/// As JSON: its numbers are finite.
func encoded(_ value: some Encodable) -> String {
    guard let json = try? JSONEncoder().encode(value) else {
        preconditionFailure("texts and finite numbers encode")
    }
    return String(decoding: json, as: UTF8.self)
}

extension Collectives {
    /// A value from every rank, in rank order.
    func gatherCoded<Value: Codable>(_ value: Value) throws(ForjaError) -> [Value] {
        guard rankCount > 1 else { return [value] }
        return try gather(encoded(value)).map {
            guard let value = try? JSONDecoder().decode(Value.self, from: Data($0.utf8)) else {
                preconditionFailure("what another rank encoded decodes")
            }
            return value
        }
    }
}
