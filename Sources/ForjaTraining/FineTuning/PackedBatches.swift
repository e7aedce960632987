import ForjaCore
import ForjaData
import ForjaParallel

/// Packed examples as the steps of one rank take them, and as its turns in validation.
struct PackedBatches {
    let packed: PackedExamples
    let shape: StepShape
    let rank: MeshRank

    /// Row numbers of each of this rank's microsteps.
    func rows(ofStep number: Int, sequences: Int) -> [[Int]] {
        shape.places(of: rank).map { places in
            places.map { packed.row(step: number - 1, sequences: sequences, place: $0) }
        }
    }

    /// Times that all rows have been trained on after a step.
    func epochs(afterStep number: Int, sequences: Int) -> Double {
        Double(number) * Double(sequences) / Double(packed.rows.count)
    }

    /// Row numbers of this rank's batches in validation.
    ///
    /// - Parameter maxTokens: Rows that make up so many positions are enough; 0: all.
    func turns(maxTokens: Int = 0) -> [[Int]] {
        let wanted = maxTokens > 0 ? max(maxTokens / shape.sequenceLength, 1) : packed.rows.count
        let unit = packed.rowsPerUnit
        return turns(
            over: 0..<min((wanted + unit - 1) / unit * unit, packed.rows.count),
            of: rank.mesh.dataIndex(of: rank.rank))
    }

    /// Row numbers of a rank's batches when data-parallel ranks take turns over some rows; the last may be past the end.
    ///
    /// - Parameter index: The rank's in its data group.
    func turns(over rows: Range<Int>, of index: Int) -> [[Int]] {
        stride(
            from: rows.lowerBound + index * shape.sequences, to: rows.upperBound,
            by: shape.sequences * rank.mesh.data
        ).map { first in
            (first..<(first + shape.sequences)).map {
                $0 < rows.upperBound ? $0 : packed.rows.count
            }
        }
    }

    /// File and line of the first examples of a step, for messages.
    func places(ofStep number: Int, sequences: Int, in examples: ChatExamples) -> String {
        let used = rows(ofStep: number, sequences: sequences).joined()
            .flatMap { packed.rows[$0].map { examples.place(ofExample: $0.example) } }
        var seen = Set<String>()
        let distinct = used.filter { seen.insert($0).inserted }
        return distinct.prefix(3).joined(separator: ", ")
            + (distinct.count > 3 ? " and \(distinct.count - 3) more rows" : "")
    }
}
