import ForjaCore

/// A question of whole-number arithmetic with a whole answer of at least 0.
public struct ArithmeticQuestion: Hashable, Sendable {
    public enum Operation: String, CaseIterable, Sendable {
        case add, subtract, multiply, divide

        public var sign: String {
            switch self {
            case .add: "+"
            case .subtract: "-"
            case .multiply: "*"
            case .divide: "/"
            }
        }

        /// Number in random streams; never changed.
        var number: UInt32 {
            switch self {
            case .add: 1
            case .subtract: 2
            case .multiply: 3
            case .divide: 4
            }
        }
    }

    public let operation: Operation
    public let left: Int
    public let right: Int

    /// - Precondition: Both operands are at least 0; a difference is too; a quotient is whole.
    public init(_ operation: Operation, _ left: Int, _ right: Int) {
        precondition(left >= 0 && right >= 0)
        switch operation {
        case .add, .multiply: break
        case .subtract: precondition(left >= right)
        case .divide: precondition(right > 0 && left % right == 0)
        }
        self.operation = operation
        self.left = left
        self.right = right
    }

    public var answer: Int {
        switch operation {
        case .add: left + right
        case .subtract: left - right
        case .multiply: left * right
        case .divide: left / right
        }
    }

    /// `57 + 68`.
    public var expression: String { "\(left) \(operation.sign) \(right)" }

    /// What the user asks.
    public var prompt: String { "What is \(expression)?" }

    /// Columns of an addition that carry, or of a subtraction that borrow; 0 for the others.
    public var carryCount: Int {
        guard operation == .add || operation == .subtract else { return 0 }
        var (left, right, carry, count) = (left, right, 0, 0)
        while left > 0 || right > 0 {
            let isCarrying =
                operation == .add
                ? left % 10 + right % 10 + carry >= 10 : left % 10 < right % 10 + carry
            carry = isCarrying ? 1 : 0
            count += carry
            left /= 10
            right /= 10
        }
        return count
    }

    /// Whether the question belongs to held-out sets, as one in ten does.
    ///
    /// A property of the question alone, whatever seed and settings: no held-out set shares a question with any
    /// training set that was ever generated. `3 + 4` and `4 + 3` stand on one side.
    public var isHeldOut: Bool {
        let isCommutative = operation == .add || operation == .multiply
        let (first, second) =
            isCommutative ? (min(left, right), max(left, right)) : (left, right)
        // A dividend may pass 32 bits; its quotient and divisor do not, and say the same.
        let key = operation == .divide ? (answer, right) : (first, second)
        return CounterRandom(seed: 0, purpose: .tasks, stream: 16 + operation.number)
            .integer(below: 10, at: UInt64(key.0) << 32 | UInt64(key.1)) == 0
    }
}
