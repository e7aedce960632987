import CForja
import Testing

extension OperationTests {
    @Suite("Cast")
    struct CastTests {
        @Test("widens every 16-bit number exactly", arguments: Target.all, [Storage.bf16, .f16])
        func widensExactly(target: Target, from: Storage) throws {
            let patterns = bytes(of: (0...UInt16.max).map { $0 })
            let got = try target.run { bench in
                try cast(patterns, from, to: .f32, at: bench).values()
            }
            expectSame(got, from.decoded(patterns))
        }

        @Test(
            "rounds to the nearest, ties to even", arguments: Target.all,
            [Storage.f32, .bf16, .f16])
        func roundsToNearest(target: Target, to: Storage) throws {
            let source = bytes(of: Self.delicatePatterns(around: to))
            let got = try target.run { bench in
                try cast(source, .f32, to: to, at: bench).values()
            }
            expectSame(got, to.rounded(Storage.f32.decoded(source)))
        }

        @Test(
            "crosses between the 16-bit types, and copies within one", arguments: Target.all,
            [Storage.bf16, .f16])
        func crossesBetweenTypes(target: Target, from: Storage) throws {
            let patterns = bytes(of: (0...UInt16.max).map { $0 })
            for to in [Storage.bf16, .f16] {
                let got = try target.run { bench in
                    try cast(patterns, from, to: to, at: bench).values()
                }
                expectSame(got, to.rounded(from.decoded(patterns)))
            }
        }

        @Test("takes ragged counts", arguments: Target.all, [0, 1, 63, 64, 65, 1025])
        func takesRaggedCounts(target: Target, count: Int) throws {
            var random = TestRandom(seed: UInt64(count))
            let values = random.values(count, as: .f32)
            for to in Storage.allCases {
                let got = try target.run { bench in
                    try cast(Storage.f32.encoded(values), .f32, to: to, at: bench).values()
                }
                expectSame(got, to.rounded(values))
            }
        }

        /// f32 patterns where rounding to `storage` is hardest: around every exponent the numbers
        /// halfway between two neighbours and one step to either side, then random ones.
        private static func delicatePatterns(around storage: Storage) -> [UInt32] {
            // f32 keeps 23 bits of fraction, bf16 7 and f16 10.
            let dropped = storage == .bf16 ? 16 : 13
            let half = UInt32(1) << (dropped - 1)
            var patterns: [UInt32] = []
            for exponent in UInt32(0)...255 {
                for kept in [0, 1, 2, (UInt32(1) << (23 - dropped)) - 1] {
                    let base = exponent << 23 | kept << UInt32(dropped)
                    for step in [0, 1, half - 1, half, half + 1, 2 * half - 1] {
                        patterns += [base | step, base | step | 0x8000_0000]
                    }
                }
            }
            // f16 subnormals lose one more bit with each exponent below 2⁻¹⁴.
            for exponent in UInt32(100)...113 {
                for fraction in UInt32(0)..<128 {
                    patterns.append(exponent << 23 | fraction << 16)
                    patterns.append(exponent << 23 | fraction << 16 | 1)
                }
            }
            var random = TestRandom(seed: 81)
            patterns += (0..<20_000).map { _ in UInt32(truncatingIfNeeded: random.next()) }
            return patterns
        }

        private func cast(
            _ source: [UInt8], _ from: Storage, to: Storage, at bench: Workbench
        ) throws -> GuardedTensor {
            let count = source.count / from.byteCount
            let destination = try bench.poisoned(count, as: to)
            var args = forja_cast_args()
            (args.from, args.to) = (from.dtype, to.dtype)
            args.source = try bench.tensor(payload: source, from).span
            args.destination = destination.span
            args.count = UInt64(count)
            try bench.run { forja_cast($0, &args) }
            return destination
        }
    }
}
