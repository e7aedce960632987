import ForjaEvaluation
import ForjaModels
import Foundation
import Testing

@Suite("EvaluationScore")
struct EvaluationScoreTests {
    private func record(
        _ item: Int, _ sample: Int = 0, reward: Double, tokens: Int = 4,
        finish: Completion.Finish = .stop
    ) -> AnswerRecord {
        AnswerRecord(
            item: item, sample: sample, place: "rows.jsonl:\(item + 1)", prompt: "q", answer: "a",
            groundTruth: [["a"]], reward: reward, promptTokens: 3, answerTokens: tokens,
            finish: finish, logProbability: -1)
    }

    @Test("score and standard error are those of the textbook")
    func statistics() {
        let score = EvaluationScore([
            record(0, reward: 1), record(1, reward: 0, tokens: 8, finish: .length),
            record(2, reward: 1), record(3, reward: 1),
        ])
        // Variance (3 · 0.25² + 0.75²) / 3 = 0.25, over four questions.
        #expect(score.score == 0.75)
        #expect(score.standardError == 0.25)
        #expect(score.questionCount == 4)
        #expect(score.truncatedShare == 0.25)
        #expect(score.meanAnswerTokens == 5)
    }

    @Test("an answer is right when every check says so, and a half-right one is not")
    func rightShare() {
        var records = [record(0, reward: 2), record(1, reward: 1), record(2, reward: 0)]
        for index in records.indices { records[index].groundTruth = [["a"], ["b"]] }
        let score = EvaluationScore(records)
        #expect(score.rightShare == 1.0 / 3)
        #expect(score.score == 1)
    }

    @Test("answers to one question count as one")
    func samples() {
        let score = EvaluationScore([
            record(0, 0, reward: 1), record(0, 1, reward: 0), record(1, 0, reward: 1),
            record(1, 1, reward: 1),
        ])
        #expect(score.score == 0.75)
        // Means 0.5 and 1: variance 0.125, over two.
        #expect(score.standardError == 0.25)
        #expect(score.sampleCount == 2)
    }

    @Test("a single question has no standard error, and JSON says null")
    func single() throws {
        let score = EvaluationScore([record(0, reward: 1)])
        #expect(score.standardError == nil)
        let text = String(decoding: try JSONEncoder().encode(score), as: UTF8.self)
        #expect(text.contains("\"stderr\":null"))
    }
}
