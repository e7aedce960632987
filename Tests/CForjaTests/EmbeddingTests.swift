import CForja
import Testing

extension OperationTests {
    @Suite("Embedding")
    struct EmbeddingTests {
        static let widths = [1, 63, 64, 65, 1024, 1025]

        @Test("copies the rows that ids name, to the bit", arguments: Target.rows, widths)
        func copiesRows(target: Target, width: Int) throws {
            let tableRows = 37
            for storage in Storage.computing {
                var random = TestRandom(seed: UInt64(width))
                let table = random.values(tableRows * width, as: storage)
                var ids = random.integers(65, in: 0..<tableRows)
                (ids[0], ids[1]) = (0, Int32(tableRows - 1))
                let y = try target.run { bench in
                    try gather(ids, from: table, width: width, storage, at: bench).values()
                }
                expectSame(y, ids.flatMap { table[Int($0) * width..<(Int($0) + 1) * width] })
            }
        }

        @Test("gives rows of NaN for ids outside the table", arguments: Target.rows)
        func givesNaNRows(target: Target) throws {
            let width = 65
            for storage in Storage.computing {
                let table = [Double](repeating: 1, count: 4 * width)
                let ids: [Int32] = [3, -1, 4, 0, .max, .min, 1]
                let y = try target.run { bench in
                    try gather(ids, from: table, width: width, storage, at: bench).values()
                }
                for (row, id) in ids.enumerated() {
                    let cells = y[row * width..<(row + 1) * width]
                    #expect(cells.allSatisfy { (0..<4).contains(id) ? $0 == 1 : $0.isNaN })
                }
            }
        }

        @Test(
            "of a part of the table gives zeros for the other rows, and takes no gradient of theirs",
            arguments: Target.rows, [64, 65])
        func ofPart(target: Target, width: Int) throws {
            for storage in Storage.computing {
                var random = TestRandom(seed: UInt64(width))
                let table = random.values(9 * width, as: storage)
                let ids: [Int32] = [0, 2, 3, 5, 6, 8, 3, -1, 9, .max, .min, 5]
                let dy = random.values(ids.count * width, as: storage)
                let held = 3..<6
                let rows = Array(table[held.lowerBound * width..<held.upperBound * width])
                let (y, gradient) = try target.run { bench in
                    (
                        try gather(
                            ids, from: rows, width: width, storage, part: (3, 9), at: bench
                        ).values(),
                        try scatter(
                            ids, dy: dy, width: width, tableRows: 3, storage, old: nil,
                            firstRow: 3, at: bench
                        ).values()
                    )
                }
                var want = [Double](repeating: 0, count: 3 * width)
                for (row, id) in ids.enumerated() {
                    let cells = Array(y[row * width..<(row + 1) * width])
                    if held.contains(Int(id)) {
                        expectSame(cells, Array(table[Int(id) * width..<(Int(id) + 1) * width]))
                        for column in 0..<width {
                            want[(Int(id) - 3) * width + column] += dy[row * width + column]
                        }
                    } else {
                        #expect(
                            cells.allSatisfy { (0..<9).contains(id) ? $0 == 0 : $0.isNaN },
                            "id \(id)")
                    }
                }
                expectClose(
                    gradient, want, within: Tolerance.sum, ofMagnitude: want.map { _ in 4 },
                    "d_table")
            }
        }

        @Test("adds up the gradients of repeated ids", arguments: Target.rows, widths)
        func addsUpGradients(target: Target, width: Int) throws {
            for storage in Storage.computing {
                for accumulates in [false, true] {
                    try expectGradients(
                        width: width, tableRows: 37, count: 200, storage, accumulates, on: target)
                }
            }
        }

        @Test("adds up a thousand rows of one id", arguments: Target.rows)
        func addsUpOneID(target: Target) throws {
            try expectGradients(
                width: 65, tableRows: 1, count: 1025, .f32, false, on: target)
        }

