import ForjaCore
import ForjaData
import Foundation
import Testing

@Suite("Arithmetic")
struct ArithmeticTests {
    private typealias Question = ArithmeticQuestion

    @Test(
        "is worked out column by column",
        arguments: [
            (Question(.add, 57, 68), "7 + 8 = 15\n5 + 6 + 1 = 12\n#### 125"),
            (Question(.add, 5, 0), "5 + 0 = 5\n#### 5"),
            (Question(.add, 999, 1), "9 + 1 = 10\n9 + 0 + 1 = 10\n9 + 0 + 1 = 10\n#### 1000"),
            (Question(.subtract, 52, 37), "12 - 7 = 5\n5 - 3 - 1 = 1\n#### 15"),
            (Question(.subtract, 100, 1), "10 - 1 = 9\n10 - 0 - 1 = 9\n1 - 0 - 1 = 0\n#### 99"),
            (
                Question(.multiply, 57, 68),
                "57 * 8 = 456\n57 * 60 = 3420\n456 + 3420 = 3876\n#### 3876"
            ),
            (Question(.multiply, 12, 0), "12 * 0 = 0\n#### 0"),
            (Question(.multiply, 3, 500), "3 * 500 = 1500\n#### 1500"),
            (Question(.divide, 3876, 57), "387 = 6 * 57 + 45\n456 = 8 * 57 + 0\n#### 68"),
            (Question(.divide, 0, 7), "0 = 0 * 7 + 0\n#### 0"),
            (
                Question(.divide, 2020, 20),
                "20 = 1 * 20 + 0\n2 = 0 * 20 + 2\n20 = 1 * 20 + 0\n#### 101"
            ),
        ])
    func working(question: ArithmeticQuestion, text: String) {
        #expect(ArithmeticWorking(question).text == text)
    }

    @Test("counts carries and borrows")
    func carries() {
        #expect(Question(.add, 57, 68).carryCount == 2)
        #expect(Question(.add, 999, 1).carryCount == 3)
        #expect(Question(.add, 12, 34).carryCount == 0)
        #expect(Question(.subtract, 100, 1).carryCount == 2)
        #expect(Question(.multiply, 99, 99).carryCount == 0)
    }

    private func generator(
        _ operations: [Question.Operation] = Question.Operation.allCases,
        digits: ClosedRange<Int> = 1...3, carries: ClosedRange<Int> = 0...9, seed: UInt64 = 1
    ) throws -> ArithmeticGenerator {
        try ArithmeticGenerator(
            .init(operations: operations, digits: digits, carries: carries, seed: seed))
    }

    /// Recomputed from the lines themselves, which is what a model will learn.
    private func value(_ text: Substring) -> Int? {
        var total = 0
        var sign = 1
        var product = 1
        for part in text.split(separator: " ") {
            switch part {
            case "+", "-":
                total += sign * product
                (sign, product) = (part == "+" ? 1 : -1, 1)
            case "*": break
            default:
                guard let number = Int(part) else { return nil }
                product *= number
            }
        }
        return total + sign * product
    }

    @Test("every line of a right answer is true; a rejected one has a false line and a false end")
    func lines() throws {
        for seed in UInt64(0)..<3 {
            for question in try generator(digits: 1...4, seed: seed).questions(
                600, isHeldOut: false)
            {
                let right = ArithmeticWorking(question)
                #expect(right.answer == question.answer, "\(question)")
                for line in right.lines {
                    let sides = line.split(separator: " = ").map(value)
                    #expect(sides.count == 2 && sides[0] == sides[1], "\(question): \(line)")
                }
                for slip in 0..<4 {
                    let wrong = ArithmeticWorking(
                        question, slip: .init(line: slip, isUp: slip % 2 == 0))
                    #expect(wrong.answer != question.answer, "\(question)")
                    #expect(wrong.answer >= 0)
                    let isFalse = wrong.lines.contains {
                        let sides = $0.split(separator: " = ").map(value)
                        return sides[0] != sides[1]
                    }
                    #expect(isFalse, "\(question): \(wrong.text)")
                }
            }
        }
    }

    @Test("no question comes twice, and a smaller set begins a greater one")
    func distinct() throws {
        let questions = try generator().questions(3000, isHeldOut: false)
        #expect(Set(questions).count == 3000)
        #expect(try generator().questions(70, isHeldOut: false) == Array(questions[..<70]))
        #expect(try generator(seed: 2).questions(3000, isHeldOut: false) != questions)
    }

    @Test("no held-out question is in a training set of any seed or setting, mirrored or not")
    func heldOut() throws {
        func key(_ question: Question) -> String {
            let mirrors = question.operation == .add || question.operation == .multiply
            let (a, b) = (question.left, question.right)
            return "\(mirrors ? min(a, b) : a)\(question.operation.sign)\(mirrors ? max(a, b) : b)"
        }
        var training: Set<String> = []
        for seed in UInt64(0)..<4 {
            training.formUnion(
                try generator(digits: 1...2, seed: seed).questions(4000, isHeldOut: false).map(key))
        }
        let heldOut = try generator(digits: 1...3, seed: 9).questions(2500, isHeldOut: true)
        #expect(training.isDisjoint(with: heldOut.map(key)))
    }

    @Test("keeps to digits, carries and operations, each kind equally often")
    func settings() throws {
        let questions = try generator([.add], digits: 2...3, carries: 2...2)
            .questions(400, isHeldOut: false)
        #expect(questions.allSatisfy { $0.carryCount == 2 && $0.operation == .add })
        for left in 2...3 {
            for right in 2...3 {
                let count = questions.count {
                    "\($0.left)".count == left && "\($0.right)".count == right
                }
                #expect(count == 100)
            }
        }
        let long = try generator([.multiply, .divide], digits: 9...9)
            .questions(20, isHeldOut: false)
        #expect(long.allSatisfy { $0.right > 99_999_999 })
    }

    @Test("one question in ten is held out")
    func share() throws {
        var count = 0
        for left in 0..<1000 {
            for right in 0...left where Question(.subtract, left, right).isHeldOut { count += 1 }
        }
        // 500,500 draws of 1/10: standard deviation 212.
        #expect(abs(count - 50_050) < 1000)
    }

    @Test("refuses what cannot be made")
    func refusals() throws {
        #expect(throws: ForjaError.self) { try generator([]) }
        #expect(throws: ForjaError.self) { try generator([.add, .add]) }
        #expect(throws: ForjaError.self) { try generator(digits: 0...2) }
        #expect(throws: ForjaError.self) { try generator(digits: 1...10) }
        #expect(throws: ForjaError.self) { try generator(digits: 1...2, carries: 3...3) }
        #expect(throws: ForjaError.self) {
            try generator([.add], digits: 1...1).questions(100, isHeldOut: false)
        }
    }
}
