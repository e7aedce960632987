import ForjaCore
import ForjaEvaluation
import ForjaTestSupport
import Foundation
import Testing

@Suite("AnswerLog")
struct AnswerLogTests {
    private let key = ["model": "m", "seed": "0"]

    private func record(_ item: Int) -> AnswerRecord {
        AnswerRecord(
            item: item, sample: 0, place: "p", prompt: "q\n", answer: "\"a\"",
            groundTruth: [["a", "b"]], reward: 0.5, promptTokens: 3, answerTokens: 4,
            finish: .length, logProbability: -1.25)
    }

    @Test("what was appended is there again, a torn last line is not")
    func reopens() throws {
        let directory = try TemporaryDirectory()
        do {
            let log = try AnswerLog(directory: directory.path, task: "t", key: key)
            #expect(log.kept.isEmpty)
            for item in 0..<3 { try log.append(record(item)) }
        }
        let path = directory.file("t.jsonl")
        let whole = try #require(FileManager.default.contents(atPath: path))
        try whole.dropLast(10).write(to: URL(fileURLWithPath: path))
        let log = try AnswerLog(directory: directory.path, task: "t", key: key)
        #expect(log.kept == [record(0), record(1)])
        try log.append(record(2))
        #expect(FileManager.default.contents(atPath: path) == whole)
    }

    @Test("answers to something else are refused, with what differs")
    func otherKey() throws {
        let directory = try TemporaryDirectory()
        _ = try AnswerLog(directory: directory.path, task: "t", key: key)
        let error = #expect(throws: ForjaError.self) {
            try AnswerLog(
                directory: directory.path, task: "t",
                key: ["model": "m", "seed": "1", "top_k": "3"])
        }
        let message = error?.message ?? ""
        #expect(message.contains("seed (0 there, 1 now)"), "\(message)")
        #expect(message.contains("top_k (nothing there, 3 now)"), "\(message)")
        #expect(!message.contains("model ("), "\(message)")
        // Another task has files of its own.
        _ = try AnswerLog(directory: directory.path, task: "u", key: ["seed": "1"])
    }

    @Test("damaged files are named")
    func damaged() throws {
        let directory = try TemporaryDirectory()
        do {
            let log = try AnswerLog(directory: directory.path, task: "t", key: key)
            try log.append(record(0))
        }
        let path = directory.file("t.jsonl")
        try Data("{\"item\": 1}\n".utf8 + Data(contentsOf: URL(fileURLWithPath: path)))
            .write(to: URL(fileURLWithPath: path))
        let error = #expect(throws: ForjaError.self) {
            try AnswerLog(directory: directory.path, task: "t", key: key)
        }
        #expect(error?.message.contains("t.jsonl:1") == true)
        try Data("[]".utf8).write(to: URL(fileURLWithPath: directory.file("t.json")))
        #expect(throws: ForjaError.self) {
            try AnswerLog(directory: directory.path, task: "t", key: key)
        }
    }
}
