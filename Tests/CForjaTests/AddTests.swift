import CForja
import Testing

extension OperationTests {
    @Suite("Addition")
    struct AddTests {
        /// Where the sum goes.
        enum Destination: String, CaseIterable, Sendable { case itsOwn, overA, overB }

        @Test(
            "rounds the sum once, wherever it goes", arguments: Target.all, Destination.allCases)
        func roundsOnce(target: Target, destination: Destination) throws {
            for storage in Storage.computing {
                for count in [1, 63, 64, 65, 1025, 100_003] {
                    var random = TestRandom(seed: UInt64(count))
                    let a = random.values(count, as: storage)
                    let b = random.values(count, as: storage, scale: 100)
                    let y = try target.run { bench in
                        try add(a, b, to: destination, storage, at: bench).values()
                    }
                    // bf16 sums fit f32 or are rounded there first, as the engine does.
                    let want = storage.rounded(zip(a, b).map { Double(Float($0) + Float($1)) })
                    expectSame(y, want)
                }
            }
        }

        @Test("keeps infinities and NaN", arguments: Target.all)
        func keepsSpecialValues(target: Target) throws {
            for storage in Storage.computing {
                let y = try target.run { bench in
                    try add(
                        [.infinity, .infinity, .nan, 1, -0.0], [1, -.infinity, 1, .nan, -0.0],
                        to: .itsOwn, storage, at: bench
                    ).values()
                }
                #expect(y[0] == .infinity)
                #expect(y[1...3].areAllNaN)
                #expect(y[4] == 0 && y[4].sign == .minus)
            }
        }

        private func add(
            _ a: [Double], _ b: [Double], to destination: Destination, _ storage: Storage,
            at bench: Workbench
        ) throws -> GuardedTensor {
            let aTensor = try bench.tensor(a, as: storage)
            let bTensor = try bench.tensor(b, as: storage)
            let y =
                switch destination {
                case .itsOwn: try bench.poisoned(a.count, as: storage)
                case .overA: aTensor
                case .overB: bTensor
                }
            var args = forja_add_args()
            args.dtype = storage.dtype
            (args.a, args.b, args.y) = (aTensor.span, bTensor.span, y.span)
            args.count = UInt64(a.count)
            try bench.run { forja_add($0, &args) }
            return y
        }
    }
}
