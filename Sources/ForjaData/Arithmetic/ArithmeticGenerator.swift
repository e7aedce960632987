import ForjaCore

/// Arithmetic questions without repetition, as a pure function of settings and seed.
///
/// Questions fall into kinds: an operation and a number of digits for either operand. All kinds are asked equally often
/// as long as they last, so that the few short questions are not lost among the many long ones. Within a kind, the order
/// is a pseudo-random permutation of all its questions: nothing is drawn twice, and nothing is remembered.
public struct ArithmeticGenerator: Sendable {
    public struct Settings: Sendable {
        public var operations: [ArithmeticQuestion.Operation]
        /// Digits of either operand; of quotient and divisor in a division. Within 1...9.
        public var digits: ClosedRange<Int>
        /// Columns that carry or borrow, in additions and subtractions; the others have any.
        public var carries: ClosedRange<Int>
        public var seed: UInt64

        public init(
            operations: [ArithmeticQuestion.Operation] = ArithmeticQuestion.Operation.allCases,
            digits: ClosedRange<Int> = 1...3, carries: ClosedRange<Int> = 0...9, seed: UInt64 = 0
        ) {
            self.operations = operations
            self.digits = digits
            self.carries = carries
            self.seed = seed
        }
    }

    private let settings: Settings

    /// - Throws: `.invalidInput` when no operation is given, one is given twice, or digits or carries cannot be.
    public init(_ settings: Settings) throws(ForjaError) {
        guard !settings.operations.isEmpty,
            Set(settings.operations).count == settings.operations.count
        else {
            throw ForjaError(
                .invalidInput, "no operation is given, or one twice",
                fix: "name each of add, subtract, multiply, divide at most once")
        }
        guard settings.digits.lowerBound >= 1, settings.digits.upperBound <= 9 else {
            throw ForjaError(
                .invalidInput, "operands of \(Self.text(settings.digits)) digits cannot be made",
                fix: "ask for 1 to 9 digits")
        }
        guard settings.carries.lowerBound >= 0,
            settings.carries.lowerBound <= settings.digits.upperBound
        else {
            throw ForjaError(
                .invalidInput,
                "operands of \(Self.text(settings.digits)) digits cannot carry "
                    + "\(Self.text(settings.carries)) times",
                fix: "ask for 0 to \(settings.digits.upperBound) carries")
        }
        self.settings = settings
    }

    /// Questions of one side of the split, each once.
    ///
    /// - Parameters:
    ///   - count: A smaller count gives the first of a greater one.
    ///   - isHeldOut: Which side (`ArithmeticQuestion.isHeldOut`).
    /// - Throws: `.invalidInput` saying how many there are, when these are fewer than `count`.
    public func questions(
        _ count: Int, isHeldOut: Bool
    ) throws(ForjaError) -> [ArithmeticQuestion] {
        var kinds = settings.operations.flatMap { operation in
            settings.digits.flatMap { left in
                settings.digits.map { right in
                    Kind(
                        operation: operation, leftDigits: left, rightDigits: right,
                        carries: settings.carries, isHeldOut: isHeldOut, seed: settings.seed)
                }
            }
        }
        var questions: [ArithmeticQuestion] = []
        questions.reserveCapacity(count)
        while questions.count < count, !kinds.isEmpty {
            kinds = kinds.compactMap { kind in
                var kind = kind
                guard questions.count < count, let question = kind.next() else { return nil }
                questions.append(question)
                return kind
            }
        }
        guard questions.count == count else {
            throw ForjaError(
                .invalidInput,
                "these settings have \(questions.count) \(isHeldOut ? "held-out" : "training") "
                    + "questions, not \(count)",
                fix: "ask for fewer, or allow more digits, operations or carries")
        }
        return questions
    }

    private static func text(_ range: ClosedRange<Int>) -> String {
        "\(range.lowerBound) to \(range.upperBound)"
    }
}

/// The questions of one operation and operand length, in permuted order.
private struct Kind {
    /// A kind whose questions are rarer than one in so many is given up: 9-digit sums that carry nine times, say.
    private static let patience = 1_000_000

    private let operation: ArithmeticQuestion.Operation
    private let left: Range<Int>
    private let right: Range<Int>
    private let carries: ClosedRange<Int>
    private let isHeldOut: Bool
    private let order: Permutation
    private var place = 0

    init(
        operation: ArithmeticQuestion.Operation, leftDigits: Int, rightDigits: Int,
        carries: ClosedRange<Int>, isHeldOut: Bool, seed: UInt64
    ) {
        self.operation = operation
        left = Self.numbers(digits: leftDigits)
        let right = Self.numbers(digits: rightDigits)
        self.right = operation == .divide ? max(1, right.lowerBound)..<right.upperBound : right
        self.carries = carries
        self.isHeldOut = isHeldOut
        order = Permutation(
            count: left.count * self.right.count, seed: seed,
            stream: operation.number * 100 + UInt32(leftDigits) * 10 + UInt32(rightDigits))
    }

    /// Numbers written with so many digits; 0 has one.
    private static func numbers(digits: Int) -> Range<Int> {
        let end = (0..<digits).reduce(1) { power, _ in power * 10 }
        return (digits == 1 ? 0 : end / 10)..<end
    }

    mutating func next() -> ArithmeticQuestion? {
        let end = min(order.count, place + Self.patience)
        while place < end {
            let (a, b) = order[place].quotientAndRemainder(dividingBy: right.count)
            place += 1
            if let question = question(left.lowerBound + a, right.lowerBound + b),
                question.isHeldOut == isHeldOut
            {
                return question
            }
        }
        return nil
    }

    private func question(_ a: Int, _ b: Int) -> ArithmeticQuestion? {
        switch operation {
        case .multiply: return ArithmeticQuestion(.multiply, a, b)
        case .divide: return ArithmeticQuestion(.divide, a * b, b)
        case .subtract where a < b: return nil
        case .add, .subtract:
            let question = ArithmeticQuestion(operation, a, b)
            return carries.contains(question.carryCount) ? question : nil
        }
    }
}
