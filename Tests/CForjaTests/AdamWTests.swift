import CForja
import Foundation
import Testing

extension OperationTests {
    @Suite("Gradient norm")
    struct GradientNormTests {
        @Test("is the scaled root of the partial sums", arguments: Target.rows, [1, 2, 65, 1025])
        func isScaledRoot(target: Target, count: Int) throws {
            var random = TestRandom(seed: UInt64(count))
            let partials = random.values(count, as: .f32, scale: 9).map(\.magnitude)
            let scalars = StepScalars(gradientScale: 0.125, maxNorm: 0, lossSum: 12)
            let got = try target.run { try norm(partials, scalars, at: $0) }
            let want = partials.reduce(0, +).squareRoot() * 0.125
            expectClose([got.norm], [want], within: Tolerance.transcendental)
            expectClose([got.updateScale], [0.125], within: Tolerance.elementwise)
            #expect(got.isFinite == 1)
        }

        @Test("clips only what is longer than the limit", arguments: Target.rows)
        func clips(target: Target) throws {
            // ‖gradient‖ = 6, scaled 3.
            for (limit, factor) in [1: 1 / 3.000001, 4: 1, 0: 1, -1: 1] as [Double: Double] {
                let scalars = StepScalars(gradientScale: 0.5, maxNorm: limit, lossSum: 1)
                let got = try target.run { try norm([20, 16], scalars, at: $0) }
                expectClose([got.norm], [3], within: Tolerance.transcendental)
                expectClose([got.updateScale], [0.5 * factor], within: Tolerance.transcendental)
            }
        }

        @Test("adds 1e-6 to the norm before it clips", arguments: Target.rows)
        func addsToNormBeforeClipping(target: Target) throws {
            let scalars = StepScalars(gradientScale: 1, maxNorm: 5e-7, lossSum: 1)
            let got = try target.run { try norm([1e-12], scalars, at: $0) }
            expectClose([got.updateScale], [0.25], within: Tolerance.transcendental)
        }

        @Test("adds small partials to a large one without losing them", arguments: Target.rows)
        func addsSmallPartials(target: Target) throws {
            let partials = [0x1p24] + [Double](repeating: 1, count: 4096)
            let scalars = StepScalars(gradientScale: 1, maxNorm: 0, lossSum: 1)
            let got = try target.run { try norm(partials, scalars, at: $0) }
            expectClose(
                [got.norm], [(0x1p24 + 4096).squareRoot()], within: Tolerance.elementwise)
        }

        @Test("lowers the flag for NaN and infinity in gradient or loss", arguments: Target.rows)
        func lowersFlag(target: Target) throws {
            for (partial, loss) in [
                (Double.nan, 1.0), (.infinity, 1), (1, .nan), (1, .infinity), (1, -.infinity),
            ] {
                let scalars = StepScalars(gradientScale: 1, maxNorm: 1, lossSum: loss)
                let got = try target.run { try norm([1, partial, 1], scalars, at: $0) }
                #expect(got.isFinite == 0, "partial \(partial), loss \(loss)")
            }
        }

        @Test("lowers the flag for squares past the range of f32", arguments: Target.rows)
        func lowersFlagForOverflow(target: Target) throws {
            let scalars = StepScalars(gradientScale: 1, maxNorm: 1, lossSum: 1)
            let got = try target.run { try norm([3e38, 3e38], scalars, at: $0) }
            #expect(got.isFinite == 0)
        }

        @Test("writes its three scalars and no other", arguments: Target.rows)
        func writesThreeScalars(target: Target) throws {
            let scalars = StepScalars(gradientScale: 1, maxNorm: 1, lossSum: 5)
            let got = try target.run { try norm([4], scalars, at: $0).stored }
            for (index, value) in scalars.stored.enumerated() where !(9...11).contains(index) {
                #expect(got[index] == value || value.isNaN && got[index].isNaN)
            }
        }

        private func norm(
            _ partials: [Double], _ scalars: StepScalars, at bench: Workbench
        ) throws -> StepScalars {
            let tensor = try bench.tensor(scalars.stored, as: .f32)
            var args = forja_gradient_norm_args()
            args.partials = try bench.tensor(partials, as: .f32).span
            args.scalars = tensor.span
            args.partial_count = UInt64(partials.count)
            try bench.run { forja_gradient_norm($0, &args) }
            return StepScalars(stored: try tensor.values())
        }
    }

