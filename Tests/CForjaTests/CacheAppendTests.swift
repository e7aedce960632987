import CForja
import Testing

/// B batch, T rows, S capacity, W width.
extension OperationTests {
    @Suite("Cache append")
    struct CacheAppendTests {
        @Test(
            "writes rows at each batch's position and no other", arguments: Target.all, [1, 3, 65])
        func writesAtPosition(target: Target, rows: Int) throws {
            for storage in Storage.computing {
                for width in [1, 64, 65] {
                    try expectAppend(
                        positions: [0, 7, Int32(90 - rows)], rows: rows, capacity: 90, width: width,
                        padding: 0, storage, on: target)
                }
            }
        }

        @Test("reads rows that lie apart", arguments: Target.all)
        func readsRowsThatLieApart(target: Target) throws {
            for storage in Storage.computing {
                try expectAppend(
                    positions: [2, 0], rows: 5, capacity: 9, width: 66, padding: 131, storage,
                    on: target)
            }
        }

        @Test("drops rows past the capacity", arguments: Target.all)
        func dropsRowsPastCapacity(target: Target) throws {
            for storage in Storage.computing {
                try expectAppend(
                    positions: [3, 5, 100, 2_000_000_000], rows: 4, capacity: 6, width: 33,
                    padding: 2, storage, on: target)
            }
        }

        private func expectAppend(
            positions: [Int32], rows: Int, capacity: Int, width: Int, padding: Int,
            _ storage: Storage, on target: Target,
            sourceLocation: SourceLocation = #_sourceLocation
        ) throws {
            let batch = positions.count
            var random = TestRandom(seed: UInt64(rows + width))
            let source = random.values(batch * rows * width, as: storage)
            let cache = random.values(batch * capacity * width, as: storage)
            var want = cache
            for b in 0..<batch {
                for t in 0..<rows where (0..<capacity).contains(Int(positions[b]) + t) {
                    for column in 0..<width {
                        want[(b * capacity + Int(positions[b]) + t) * width + column] =
                            source[(b * rows + t) * width + column]
                    }
                }
            }
            let got = try target.run { bench in
                let layout = PaddedMatrices(rows: batch * rows, width: width, padding: padding)
                let tensor = try bench.tensor(cache, as: storage)
                var args = forja_cache_append_args()
                args.dtype = storage.dtype
                args.source = try bench.tensor(layout.scatter(source), as: storage).span
                args.cache = tensor.span
                args.position = try bench.integers(positions).span
                args.batch = UInt32(batch)
                args.rows = UInt32(rows)
                args.capacity = UInt32(capacity)
                args.width = UInt32(width)
                args.source_row_stride = UInt64(layout.rowStride)
                try bench.run { forja_cache_append($0, &args) }
                return try tensor.values()
            }
            expectSame(got, want, sourceLocation: sourceLocation)
        }
    }
}
