/// How a question is worked out on paper, line by line, with the answer after `####` on the last.
///
///     57 + 68         52 - 37          57 * 68               3876 / 57
///     7 + 8 = 15      12 - 7 = 5       57 * 8 = 456          387 = 6 * 57 + 45
///     5 + 6 + 1 = 12  5 - 3 - 1 = 1    57 * 60 = 3420        456 = 8 * 57 + 0
///     #### 125        #### 15          456 + 3420 = 3876     #### 68
///                                      #### 3876
public struct ArithmeticWorking: Sendable {
    /// One line's result off by one, from which the rest follows: the answer is wrong by a power of ten.
    public struct Slip: Sendable {
        /// Any number at least 0; counted modulo the lines that can slip.
        public var line: Int
        /// Whether one is added where both are possible.
        public var isUp: Bool

        public init(line: Int, isUp: Bool) {
            self.line = line
            self.isUp = isUp
        }
    }

    public private(set) var lines: [String] = []
    public private(set) var answer = 0

    /// The whole solution.
    public var text: String { (lines + ["#### \(answer)"]).joined(separator: "\n") }

    /// - Parameter slip: `nil` for the right solution.
    public init(_ question: ArithmeticQuestion, slip: Slip? = nil) {
        let (left, right) = (question.left, question.right)
        switch question.operation {
        case .add: add(left, right, slip)
        case .subtract: subtract(left, right, slip)
        case .multiply: multiply(left, right, slip)
        case .divide: divide(left, right, slip)
        }
    }

    /// What the slip makes of the result of a line, within `range`.
    private func result(
        _ value: Int, line: Int, of count: Int, in range: ClosedRange<Int>, scale: Int = 1,
        _ slip: Slip?
    ) -> Int {
        guard let slip, slip.line % count == line else { return value }
        let wanted = slip.isUp ? value + scale : value - scale
        return range.contains(wanted) ? wanted : slip.isUp ? value - scale : value + scale
    }

    private mutating func add(_ left: Int, _ right: Int, _ slip: Slip?) {
        let count = max(Self.digits(left).count, Self.digits(right).count)
        var carry = 0
        var scale = 1
        for line in 0..<count {
            let (a, b) = (left / scale % 10, right / scale % 10)
            let sum = result(a + b + carry, line: line, of: count, in: 0...19, slip)
            lines.append("\(a) + \(b)\(carry > 0 ? " + 1" : "") = \(sum)")
            answer += sum % 10 * scale
            carry = sum / 10
            scale *= 10
        }
        answer += carry * scale
    }

    private mutating func subtract(_ left: Int, _ right: Int, _ slip: Slip?) {
        let count = Self.digits(left).count
        var borrow = 0
        var scale = 1
        for line in 0..<count {
            let (a, b) = (left / scale % 10, right / scale % 10)
            let top = a < b + borrow ? a + 10 : a
            let digit = result(top - b - borrow, line: line, of: count, in: 0...9, slip)
            lines.append("\(top) - \(b)\(borrow > 0 ? " - 1" : "") = \(digit)")
            answer += digit * scale
            borrow = top > a ? 1 : 0
            scale *= 10
        }
    }

    private mutating func multiply(_ left: Int, _ right: Int, _ slip: Slip?) {
        // Zeros in the right factor give no line, unless it is 0 itself.
        var factors: [(value: Int, scale: Int)] = []
        var scale = 1
        for digit in Self.digits(right).reversed() {
            if digit > 0 || right == 0 { factors.append((digit * scale, scale)) }
            scale *= 10
        }
        let partials = factors.enumerated().map { line, factor in
            result(
                left * factor.value, line: line, of: factors.count, in: 0...Int.max,
                scale: factor.scale, slip)
        }
        for (factor, partial) in zip(factors, partials) {
            lines.append("\(left) * \(factor.value) = \(partial)")
        }
        answer = partials[0]
        for partial in partials.dropFirst() {
            lines.append("\(answer) + \(partial) = \(answer + partial)")
            answer += partial
        }
    }

    private mutating func divide(_ left: Int, _ right: Int, _ slip: Slip?) {
        let count = Self.digits(left / right).count
        var rest = 0
        var line = 0
        var isStarted = false
        let digits = Self.digits(left)
        for (place, digit) in digits.enumerated() {
            rest = rest * 10 + digit
            // Leading digits that give no digit of the quotient are taken together.
            isStarted = isStarted || rest >= right || place == digits.count - 1
            guard isStarted else { continue }
            let quotient = result(rest / right, line: line, of: count, in: 0...9, slip)
            lines.append("\(rest) = \(quotient) * \(right) + \(rest % right)")
            answer = answer * 10 + quotient
            rest %= right
            line += 1
        }
    }

    /// Decimal digits, the first the most significant.
    private static func digits(_ number: Int) -> [Int] {
        String(number).utf8.map { Int($0 - UInt8(ascii: "0")) }
    }
}
