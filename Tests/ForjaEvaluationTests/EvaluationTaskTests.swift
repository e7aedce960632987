import ForjaCore
import ForjaData
import ForjaEvaluation
import ForjaTestSupport
import ForjaVerifiers
import Foundation
import Testing

@Suite("EvaluationTask")
struct EvaluationTaskTests {
    @Test("arithmetic asks what the generator holds out, and its verifier accepts the answers")
    func arithmetic() throws {
        let task = try EvaluationTask(named: "arithmetic", limit: nil)
        #expect(task.items.count == EvaluationTask.arithmeticCount)
        let questions = try ArithmeticGenerator(ArithmeticGenerator.Settings())
            .questions(EvaluationTask.arithmeticCount, isHeldOut: true)
        #expect(task.items.map(\.prompt[0].content) == questions.map(\.prompt))
        let grader = try Grader(named: "arithmetic")
        for (item, question) in zip(task.items, questions) {
            let truth = item.checks[0].groundTruth.accepted
            #expect(try grader.score("#### \(question.answer)", accepted: truth) == 1)
            #expect(try grader.score("#### \(question.answer + 1)", accepted: truth) == 0)
        }
        let fewer = try EvaluationTask(named: "arithmetic", limit: 7)
        #expect(fewer.items.map(\.prompt) == task.items.prefix(7).map(\.prompt))
    }

    @Test("a file's task is called as the file, and takes its first rows")
    func file() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("sums.jsonl")
        let rows = (0..<5).map { "{\"prompt\": \"\($0) + 1\", \"ground_truth\": \($0 + 1)}\n" }
        try Data(rows.joined().utf8).write(to: URL(fileURLWithPath: path))
        let task = try EvaluationTask(named: path, limit: 3)
        #expect(task.name == "sums")
        #expect(task.items.map(\.prompt[0].content) == ["0 + 1", "1 + 1", "2 + 1"])
        #expect(task.items[2].place == path + ":3")
        #expect(try EvaluationTask(named: path, limit: 99).items.count == 5)
    }

    @Test("other names are refused")
    func unknown() {
        for name in ["arithmetics", "", "rows.json"] {
            #expect(throws: ForjaError.self) { try EvaluationTask(named: name, limit: nil) }
        }
    }
}
