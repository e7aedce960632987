import ForjaCore
import ForjaData
import ForjaObjectives
import ForjaTraining

/// A batch's answers as rows of T positions, one answer a row: its prompt, then the tokens to learn.
///
/// At each position stand a token and the one to predict; what fills the row up comes after everything that attends.
struct RolloutRows {
    private let batch: RolloutBatch
    private let answers: [RolloutAnswer]
    /// By answer.
    private let advantages: [Double]
    private let data: GroupRelativeData
    private let length: Int

    /// - Parameters:
    ///   - advantages: One an answer, in order.
    ///   - length: T.
    init(
        _ batch: RolloutBatch, advantages: [Double], data: GroupRelativeData, length: Int
    ) {
        precondition(advantages.count == batch.answers.count)
        self.batch = batch
        answers = batch.answers
        self.advantages = advantages
        self.data = data
        self.length = length
    }

    /// The microbatch of some answers.
    func microbatch(_ rows: Range<Int>) -> Microbatch {
        let count = rows.count * length
        var batch = Batch(
            tokens: [Int32](repeating: data.encoder.stopTokens[0], count: count),
            labels: [Int32](repeating: Batch.ignoredLabel, count: count))
        (batch.rowCount, batch.sequenceLength) = (rows.count, length)
        batch.sourceRanges = rows.map { _ in 0..<0 }
        var sampler = [Float](repeating: 0, count: count)
        var old = sampler
        for (row, answer) in rows.enumerated() {
            let first = row * length
            let prompt = prompt(of: answer)
            let text = prompt + answers[answer].ids
            for (position, token) in text.dropLast().enumerated() {
                batch.tokens[first + position] = token
            }
            guard set(of: answer).problem == nil else { continue }
            for (index, id) in answers[answer].ids.enumerated() {
                let position = first + prompt.count - 1 + index
                batch.labels[position] = id
                sampler[position] = answers[answer].logProbabilities[index]
                if let known = self.batch.oldLogProbabilities {
                    old[position] = known[answer][index]
                }
            }
            batch.labelCount += answers[answer].ids.count
        }
        var microbatch = Microbatch(
            batch, sequences: (0..<rows.count).map { $0 * length..<($0 + 1) * length })
        microbatch.labels.samplerLogProbabilities = sampler
        microbatch.labels.oldLogProbabilities = self.batch.oldLogProbabilities == nil ? nil : old
        microbatch.labels.advantages = Array(advantages[rows])
        return microbatch
    }

    /// Of each answer's ids, from what was computed for the microbatch of `rows`, `[rows, T]`.
    func values(_ perPosition: [Float], of rows: Range<Int>) -> [[Float]] {
        rows.enumerated().map { row, answer in
            let first = row * length + prompt(of: answer).count - 1
            return Array(perPosition[first..<first + answers[answer].ids.count])
        }
    }

    private func set(of answer: Int) -> RolloutSet {
        batch.sets[answer / data.settings.answersPerPrompt]
    }

    private func prompt(of answer: Int) -> [Int32] { data.train[set(of: answer).task].prompt }
}
