import CForja
import Foundation
import Testing

extension OperationTests {
    @Suite("Rotary embedding")
    struct RoPETests {
        @Test("matches float64", arguments: Target.rows, [2, 16, 64, 80, 128])
        func matchesFloat64(target: Target, headDim: Int) throws {
            for storage in Storage.computing {
                for (rows, heads) in [(1, 1), (63, 3), (65, 2)] {
                    for inverse in [false, true] {
                        try expectRotation(
                            Rotation(
                                rows: rows, heads: heads, headDim: headDim, storage,
                                inverse: inverse),
                            on: target)
                    }
                }
            }
        }

        @Test("starts over at each sequence", arguments: Target.rows)
        func startsOverAtEachSequence(target: Target) throws {
            try expectRotation(
                Rotation(rows: 65, heads: 2, headDim: 16, .f32, sequenceLength: 13), on: target)
        }

        @Test("takes positions from a tensor, kept within the table", arguments: Target.rows)
        func takesPositions(target: Target) throws {
            var rotation = Rotation(rows: 9, heads: 2, headDim: 64, .f32)
            rotation.positions = [5, 0, 199, 198, 200, 100_000, -1, .min, 7]
            try expectRotation(rotation, on: target)
        }

        @Test("undone by its inverse", arguments: Target.rows)
        func undoneByInverse(target: Target) throws {
            let rotation = Rotation(rows: 65, heads: 3, headDim: 80, .f32)
            var back = rotation
            back.inverse = true
            let once = try target.run { try rotation.run(at: $0).values }
            back.x = once
            let twice = try target.run { try back.run(at: $0).values }
            expectClose(
                twice, rotation.x, within: Tolerance.elementwise, ofMagnitude: [2])
        }

        @Test("has the slopes of the float64 function when inverted", arguments: Target.rows)
        func hasSlopes(target: Target) throws {
            let rotation = Rotation(rows: 5, heads: 2, headDim: 16, .f32)
            var random = TestRandom(seed: 51)
            let dy = random.values(rotation.x.count, as: .f32)
            var backward = rotation
            backward.inverse = true
            backward.x = dy
            let dx = try target.run { try backward.run(at: $0).values }
            expectGradient(
                dx,
                of: { x in
                    var forward = rotation
                    forward.x = x
                    return dot(forward.want, dy)
                }, at: rotation.x, within: Tolerance.elementwise, ofMagnitude: 2)
        }

        @Test("gives the same bits on any number of threads and in every run")
        func givesSameBits() throws {
            let rotation = Rotation(rows: 300, heads: 3, headDim: 64, .bf16, sequenceLength: 100)
            try Target.expectSameBits(on: Target.rows) {
                bytes(of: try rotation.run(at: $0).values)
            }
        }

        private func expectRotation(
            _ rotation: Rotation, on target: Target,
            sourceLocation: SourceLocation = #_sourceLocation
        ) throws {
            let (values, rest) = try target.run { try rotation.run(at: $0) }
            expectClose(
                values, rotation.want, within: Tolerance.elementwise, ofMagnitude: [2],
                as: rotation.storage, "D\(rotation.headDim) x", sourceLocation: sourceLocation)
            #expect(
                rest.areAllNaN, "turned past the heads", sourceLocation: sourceLocation)
        }
    }
}

/// Rows of `heads` heads, and after each row as much again that must stay as it is.
private struct Rotation {
    static let positionCount = 200

    let storage: Storage
    let rows: Int
    let heads: Int
    let headDim: Int
    let sequenceLength: Int
    var inverse: Bool
    /// As given to the engine: may lie outside the table.
    var positions: [Int32]?
    var x: [Double]
    let cosine, sine: [Double]

    init(
        rows: Int, heads: Int, headDim: Int, _ storage: Storage, sequenceLength: Int = 200,
        inverse: Bool = false
    ) {
        (self.rows, self.heads, self.headDim) = (rows, heads, headDim)
        (self.storage, self.sequenceLength, self.inverse) = (storage, sequenceLength, inverse)
        var random = TestRandom(seed: UInt64(rows * 200 + headDim))
        x = random.values(rows * heads * headDim, as: storage)
        let angles = (0..<Self.positionCount * headDim / 2).map { index in
            Double(index / (headDim / 2))
                * pow(10_000, -Double(index % (headDim / 2)) * 2 / Double(headDim))
        }
        cosine = Storage.f32.rounded(angles.map { cos($0) })
        sine = Storage.f32.rounded(angles.map { sin($0) })
    }

    var want: [Double] {
        let places = (0..<rows).map { row in
            min(
                max(positions.map { Int($0[row]) } ?? row % sequenceLength, 0),
                Self.positionCount - 1)
        }
        return Reference.rope(
            x, heads: heads, headDim: headDim, positions: places, cosine: cosine, sine: sine,
            inverse: inverse)
    }

    /// The turned heads, and what lies after them in each row.
    func run(at bench: Workbench) throws -> (values: [Double], rest: [Double]) {
        let layout = PaddedMatrices(
            rows: rows, width: heads * headDim, padding: heads * headDim + 1)
        let tensor = try bench.tensor(layout.scatter(x), as: storage)
        var args = forja_rope_args()
        args.dtype = storage.dtype
        args.x = tensor.span
        args.cosine = try bench.tensor(cosine, as: .f32).span
        args.sine = try bench.tensor(sine, as: .f32).span
        if let positions { args.positions = try bench.integers(positions).span }
        args.rows = UInt64(rows)
        args.sequence_length = UInt64(sequenceLength)
        args.row_stride = UInt64(layout.rowStride)
        args.position_count = UInt64(Self.positionCount)
        args.heads = UInt32(heads)
        args.head_dim = UInt32(headDim)
        args.inverse = inverse
        try bench.run { forja_rope($0, &args) }
        let stored = try tensor.values()
        return (layout.gather(stored), layout.gaps(in: stored))
    }
}
