/// Extents of a row-major tensor, outermost first: `[B, T, C]`.
public struct Shape: Hashable, Sendable, ExpressibleByArrayLiteral, CustomStringConvertible {
    public var dimensions: [Int]

    public init(_ dimensions: [Int]) { self.dimensions = dimensions }
    public init(arrayLiteral elements: Int...) { dimensions = elements }

    public var dimensionCount: Int { dimensions.count }
    public var elementCount: Int { dimensions.reduce(1, *) }

    /// Extent of the contiguous dimension; 1 for a scalar.
    public var width: Int { dimensions.last ?? 1 }
    /// Number of rows of `width` elements.
    public var rows: Int { dimensions.dropLast().reduce(1, *) }

    public subscript(index: Int) -> Int { dimensions[index] }

    public var description: String { "[\(dimensions.map(String.init).joined(separator: ", "))]" }
}