    @Suite("AdamW")
    struct AdamWTests {
        @Test(
            "matches float64 over several updates", arguments: Target.rows, [1, 63, 64, 65, 1025])
        func matchesOverSeveralUpdates(target: Target, count: Int) throws {
            try target.run { bench in
                var reference = AdamWReference(count: count, seed: UInt64(count))
                let update = try AdamWUpdate(reference, keepsBF16: true, at: bench)
                for number in 1...5 {
                    var random = TestRandom(seed: UInt64(number))
                    // Gradients of very different sizes, some exactly zero.
                    let gradient = Storage.f32.rounded(
                        random.values(count, as: .f32).enumerated().map { index, value in
                            index % 7 == 3 ? 0 : value * pow(10, Double(index % 9) - 4)
                        })
                    let scalars = AdamWReference.scalars(update: number)
                    reference.apply(gradient, scalars)
                    try update.run(gradient, scalars)
                }
                let (weight, m, v) = try update.state()
                expectClose(
                    weight, reference.weight, within: Tolerance.adamw, ofMagnitude: [1], "weight")
                expectClose(m, reference.m, within: Tolerance.adamw, ofMagnitude: reference.mTerms)
                expectClose(v, reference.v, within: Tolerance.adamw, "v")
                // The copy is made from the master as stored, so it must agree to the bit.
                expectSame(try #require(update.copy).values(), Storage.bf16.rounded(weight))
            }
        }

        @Test("does without a bf16 copy", arguments: Target.rows)
        func doesWithoutCopy(target: Target) throws {
            try target.run { bench in
                var reference = AdamWReference(count: 70, seed: 1)
                let update = try AdamWUpdate(reference, keepsBF16: false, at: bench)
                let gradient = [Double](repeating: 0.5, count: 70)
                reference.apply(gradient, AdamWReference.scalars(update: 1))
                try update.run(gradient, AdamWReference.scalars(update: 1))
                expectClose(
                    try update.state().weight, reference.weight, within: Tolerance.adamw,
                    ofMagnitude: [1])
            }
        }

        @Test("does nothing when the flag is down, whatever the gradient", arguments: Target.rows)
        func doesNothingWhenFlagIsDown(target: Target) throws {
            try target.run { bench in
                let reference = AdamWReference(count: 130, seed: 2)
                let update = try AdamWUpdate(reference, keepsBF16: true, at: bench)
                let before = try update.allBytes()
                var scalars = AdamWReference.scalars(update: 3)
                scalars.isFinite = 0
                scalars.updateScale = .nan
                try update.run([Double](repeating: .nan, count: 130), scalars)
                #expect(try update.allBytes() == before)
            }
        }

        @Test("decays weights that get no gradient", arguments: Target.rows)
        func decaysWeights(target: Target) throws {
            try target.run { bench in
                var reference = AdamWReference(count: 65, seed: 3)
                reference.m = reference.m.map { _ in 0 }
                let update = try AdamWUpdate(reference, keepsBF16: false, at: bench)
                let scalars = AdamWReference.scalars(update: 1)
                try update.run([Double](repeating: 0, count: 65), scalars)
                let decay = 1 - scalars.learningRate * AdamWReference.weightDecay
                expectClose(
                    try update.state().weight, reference.weight.map { $0 * decay },
                    within: Tolerance.elementwise)
            }
        }

        @Test("gives the same bits on any number of threads and in every run")
        func givesSameBits() throws {
            let reference = AdamWReference(count: 70_001, seed: 4)
            var random = TestRandom(seed: 5)
            let gradient = random.values(70_001, as: .f32)
            try Target.expectSameBits(on: Target.rows) { bench in
                let update = try AdamWUpdate(reference, keepsBF16: true, at: bench)
                try update.run(gradient, AdamWReference.scalars(update: 1))
                return try update.allBytes()
            }
        }
    }
}

/// The step-scalar buffer; places that no field names hold NaN.
private struct StepScalars {
    var stored = [Double](repeating: .nan, count: FORJA_STEP_SCALAR_COUNT)

    init(stored: [Double]) { self.stored = stored }

