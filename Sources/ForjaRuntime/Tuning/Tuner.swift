import ForjaCore

/// Runs the variants of one call, for a tuner.
package protocol TuningBench {
    /// Variants to measure, the default among them.
    func variants() throws(ForjaError) -> [KernelVariant]
    /// The call's results computed by other means, and how far each may be off.
    func expected() throws(ForjaError) -> (values: [Float], slacks: [Float])
    /// The results with a variant.
    func results(with variant: KernelVariant) throws(ForjaError) -> [Float]
    /// Seconds of one call with a variant.
    func seconds(with variant: KernelVariant) throws(ForjaError) -> Double
}

/// Finds the fastest right variant of a call.
///
/// A variant is measured only after its results were compared with what is expected, and wins only if
/// it gives the default's bits: a tuning changes speed and nothing else.
public struct Tuner: Sendable {
    /// What became of a variant.
    public enum Verdict: Hashable, Sendable {
        /// Right, and the same bits as the default.
        case eligible
        /// Right, but it adds in another order, so it may not take the default's place.
        case otherOrder
        /// Wrong results, or none: never chosen.
        case rejected(String)
    }

    public struct Measurement: Sendable {
        public let variant: KernelVariant
        public let verdict: Verdict
        /// Seconds of one call in each round; empty where it was rejected.
        public let times: [Double]

        /// The best round's.
        public var seconds: Double? { times.min() }
        var median: Double? { times.isEmpty ? nil : times.sorted()[times.count / 2] }
    }

    public struct Outcome: Sendable {
        public let measurements: [Measurement]
        /// `nil` where nothing beats the default.
        public let winner: KernelVariant?

        public var defaultSeconds: Double? {
            measurements.first { $0.variant.isDefault }?.seconds
        }
        public var winnerSeconds: Double? {
            measurements.first { $0.variant == winner }?.seconds
        }
    }

    /// Rounds over all variants, so that a busy moment of the machine meets each of them.
    package var rounds = 7
    /// A variant slower than the fastest by this factor is measured once.
    package var hopeless = 3.0
    /// What counts as faster than the default: less is noise.
    package var leastGain = 0.03

    public init() {}

    /// - Throws: `.device` when the default itself is wrong: the device or its compiler is at fault.
    package func tune(_ bench: some TuningBench) throws(ForjaError) -> Outcome {
        let variants = try bench.variants()
        guard let preferred = variants.first(where: \.isDefault) else {
            preconditionFailure("a table has a default for every call")
        }
        let expected = try bench.expected()
        let usual = try bench.results(with: preferred)
        if let fault = Self.fault(in: usual, expected) {
            throw ForjaError(
                .device, "the default variant \(preferred.identifier) is wrong: \(fault)",
                fix: "update the driver, or use --device cpu")
        }
        let verdicts = variants.map { variant in
            variant == preferred
                ? Verdict.eligible : verdict(on: variant, bench, expected, usual, preferred)
        }
        var times = [[Double]](repeating: [], count: variants.count)
        for _ in 0..<rounds {
            let fastest = times.compactMap { $0.min() }.min() ?? .infinity
            for (index, variant) in variants.enumerated() {
                if case .rejected = verdicts[index] { continue }
                if let best = times[index].min(), best > hopeless * fastest { continue }
                times[index].append(try bench.seconds(with: variant))
            }
        }
        let measurements = variants.indices.map {
            Measurement(variant: variants[$0], verdict: verdicts[$0], times: times[$0])
        }
        let standard = measurements.first { $0.variant == preferred }!
        let winner = measurements.filter { $0.verdict == .eligible && beats($0, standard) }
            .min { $0.seconds! < $1.seconds! }
        return Outcome(measurements: measurements, winner: winner?.variant)
    }

    /// Faster at its best and in most rounds: one quiet moment is not enough.
    private func beats(_ measurement: Measurement, _ standard: Measurement) -> Bool {
        guard let best = measurement.seconds, let standardBest = standard.seconds,
            let median = measurement.median, let standardMedian = standard.median
        else { return false }
        return best < (1 - leastGain) * standardBest && median < (1 - leastGain) * standardMedian
    }

    private func verdict(
        on variant: KernelVariant, _ bench: some TuningBench,
        _ expected: (values: [Float], slacks: [Float]), _ usual: [Float],
        _ preferred: KernelVariant
    ) -> Verdict {
        do throws(ForjaError) {
            let results = try bench.results(with: variant)
            if let fault = Self.fault(in: results, expected) { return .rejected(fault) }
            guard variant.order == preferred.order else { return .otherOrder }
            let differing = zip(results, usual).count { $0.bitPattern != $1.bitPattern }
            return differing == 0
                ? .eligible
                : .rejected(
                    "\(differing) of \(usual.count) results differ in bits from "
                        + "\(preferred.identifier), which adds in the same order")
        } catch {
            return .rejected(error.message)
        }
    }

    /// What is wrong with results; `nil` when all are within their slack.
    private static func fault(
        in results: [Float], _ expected: (values: [Float], slacks: [Float])
    ) -> String? {
        guard results.count == expected.values.count else {
            return "\(results.count) results instead of \(expected.values.count)"
        }
        for index in results.indices {
            let (got, want) = (results[index], expected.values[index])
            // Written so that NaN is wrong.
            guard abs(got - want) <= expected.slacks[index] else {
                return "result \(index) is \(got), expected \(want) ± \(expected.slacks[index])"
            }
        }
        return nil
    }
}
