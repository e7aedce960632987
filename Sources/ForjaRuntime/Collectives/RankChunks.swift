/// How a collective cuts elements into one contiguous chunk a rank: equal chunks of whole blocks, the last ones short or
/// empty.
///
///     elements 0 ... 299, 4 ranks:   0 ..< 128 | 128 ..< 256 | 256 ..< 300 | none
public struct RankChunks: Hashable, Sendable {
    /// Chunks start at multiples of this many elements: 256 bytes of float32, so that kernels find them aligned.
    public static let block = 64

    public let elementCount: Int
    public let rankCount: Int
    /// Elements of every chunk but the last ones.
    public let stride: Int

    /// - Parameter block: Elements that stay together: a row, where rows are shared out.
    public init(elementCount: Int, rankCount: Int, block: Int = Self.block) {
        self.elementCount = elementCount
        self.rankCount = rankCount
        stride = ((elementCount + rankCount - 1) / rankCount).rounded(upTo: max(block, 1))
    }

    /// Elements of a rank's chunk.
    public subscript(rank: Int) -> Range<Int> {
        min(rank * stride, elementCount)..<min((rank + 1) * stride, elementCount)
    }

    /// First byte of each chunk and the end of the last, as `Communicator` takes them.
    func byteBounds(elementSize: Int) -> [Int] {
        (0...rankCount).map { min($0 * stride, elementCount) * elementSize }
    }
}
