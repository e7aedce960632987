import ForjaCore

/// Examples in rows of T positions, and the rows of each step as a function of (seed, step).
public struct PackedExamples: Sendable {
    public enum Packing: String, Sendable, CaseIterable {
        /// Several examples a row, kept apart by `Batch.documentStart`.
        case bestFit = "best_fit"
        /// One example a row.
        case none
    }

    /// Where an example stands in its row.
    public struct Placement: Sendable, Equatable {
        /// Number of the example.
        public let example: Int
        /// Its positions in the row.
        public let positions: Range<Int>
    }

    public let examples: [Example]
    /// T.
    public let sequenceLength: Int
    /// What stands in each row, from position 0 on without gaps.
    public let rows: [[Placement]]
    /// Rows that stay together, and examples, of which each row has one: 2 for preference pairs, else 1.
    public let rowsPerUnit: Int
    private let seed: UInt64
    private let padding: Int32

    /// - Parameters:
    ///   - examples: At least one, none longer than T.
    ///   - sequenceLength: T.
    ///   - seed: Decides which examples share a row, and the order of rows.
    ///   - padding: Token in positions that no example takes; they carry no label.
    ///   - rowsPerUnit: 2 keeps examples 2i and 2i + 1 at consecutive places of one step, the first in an even row and the
    ///     other in the next: preference pairs, where a step's sequences and the places asked for are even.
    public init(
        _ examples: [Example], sequenceLength: Int, packing: Packing, seed: UInt64, padding: Int32,
        rowsPerUnit: Int = 1
    ) {
        precondition(!examples.isEmpty && examples.count.isMultiple(of: rowsPerUnit))
        self.rowsPerUnit = rowsPerUnit
        self.examples = examples
        self.sequenceLength = sequenceLength
        self.seed = seed
        self.padding = padding
        let units = (0..<examples.count / rowsPerUnit).map { first in
            (0..<rowsPerUnit).map { first * rowsPerUnit + $0 }
        }
        let shared =
            switch packing {
            case .none: units.indices.map { [$0] }
            case .bestFit:
                // Examples of a unit stand beside each other, so that the longest decides.
                BestFitPacking.rows(
                    lengths: units.map { unit in unit.map { examples[$0].count }.max()! },
                    capacity: sequenceLength, seed: seed)
            }
        rows = shared.flatMap { numbers in
            (0..<rowsPerUnit).map { place in
                var end = 0
                return numbers.map { number in
                    let example = units[number][place]
                    defer { end += examples[example].count }
                    return Placement(
                        example: example, positions: end..<(end + examples[example].count))
                }
            }
        }
    }

    /// Share of positions that an example takes.
    public var fill: Double {
        Double(examples.reduce(0) { $0 + $1.count }) / Double(rows.count * sequenceLength)
    }

    /// The row that is sequence `place` of a step: all rows in permuted order, then all in another.
    ///
    /// - Parameters:
    ///   - step: Updates done before, from 0.
    ///   - sequences: Sequences of the whole step, over all ranks and microsteps.
    ///   - place: Within 0 ..< `sequences`.
    public func row(step: Int, sequences: Int, place: Int) -> Int {
        let number = step * sequences + place
        let units = rows.count / rowsPerUnit
        let (epoch, index) = (number / rowsPerUnit).quotientAndRemainder(dividingBy: units)
        let unit = Permutation(
            count: units, seed: seed, stream: UInt32(truncatingIfNeeded: epoch))[index]
        return unit * rowsPerUnit + number % rowsPerUnit
    }

    /// Where examples stand in the batch of given rows, its positions counted through as one list of N = B·T. Those of a
    /// unit come one after the other: chosen, rejected, chosen, ...
    ///
    /// - Parameter numbers: Of whole units; one past the last row has no examples.
    public func placements(of numbers: [Int]) -> [Placement] {
        let perRow = numbers.enumerated().map { place, number in
            (rows.indices.contains(number) ? rows[number] : []).map { placement in
                let start = place * sequenceLength + placement.positions.lowerBound
                return Placement(
                    example: placement.example,
                    positions: start..<(start + placement.positions.count))
            }
        }
        return stride(from: 0, to: perRow.count, by: rowsPerUnit).flatMap { first in
            let unit = perRow[first..<first + rowsPerUnit]
            return unit[first].indices.flatMap { index in unit.map { $0[index] } }
        }
    }

    /// Numbers of the examples in some rows, row after row.
    public func examples(inRows numbers: Range<Int>) -> [Int] {
        rows[numbers].flatMap { $0.map(\.example) }
    }

    /// Rows of one optimizer step, `[places.count, T]`.
    public func batch(step: Int, sequences: Int, places: Range<Int>) -> Batch {
        batch(of: places.map { row(step: step, sequences: sequences, place: $0) })
    }

    /// Given rows, `[numbers.count, T]`; a number past the last row gives one without labels.
    public func batch(of numbers: [Int]) -> Batch {
        var batch = Batch(
            rowCount: numbers.count, sequenceLength: sequenceLength, tokens: [], labels: [],
            documentStart: [], sourceRanges: Array(repeating: 0..<0, count: numbers.count),
            labelCount: 0)
        for number in numbers {
            var end = 0
            for placement in rows.indices.contains(number) ? rows[number] : [] {
                let example = examples[placement.example]
                batch.tokens += example.tokens
                batch.labels += example.labels
                batch.documentStart? += Array(
                    repeating: Int32(placement.positions.lowerBound), count: example.count)
                batch.labelCount += example.labelCount
                end = placement.positions.upperBound
            }
            // What fills the row up is a document of its own, so that no example sees it, nor it them.
            let rest = sequenceLength - end
            batch.tokens += Array(repeating: padding, count: rest)
            batch.labels += Array(repeating: Batch.ignoredLabel, count: rest)
            batch.documentStart? += Array(repeating: Int32(end), count: rest)
        }
        return batch
    }
}