    init(gradientScale: Double, maxNorm: Double, lossSum: Double) {
        stored[3] = gradientScale
        stored[4] = maxNorm
        stored[8] = lossSum
    }

    init(
        learningRate: Double, biasCorrection1: Double, biasCorrection2: Double, updateScale: Double
    ) {
        stored[0] = learningRate
        stored[1] = biasCorrection1
        stored[2] = biasCorrection2
        stored[10] = updateScale
        stored[11] = 1
        stored = Storage.f32.rounded(stored)
    }

    var learningRate: Double { stored[0] }
    var biasCorrection1: Double { stored[1] }
    var biasCorrection2: Double { stored[2] }
    var norm: Double { stored[9] }
    var updateScale: Double {
        get { stored[10] }
        set { stored[10] = newValue }
    }
    var isFinite: Double {
        get { stored[11] }
        set { stored[11] = newValue }
    }
}

/// AdamW in float64, from the formula of forja_optimizer.h.
private struct AdamWReference {
    static let beta1 = Double(Float(0.9))
    static let beta2 = Double(Float(0.95))
    /// Large enough that its place in the formula shows.
    static let epsilon = Double(Float(1e-3))
    static let weightDecay = Double(Float(0.1))

    var weight, m, v: [Double]
    /// Σ of the sizes of what m was added up from.
    var mTerms: [Double]

    init(count: Int, seed: UInt64) {
        var random = TestRandom(seed: seed)
        weight = random.values(count, as: .f32)
        m = random.values(count, as: .f32, scale: 0.1)
        v = random.values(count, as: .f32, scale: 0.01).map(\.magnitude)
        mTerms = m.map(\.magnitude)
    }

    static func scalars(update number: Int) -> StepScalars {
        StepScalars(
            learningRate: 0.01 / Double(number),
            biasCorrection1: 1 - pow(beta1, Double(number)),
            biasCorrection2: 1 - pow(beta2, Double(number)), updateScale: 0.25)
    }

    mutating func apply(_ gradient: [Double], _ scalars: StepScalars) {
        for index in weight.indices {
            let g = scalars.updateScale * gradient[index]
            weight[index] *= 1 - scalars.learningRate * Self.weightDecay
            m[index] = Self.beta1 * m[index] + (1 - Self.beta1) * g
            mTerms[index] = Self.beta1 * mTerms[index] + (1 - Self.beta1) * g.magnitude
            v[index] = Self.beta2 * v[index] + (1 - Self.beta2) * g * g
            let root = v[index].squareRoot() / scalars.biasCorrection2.squareRoot()
            weight[index] -=
                scalars.learningRate / scalars.biasCorrection1 * m[index] / (root + Self.epsilon)
        }
    }
}

/// Optimizer state on a device.
private final class AdamWUpdate {
    let copy: GuardedTensor?
    private let weight, m, v: GuardedTensor
    private let bench: Workbench

    init(_ start: AdamWReference, keepsBF16: Bool, at bench: Workbench) throws {
        self.bench = bench
        weight = try bench.tensor(start.weight, as: .f32)
        m = try bench.tensor(start.m, as: .f32)
        v = try bench.tensor(start.v, as: .f32)
        copy = keepsBF16 ? try bench.poisoned(start.weight.count, as: .bf16) : nil
    }

    func run(_ gradient: [Double], _ scalars: StepScalars) throws {
        var args = forja_adamw_args()
        args.weight = weight.span
        args.weight_bf16 = copy?.span ?? absentSpan
        args.gradient = try bench.tensor(gradient, as: .f32).span
        (args.m, args.v) = (m.span, v.span)
        args.scalars = try bench.tensor(scalars.stored, as: .f32).span
        args.count = UInt64(gradient.count)
        args.beta1 = Float(AdamWReference.beta1)
        args.beta2 = Float(AdamWReference.beta2)
        args.epsilon = Float(AdamWReference.epsilon)
        args.weight_decay = Float(AdamWReference.weightDecay)
        try bench.run { forja_adamw($0, &args) }
    }

    func state() throws -> (weight: [Double], m: [Double], v: [Double]) {
        (try weight.values(), try m.values(), try v.values())
    }

    func allBytes() throws -> [UInt8] {
        try weight.bytes() + m.bytes() + v.bytes() + (copy?.bytes() ?? [])
    }
}