        @Test("has the slopes of the float64 function", arguments: Target.rows)
        func hasSlopes(target: Target) throws {
            let (width, ids) = (5, [2, 0, 2, 2, 1] as [Int32])
            var random = TestRandom(seed: 31)
            let table = random.values(4 * width, as: .f32)
            let dy = random.values(ids.count * width, as: .f32)
            let gradient = try target.run { bench in
                try scatter(
                    ids, dy: dy, width: width, tableRows: 4, .f32, old: nil, at: bench
                ).values()
            }
            expectGradient(
                gradient,
                of: { table in
                    dot(ids.flatMap { table[Int($0) * width..<(Int($0) + 1) * width] }, dy)
                }, at: table, within: Tolerance.sum, ofMagnitude: 3)
        }

        @Test("gives the same bits on any number of threads and in every run")
        func givesSameBits() throws {
            var random = TestRandom(seed: 32)
            let ids = random.integers(500, in: 0..<20)
            let dy = random.values(500 * 65, as: .bf16)
            try Target.expectSameBits(on: Target.rows) { bench in
                try scatter(
                    ids, dy: dy, width: 65, tableRows: 20, .bf16, old: nil, at: bench
                ).bytes()
            }
        }

        private func expectGradients(
            width: Int, tableRows: Int, count: Int, _ storage: Storage, _ accumulates: Bool,
            on target: Target, sourceLocation: SourceLocation = #_sourceLocation
        ) throws {
            var random = TestRandom(seed: UInt64(width + count))
            var ids = random.integers(count, in: 0..<tableRows)
            // Out of range: these rows add nothing.
            (ids[1], ids[2], ids[3]) = (-1, Int32(tableRows), .max)
            let dy = random.values(count * width, as: storage)
            let old = random.values(tableRows * width, as: .f32)
            var want = Reference.Sums(
                values: accumulates ? old : old.map { _ in 0 },
                magnitudes: old.map { accumulates ? $0.magnitude : 0 })
            for (row, id) in ids.enumerated() where (0..<tableRows).contains(Int(id)) {
                for column in 0..<width {
                    want.values[Int(id) * width + column] += dy[row * width + column]
                    want.magnitudes[Int(id) * width + column] += dy[row * width + column].magnitude
                }
            }
            let got = try target.run { bench in
                try scatter(
                    ids, dy: dy, width: width, tableRows: tableRows, storage,
                    old: accumulates ? old : nil, at: bench
                ).values()
            }
            expectClose(
                got, want.values, within: Tolerance.sum, ofMagnitude: want.magnitudes, "d_table",
                sourceLocation: sourceLocation)
        }

        private func gather(
            _ ids: [Int32], from table: [Double], width: Int, _ storage: Storage,
            part: (firstRow: UInt64, totalRows: UInt64) = (0, 0), at bench: Workbench
        ) throws -> GuardedTensor {
            let y = try bench.poisoned(ids.count * width, as: storage)
            var args = forja_embedding_args()
            args.dtype = storage.dtype
            args.table = try bench.tensor(table, as: storage).span
            args.ids = try bench.integers(ids).span
            args.y = y.span
            args.rows = UInt64(ids.count)
            args.width = UInt64(width)
            args.table_rows = UInt64(table.count / width)
            (args.first_row, args.total_rows) = part
            try bench.run { forja_embedding_forward($0, &args) }
            return y
        }

        /// The table's gradient, added to `old` or written over NaN.
        private func scatter(
            _ ids: [Int32], dy: [Double], width: Int, tableRows: Int, _ storage: Storage,
            old: [Double]?, firstRow: UInt64 = 0, at bench: Workbench
        ) throws -> GuardedTensor {
            let dTable =
                try old.map { try bench.tensor($0, as: .f32) }
                ?? bench.poisoned(tableRows * width, as: .f32)
            var args = forja_embedding_backward_args()
            args.dtype = storage.dtype
            args.dy = try bench.tensor(dy, as: storage).span
            args.ids = try bench.integers(ids).span
            args.d_table = dTable.span
            args.rows = UInt64(ids.count)
            args.width = UInt64(width)
            args.table_rows = UInt64(tableRows)
            args.first_row = firstRow
            args.accumulate = old != nil
            try bench.run { forja_embedding_backward($0, &args) }
            return dTable
        }
    }
}
