import CForja
import Testing

extension OperationTests {
    @Suite("Sums")
    struct ReduceTests {
        static let chunk = FORJA_SUM_SQUARES_CHUNK

        @Test("match float64 for ragged counts", arguments: Target.rows, [1, 63, 64, 65, 1025])
        func matchForRaggedCounts(target: Target, count: Int) throws {
            var random = TestRandom(seed: UInt64(count))
            let x = random.values(count, as: .f32)
            for old in [nil, 3.5] {
                let got = try target.run { try sum(x, scale: -0.25, old: old, at: $0).values() }
                let want = -0.25 * x.reduce(0, +) + (old ?? 0)
                let magnitude = 0.25 * x.reduce(0) { $0 + $1.magnitude } + (old ?? 0)
                expectClose(got, [want], within: Tolerance.sum, ofMagnitude: [magnitude])
            }
        }

        @Test("stay exact enough over many positive terms", arguments: Target.rows)
        func stayExactOverManyTerms(target: Target) throws {
            var random = TestRandom(seed: 91)
            let x = random.values(300_001, as: .f32).map(\.magnitude)
            let got = try target.run { try sum(x, scale: 1, old: nil, at: $0).values() }
            expectClose(got, [x.reduce(0, +)], within: Tolerance.norm)
        }

        @Test("of nothing are zero, or leave what is there", arguments: Target.rows)
        func ofNothingAreZero(target: Target) throws {
            try target.run { bench in
                let written = try sum([], scale: 2, old: nil, at: bench)
                let left = try sum([], scale: 2, old: 7, at: bench)
                #expect(try written.values() == [0])
                #expect(try left.values() == [7])
            }
        }

        @Test("need no more memory than they say", arguments: Target.rows)
        func needNoMoreMemoryThanTheySay(target: Target) throws {
            let x = [Double](repeating: 1, count: 2 * Self.chunk + 1)
            let got = try target.run(alone: true) {
                try sum(x, scale: 1, old: nil, at: $0).values()
            }
            #expect(got == [Double(x.count)])
        }

        @Test("show NaN and infinity wherever they stand", arguments: Target.rows)
        func showSpecialValues(target: Target) throws {
            for index in [0, 64, 1024] {
                var x = [Double](repeating: 1, count: 1025)
                x[index] = .nan
                let withNaN = try target.run { try sum(x, scale: 1, old: nil, at: $0).values() }
                #expect(withNaN[0].isNaN)
                x[index] = -.infinity
                let infinite = try target.run { try sum(x, scale: 1, old: nil, at: $0).values() }
                #expect(infinite == [-.infinity])
            }
        }

        @Test(
            "of squares are made chunk by chunk", arguments: Target.rows,
            [1, 63, 64, 65, 1025, chunk - 1, chunk, chunk + 1, 3 * chunk + 5])
        func ofSquaresAreMadeByChunk(target: Target, count: Int) throws {
            var random = TestRandom(seed: UInt64(count))
            let x = random.values(count, as: .f32, scale: 3)
            let got = try target.run { try squares(x, at: $0).values() }
            let want = stride(from: 0, to: count, by: Self.chunk).map { start in
                x[start..<min(start + Self.chunk, count)].reduce(0) { $0 + $1 * $1 }
            }
            expectClose(got, want, within: Tolerance.norm, "partials")
        }

        @Test("of squares show NaN and overflow in their chunk alone", arguments: Target.rows)
        func ofSquaresShowSpecialValues(target: Target) throws {
            var x = [Double](repeating: 0.5, count: 3 * Self.chunk)
            x[Self.chunk - 1] = .nan
            x[Self.chunk] = 1e30
            let got = try target.run { try squares(x, at: $0).values() }
            #expect(got[0].isNaN)
            #expect(got[1] == .infinity)
            #expect(got[2] == 0.25 * Double(Self.chunk))
        }

        @Test("give the same bits on any number of threads and in every run")
        func giveSameBits() throws {
            var random = TestRandom(seed: 92)
            let x = random.values(300_001, as: .f32)
            try Target.expectSameBits(on: Target.rows) { bench in
                try sum(x, scale: 0.5, old: nil, at: bench).bytes() + squares(x, at: bench).bytes()
            }
        }

        private func sum(
            _ x: [Double], scale: Double, old: Double?, at bench: Workbench
        ) throws -> GuardedTensor {
            let out =
                try old.map { try bench.tensor([$0], as: .f32) } ?? bench.poisoned(1, as: .f32)
            var args = forja_sum_args()
            args.x = try bench.tensor(x, as: .f32).span
            args.out = out.span
            args.count = UInt64(x.count)
            args.scale = Float(scale)
            args.accumulate = old != nil
            try bench.run(workspaceBytes: forja_sum_workspace_bytes(bench.device.device, &args)) {
                forja_sum($0, &args)
            }
            return out
        }

        private func squares(_ x: [Double], at bench: Workbench) throws -> GuardedTensor {
            let partials = try bench.poisoned((x.count - 1) / Self.chunk + 1, as: .f32)
            var args = forja_sum_squares_args()
            args.x = try bench.tensor(x, as: .f32).span
            args.partials = partials.span
            args.count = UInt64(x.count)
            try bench.run { forja_sum_squares($0, &args) }
            return partials
        }
    }
}
