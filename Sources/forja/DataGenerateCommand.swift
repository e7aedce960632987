import ArgumentParser
import ForjaCore
import ForjaData
import Foundation

struct DataGenerateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "generate", abstract: "Makes training data by rule.",
        subcommands: [GenerateArithmeticCommand.self])
}

struct GenerateArithmeticCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "arithmetic",
        abstract:
            "Makes questions of arithmetic with worked answers, for all stages of post-training.",
        discussion: """
            Writes six JSONL files into the output directory, the same questions in three forms:

              train.jsonl, held-out.jsonl                        messages, answer, ground_truth, dataset: for rewards
              train-sft.jsonl, held-out-sft.jsonl                messages with the answer: for supervised fine-tuning
              train-preference.jsonl, held-out-preference.jsonl  chosen, rejected (one slip, wrong): for DPO

            No question comes twice. Whether a question is held out, as one in ten is, depends on the question alone: no
            held-out file shares a question with any training file, whatever the seeds and settings of the two. Operations and
            lengths of operands are asked equally often as long as they last. Equal arguments give equal bytes.

            A worked answer goes column by column and ends in "#### " and the result, which the verifier arithmetic grades:
            57 + 68 is "7 + 8 = 15", "5 + 6 + 1 = 12", "#### 125".

              forja data generate arithmetic --output data/arithmetic --operations add subtract --digits 1-3 \\
                --train 8000 --held-out 200 --seed 1
            """)

    @Option(
        help: ArgumentHelp("Directory for the files; made where absent.", valueName: "directory"))
    var output: String

    @Option(
        parsing: .upToNextOption,
        help:
            "Any of add, subtract, multiply, divide; all without this option. Quotients are whole, differences at least 0."
    )
    var operations: [ArithmeticQuestion.Operation] = []

    @Option(
        help:
            "Digits of either operand, N or MIN-MAX within 1 to 9; of quotient and divisor in divisions."
    )
    var digits = Span(1...3)

    @Option(
        help:
            "Columns that carry (add) or borrow (subtract), N or MIN-MAX; any without this option.")
    var carries: Span?

    @Option(help: "Questions for training.")
    var train = 1000

    @Option(help: "Questions held out.")
    var heldOut = 100

    @Option(help: "What the answers hold: worked or final.")
    var answers = ArithmeticRows.Answers.worked

    @Option(help: "Decides which questions come, and where rejected answers slip.")
    var seed: UInt64 = 0

    @Flag(help: "Print {\"train\",\"held_out\",\"files\":[..]}.")
    var json = false

    func validate() throws {
        try checkRange("--train", train, 0...100_000_000)
        try checkRange("--held-out", heldOut, 0...100_000_000)
    }

    private struct Report: Encodable {
        let train: Int
        let heldOut: Int
        let files: [String]

        enum CodingKeys: String, CodingKey {
            case train, files
            case heldOut = "held_out"
        }
    }

    func run() throws {
        let generator = try ArithmeticGenerator(
            .init(
                operations: operations.isEmpty
                    ? ArithmeticQuestion.Operation.allCases : operations,
                digits: digits.range, carries: carries?.range ?? 0...9, seed: seed))
        func rows(_ count: Int, isHeldOut: Bool) throws(ForjaError) -> [ArithmeticRows] {
            try generator.questions(count, isHeldOut: isHeldOut).map {
                ArithmeticRows($0, answers: answers, seed: seed)
            }
        }
        // Both sets before any file: too few questions leave no half of the data behind.
        let sets = [
            ("train", try rows(train, isHeldOut: false)),
            ("held-out", try rows(heldOut, isHeldOut: true)),
        ]
        do {
            try FileManager.default.createDirectory(
                atPath: output, withIntermediateDirectories: true)
        } catch {
            throw ForjaError(
                .inputOutput, "the directory \(output) cannot be made: \(error)",
                fix: "choose another --output")
        }
        let files = try sets.flatMap { name, rows in
            try ArithmeticRows.write(rows, to: output, name: name)
        }
        if json {
            try Console.json(Report(train: train, heldOut: heldOut, files: files))
        } else {
            for file in files { Console.result((output as NSString).appendingPathComponent(file)) }
        }
    }
}

/// `N` or `MIN-MAX`.
struct Span: ExpressibleByArgument, CustomStringConvertible {
    let range: ClosedRange<Int>

    init(_ range: ClosedRange<Int>) { self.range = range }

    init?(argument: String) {
        let ends = argument.split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
        guard ends.count <= 2, let first = ends.first ?? nil, let last = ends.last ?? nil,
            first <= last
        else { return nil }
        range = first...last
    }

    var description: String {
        range.count == 1 ? "\(range.lowerBound)" : "\(range.lowerBound)-\(range.upperBound)"
    }

    var defaultValueDescription: String { description }
}

extension ArithmeticQuestion.Operation: ExpressibleByArgument {}
extension ArithmeticRows.Answers: ExpressibleByArgument {}
