import ForjaCore

/// The part of a parameter that one rank of a tensor group holds: what initialisation, checkpoints, optimizer state and
/// the gradient's norm know of the split.
///
///     rows(sections: [4, 2])          columns
///     rank 0  rows 0 1 | 4            rank 0  left half of every row
///     rank 1  rows 2 3 | 5            rank 1  right half
public struct ParameterSlice: Hashable, Sendable {
    public enum Split: Hashable, Sendable {
        /// Every rank holds all of it.
        case none
        /// Each section of so many rows is cut into one part a rank; parts of all sections lie one under another.
        case rows(sections: [Int])
        case columns
    }

    /// A run of neighbouring elements.
    public struct Segment: Hashable, Sendable {
        /// Of the whole parameter.
        public let whole: Range<Int>
        /// First element in the slice.
        public let offset: Int
    }

    /// Shape of the whole parameter.
    public let whole: Shape
    public let split: Split
    public let rank: Int
    public let rankCount: Int

    /// - Parameter split: Its sections, or the columns, divide by `rankCount`.
    public init(_ whole: Shape, split: Split, rank: Int = 0, rankCount: Int = 1) {
        switch split {
        case .none: break
        case .rows(let sections):
            precondition(sections.allSatisfy { $0 % rankCount == 0 })
            precondition(sections.reduce(0, +) == whole.rows)
        case .columns: precondition(whole.width % rankCount == 0)
        }
        self.whole = whole
        self.split = split
        self.rank = rank
        self.rankCount = rankCount
    }

    /// Whether every rank holds all of it.
    public var isReplicated: Bool { split == .none || rankCount == 1 }

    /// The same parameter's slice of another rank of another group.
    public func slice(rank: Int, of rankCount: Int) -> ParameterSlice {
        ParameterSlice(whole, split: split, rank: rank, rankCount: rankCount)
    }

    /// Whether so many ranks can share the parameter.
    public func divides(by rankCount: Int) -> Bool {
        switch split {
        case .none: rankCount == 1
        case .rows(let sections): sections.allSatisfy { $0 % rankCount == 0 }
        case .columns: whole.width % rankCount == 0
        }
    }

    public var shape: Shape {
        switch split {
        case .none: whole
        case .rows: [whole.rows / rankCount, whole.width]
        case .columns: [whole.rows, whole.width / rankCount]
        }
    }

    /// What the slice holds, in the order of its own memory.
    public var segments: [Segment] {
        var segments: [Segment] = []
        var offset = 0
        func add(_ whole: Range<Int>) {
            segments.append(Segment(whole: whole, offset: offset))
            offset += whole.count
        }
        guard !isReplicated else {
            add(0..<whole.elementCount)
            return segments
        }
        switch split {
        case .none: break
        case .rows(let sections):
            var first = 0
            for section in sections {
                let count = section / rankCount
                let start = first + rank * count
                add(start * whole.width..<(start + count) * whole.width)
                first += section
            }
        case .columns:
            let count = whole.width / rankCount
            for row in 0..<whole.rows {
                let start = row * whole.width + rank * count
                add(start..<start + count)
            }
        }
        return segments
    }

    /// The same for some of the slice's elements; offsets count from the first of them.
    public func segments(of elements: Range<Int>) -> [Segment] {
        segments.compactMap { segment in
            let start = max(elements.lowerBound, segment.offset)
            let end = min(elements.upperBound, segment.offset + segment.whole.count)
            guard start < end else { return nil }
            let first = segment.whole.lowerBound + start - segment.offset
            return Segment(
                whole: first..<first + end - start, offset: start - elements.lowerBound)
        }
    }

    /// The whole parameter from every rank's slice.
    ///
    /// - Parameter slices: All slices, in rank order, one after another.
    public func joined(_ slices: [Float]) -> [Float] {
        guard !isReplicated else { return Array(slices.prefix(whole.elementCount)) }
        let count = shape.elementCount
        return [Float](unsafeUninitializedCapacity: whole.elementCount) { values, initialized in
            for rank in 0..<rankCount {
                for segment in slice(rank: rank, of: rankCount).segments {
                    for index in 0..<segment.whole.count {
                        values[segment.whole.lowerBound + index] =
                            slices[rank * count + segment.offset + index]
                    }
                }
            }
            initialized = whole.elementCount
        }
    }
}
