import ForjaVerifiers
import Foundation
import Testing

@Suite("gsm8k")
struct GSM8KVerifierTests {
    private struct Graded: Decodable {
        let id: String
        let response: String
        let groundTruth: String
        let isCorrect: Bool
    }

    @Test("agrees with the recorded grade of every published response")
    func recordedGrades() throws {
        let path =
            (#filePath as NSString).deletingLastPathComponent
            + "/../Fixtures/verifiers/gsm8k-graded-responses.jsonl"
        let grader = try Grader(GSM8KVerifier())
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        var count = 0
        for line in try Data(contentsOf: URL(fileURLWithPath: path)).split(separator: 0x0A) {
            let row = try decoder.decode(Graded.self, from: Data(line))
            let score = try grader.score(row.response, accepted: [row.groundTruth])
            #expect(score == (row.isCorrect ? 1 : 0), "\(row.id)")
            count += 1
        }
        #expect(count == 2640)
    }

    @Test(
        "takes the last number, and a minus that belongs to it",
        arguments: [
            ("A: -5", "-5"), ("12-5", "5"), ("(3)-2", "2"), ("covid-19", "19"), ("$-5", "-5"),
            ("5 - -3", "-3"), ("+8", "8"), (".5", ".5"), ("1.2.3", ".3"), ("7.", "7"),
            ("1,234,567", "1234567"), ("1, 2", "2"), ("-1,000.50!", "-1000.50"), ("x=-4", "-4"),
        ])
    func lastNumber(response: String, number: String) throws {
        #expect(try GSM8KVerifier().score(response, truth: number) == 1)
    }

    @Test(
        "refuses a ground truth without a number", arguments: ["", "five", "#### ", "5 or 6", "-"])
    func badTruth(truth: String) {
        #expect(throws: (any Error).self) { try GSM8KVerifier().score("5", truth: truth) }
    }

    @Test("compares as text")
    func text() throws {
        #expect(try GSM8KVerifier().score("5.0", truth: "5") == 0)
        #expect(try GSM8KVerifier().score("so 10,800", truth: "a\n#### 10,800") == 1)
    }
}
