/// Where the elements of a batch of matrices lie when rows, and matrices, have gaps between them.
struct PaddedMatrices {
    var count = 1
    let rows: Int
    let width: Int
    /// Elements between the end of a row and the start of the next; matrices lie one row more apart.
    let padding: Int

    var rowStride: Int { width + padding }
    var matrixStride: Int { rows * rowStride + padding }
    var elementCount: Int { count * matrixStride }

    /// `dense` laid out with NaN in the gaps.
    func scatter(_ dense: [Double]) -> [Double] {
        var stored = [Double](repeating: .nan, count: elementCount)
        for (index, position) in positions.enumerated() { stored[position] = dense[index] }
        return stored
    }

    /// The elements without the gaps.
    func gather(_ stored: [Double]) -> [Double] { positions.map { stored[$0] } }

    /// What the gaps hold.
    func gaps(in stored: [Double]) -> [Double] {
        let taken = Set(positions)
        return stored.indices.filter { !taken.contains($0) }.map { stored[$0] }
    }

    private var positions: [Int] {
        (0..<count * rows * width).map { index in
            let (row, column) = (index / width, index % width)
            return row / rows * matrixStride + row % rows * rowStride + column
        }
    }
}
