import ArgumentParser
import ForjaCore
import ForjaData
import ForjaVerifiers

struct VerifyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Grades responses against known answers by a rule.",
        discussion: """
            Each line of the input is {"response": "..", "ground_truth": ..}; other keys are passed over. ground_truth is a
            string, a number, or a list of these, of which one has to fit. Scores are printed in order, one a row, 1 for
            right and 0 for wrong; a row that cannot be graded ends the command by its line number. The verifier grades
            known responses before any other and is refused when it gets one wrong.

              gsm8k       the last number of the response is the number after the #### of ground_truth, as text
              arithmetic  the whole number after the response's #### is ground_truth, by value
              exact       the response is ground_truth, white space around it aside
              regex       the response matches the regular expression ground_truth

              forja verify --verifier gsm8k --input responses.jsonl --json
            """)

    @Option(help: "One of \(Grader.names.joined(separator: ", ")).")
    var verifier: String

    @Option(help: "JSONL file with response and ground_truth.")
    var input: String

    @Flag(help: "Print {\"scores\":[..]}.")
    var json = false

    func run() throws {
        let grader = try Grader(named: verifier)
        let rows = try JSONLines.read(input, as: GradedRow.self)
        var scores: [Double] = []
        for (index, row) in rows.values.enumerated() {
            do throws(ForjaError) {
                scores.append(try grader.score(row.response, accepted: row.groundTruth.accepted))
            } catch {
                var error = error
                error.message = "\(rows.place(of: index)): \(error.message)"
                throw error
            }
        }
        if json {
            try Console.json(["scores": scores])
        } else {
            for score in scores {
                Console.result(score == score.rounded() ? "\(Int(score))" : "\(score)")
            }
        }
        Console.note(
            "mean score \(scores.reduce(0, +) / Double(scores.count)) over \(scores.count) rows")
    }
}
