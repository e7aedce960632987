import CForja
import Testing

/// R rows, V vocabulary.
extension OperationTests {
    @Suite("Log-probability of labels")
    struct LogProbabilityTests {
        static let vocabularies = [1, 2, 63, 64, 65, 1025, 5000]

        @Test("matches float64 for ragged vocabularies", arguments: Target.rows, Storage.computing)
        func matchesForRaggedVocabularies(target: Target, storage: Storage) throws {
            for vocabulary in Self.vocabularies {
                try expectOutputs(Rows(vocabulary: vocabulary, storage: storage), on: target)
            }
        }

        @Test(
            "scales logits by one over the temperature", arguments: Target.rows, Storage.computing)
        func scalesLogits(target: Target, storage: Storage) throws {
            for scale in [0.5, 2.5] {
                try expectOutputs(
                    Rows(vocabulary: 130, storage: storage, logitScale: scale), on: target)
            }
        }

        @Test("leaves the logits alone without a gradient", arguments: Target.rows)
        func leavesLogitsAlone(target: Target) throws {
            let rows = Rows(vocabulary: 65, storage: .bf16)
            try target.run { bench in
                let call = try LogProbabilityCall(rows, at: bench)
                let before = try call.logits.bytes()
                try call.run(wantsGradient: false)
                #expect(try call.logits.bytes() == before)
            }
        }

        @Test("does without the outputs that are absent", arguments: Target.rows)
        func doesWithoutAbsentOutputs(target: Target) throws {
            let rows = Rows(vocabulary: 65, storage: .f32)
            try target.run { bench in
                let call = try LogProbabilityCall(rows, at: bench)
                call.args.lse = absentSpan
                call.args.entropy = absentSpan
                try call.run(wantsGradient: false)
                expectClose(
                    try call.logProbability.values(), rows.want.logProbability,
                    within: Tolerance.transcendental, ofMagnitude: rows.want.magnitudes)
                #expect(try call.lse.values().areAllNaN)
                #expect(try call.entropy.values().areAllNaN)
            }
        }

        @Test(
            "makes the gradient in the same pass, or afterwards", arguments: Target.rows,
            Storage.computing)
        func makesGradient(target: Target, storage: Storage) throws {
            for vocabulary in Self.vocabularies {
                for scale in [1, 0.5] {
                    let rows = Rows(vocabulary: vocabulary, storage: storage, logitScale: scale)
                    for inOnePass in [true, false] {
                        let (logits, gaps) = try target.run { bench in
                            let call = try LogProbabilityCall(rows, at: bench)
                            try call.run(wantsGradient: inOnePass)
                            if !inOnePass { try call.runBackward() }
                            return (try call.denseLogits(), try call.gaps())
                        }
                        expectClose(
                            logits, rows.want.gradient, within: Tolerance.transcendental,
                            ofMagnitude: rows.want.gradientMagnitudes, as: storage,
                            "V\(vocabulary) dLogits")
                        #expect(gaps.areAllNaN)
                    }
                }
            }
        }

        @Test("has the slopes of the float64 function", arguments: Target.rows)
        func hasSlopes(target: Target) throws {
            let rows = Rows(vocabulary: 17, storage: .f32, logitScale: 0.8)
            let logits = try target.run { bench in
                let call = try LogProbabilityCall(rows, at: bench)
                try call.run(wantsGradient: true)
                return try call.denseLogits()
            }
            expectGradient(
                logits,
                of: { dot(rows.reference(logits: $0).logProbability, rows.weights) },
                at: rows.logits, coordinates: 40, within: Tolerance.transcendental, ofMagnitude: 8)
        }

        @Test("stays finite for huge logits", arguments: Target.rows, Storage.computing)
        func staysFiniteForHugeLogits(target: Target, storage: Storage) throws {
            try expectOutputs(
                Rows(vocabulary: 300, storage: storage, logitRange: 30_000), on: target)
        }

        @Test("of an even row is −log V, and its entropy log V", arguments: Target.rows)
        func ofEvenRow(target: Target) throws {
            var rows = Rows(vocabulary: 4096, storage: .f32)
            rows.logits = [Double](repeating: -3, count: rows.logits.count)
            try target.run { bench in
                let call = try LogProbabilityCall(rows, at: bench)
                try call.run(wantsGradient: false)
                let logV = 8.317766166719343
                expectClose(
                    try call.entropy.values(), rows.labels.map { _ in logV },
                    within: Tolerance.transcendental, ofMagnitude: [logV + 3])
                expectClose(
                    try call.logProbability.values(), rows.labels.map { $0 < 0 ? 0 : -logV },
                    within: Tolerance.transcendental, ofMagnitude: [logV + 3])
            }
        }

        @Test("shows a NaN logit in its row and no other", arguments: Target.rows)
        func showsNaN(target: Target) throws {
            var rows = Rows(vocabulary: 65, storage: .f32)
            let poisonedRow = 3
            rows.logits[poisonedRow * 65 + 64] = .nan
            try target.run { bench in
                let call = try LogProbabilityCall(rows, at: bench)
                try call.run(wantsGradient: false)
                for (row, value) in try call.lse.values().enumerated() {
                    #expect(value.isNaN == (row == poisonedRow), "row \(row)")
                }
                for (row, value) in try call.logProbability.values().enumerated() {
                    #expect(value.isNaN == (row == poisonedRow), "row \(row)")
                }
            }
        }

        @Test(
            "gives NaN for a label past the vocabulary, which it does not read",
            arguments: Target.rows)
        func givesNaNForUnknownLabel(target: Target) throws {
            var rows = Rows(vocabulary: 65, storage: .f32)
            rows.labels[4] = 65
            rows.labels[6] = .max
            try target.run { bench in
                let call = try LogProbabilityCall(rows, at: bench)
                try call.run(wantsGradient: false)
                for (row, value) in try call.logProbability.values().enumerated() {
                    #expect(value.isNaN == (row == 4 || row == 6), "row \(row)")
                }
                #expect(try call.lse.values().allSatisfy(\.isFinite))
            }
        }

        @Test(
            "over parts of the vocabulary gives what it gives over the whole",
            arguments: Target.rows, Storage.computing)
        func overParts(target: Target, storage: Storage) throws {
            for (vocabulary, partCount) in [(2, 2), (130, 2), (195, 3), (4096, 4)] {
                let rows = Rows(vocabulary: vocabulary, storage: storage, logitScale: 1.5)
                let got = try target.run { bench in
                    try SharedVocabulary(rows, parts: partCount, at: bench).outputs()
                }
                for (name, values, want) in [
                    ("log-probability", got.logProbability, rows.want.logProbability),
                    ("lse", got.lse, rows.want.lse), ("entropy", got.entropy, rows.want.entropy),
                ] {
                    expectClose(
                        values, want, within: Tolerance.transcendental,
                        ofMagnitude: rows.want.magnitudes, "V\(vocabulary)/\(partCount) \(name)")
                }
                expectClose(
                    got.gradient, rows.want.gradient, within: Tolerance.transcendental,
                    ofMagnitude: rows.want.gradientMagnitudes, as: storage,
                    "V\(vocabulary)/\(partCount) dLogits")
            }
        }

        @Test(
            "over parts gives NaN for a label past the whole vocabulary, and 0 for none",
            arguments: Target.rows)
        func overPartsUnknownLabel(target: Target) throws {
            var rows = Rows(vocabulary: 64, storage: .f32)
            rows.labels[4] = 64
            rows.labels[6] = .max
            let got = try target.run { bench in
                try SharedVocabulary(rows, parts: 2, at: bench).outputs()
            }
            for (row, value) in got.logProbability.enumerated() {
                #expect(value.isNaN == (row == 4 || row == 6), "row \(row)")
                if rows.labels[row] < 0 { #expect(value == 0, "row \(row)") }
            }
            #expect(got.lse.allSatisfy { $0.isFinite })
        }

        @Test("gives the same bits on any number of threads and in every run")
        func givesSameBits() throws {
            for storage in Storage.computing {
                let rows = Rows(vocabulary: 3001, storage: storage)
                try Target.expectSameBits(on: Target.rows) { bench in
                    let call = try LogProbabilityCall(rows, at: bench)
                    try call.run(wantsGradient: true)
                    return try call.logProbability.bytes() + call.lse.bytes()
                        + call.entropy.bytes() + call.logits.bytes()
                }
            }
        }

        private func expectOutputs(
            _ rows: Rows, on target: Target, sourceLocation: SourceLocation = #_sourceLocation
        ) throws {
            try target.run { bench in
                let call = try LogProbabilityCall(rows, at: bench)
                try call.run(wantsGradient: false)
                for (name, got, want) in [
                    ("log-probability", call.logProbability, rows.want.logProbability),
                    ("lse", call.lse, rows.want.lse), ("entropy", call.entropy, rows.want.entropy),
                ] {
                    expectClose(
                        try got.values(), want, within: Tolerance.transcendental,
                        ofMagnitude: rows.want.magnitudes, "V\(rows.vocabulary) \(name)",
                        sourceLocation: sourceLocation)
                }
            }
        }
    }
}

/// Nine rows of random logits: rows 2 and 5 carry no label; the first and last entries are labels.
private struct Rows {
    let vocabulary: Int
    let storage: Storage
    let logitScale: Double
    var logits: [Double]
    var labels: [Int32]
    let weights: [Double]

    init(vocabulary: Int, storage: Storage, logitScale: Double = 1, logitRange: Double = 6) {
        self.vocabulary = vocabulary
        self.storage = storage
        self.logitScale = logitScale
        var random = TestRandom(seed: UInt64(vocabulary))
        logits = random.values(9 * vocabulary, as: storage, scale: logitRange)
        var labels = random.integers(9, in: 0..<vocabulary)
        (labels[0], labels[1], labels[2], labels[5]) = (0, Int32(vocabulary - 1), -1, -100)
        self.labels = labels
        weights = random.values(9, as: .f32, scale: 2)
    }

    var want: Reference.LogProbabilities { reference(logits: logits) }

    func reference(logits: [Double]) -> Reference.LogProbabilities {
        Reference.logProbabilities(
            of: labels, logits: logits, vocabulary: vocabulary, scale: logitScale, weights: weights)
    }
}

/// Tensors of one call; rows of logits have a gap of five NaNs between them.
private final class LogProbabilityCall {
    let logits, logProbability, lse, entropy: GuardedTensor
    var args: forja_log_probability_args
    private let bench: Workbench
    private let layout: PaddedMatrices
    private let gradient: GuardedTensor

    init(_ rows: Rows, at bench: Workbench) throws {
        self.bench = bench
        let count = rows.labels.count
        layout = PaddedMatrices(rows: count, width: rows.vocabulary, padding: 5)
        logits = try bench.tensor(layout.scatter(rows.logits), as: rows.storage)
        logProbability = try bench.poisoned(count, as: .f32)
        lse = try bench.poisoned(count, as: .f32)
        entropy = try bench.poisoned(count, as: .f32)
        gradient = try bench.tensor(rows.weights, as: .f32)
        args = forja_log_probability_args()
        args.dtype = rows.storage.dtype
        args.logits = logits.span
        args.labels = try bench.integers(rows.labels).span
        args.log_probability = logProbability.span
        args.lse = lse.span
        args.entropy = entropy.span
        args.rows = UInt64(count)
        args.vocabulary = UInt64(rows.vocabulary)
        args.row_stride = UInt64(layout.rowStride)
        args.logit_scale = Float(rows.logitScale)
    }

    func run(wantsGradient: Bool) throws {
        args.gradient = wantsGradient ? gradient.span : absentSpan
        try bench.run { forja_log_probability($0, &args) }
    }

    func runBackward() throws {
        args.gradient = gradient.span
        try bench.run { forja_log_probability_backward($0, &args) }
    }

    func denseLogits() throws -> [Double] { layout.gather(try logits.values()) }
    func gaps() throws -> [Double] { layout.gaps(in: try logits.values()) }
}

/// The same rows with the vocabulary cut into equal parts, as ranks hold it: parts, combination, gradient.
private struct SharedVocabulary {
    struct Outputs {
        var logProbability, lse, entropy, gradient: [Double]
    }

    private let rows: Rows
    private let partCount: Int
    private let bench: Workbench

    init(_ rows: Rows, parts: Int, at bench: Workbench) throws {
        (self.rows, partCount, self.bench) = (rows, parts, bench)
    }

    func outputs() throws -> Outputs {
        let count = rows.labels.count
        let width = rows.vocabulary / partCount
        let labels = try bench.integers(rows.labels)
        let stats = try bench.poisoned(partCount * 3 * count, as: .f32)
        var parts: [GuardedTensor] = []
        for part in 0..<partCount {
            let cells = (0..<count).flatMap {
                let first = $0 * rows.vocabulary + part * width
                return rows.logits[first..<first + width]
            }
            parts.append(try bench.tensor(Array(cells), as: rows.storage))
            var args = arguments(of: parts[part], part, width, labels)
            let first = part * 3 * count
            (args.lse, args.label_logit, args.entropy) = (
                stats.span(at: first), stats.span(at: first + count),
                stats.span(at: first + 2 * count)
            )
            try bench.run { forja_log_probability($0, &args) }
        }
        let results = try (0..<3).map { _ in try bench.poisoned(count, as: .f32) }
        var combine = forja_log_probability_combine_args()
        combine.parts = stats.span
        combine.labels = labels.span
        (combine.log_probability, combine.lse, combine.entropy) = (
            results[0].span, results[1].span, results[2].span
        )
        (combine.rows, combine.part_count) = (UInt64(count), UInt64(partCount))
        combine.vocabulary = UInt64(rows.vocabulary)
        try bench.run { forja_log_probability_combine($0, &combine) }

        let weights = try bench.tensor(rows.weights, as: .f32)
        var gradient = [Double](repeating: .nan, count: count * rows.vocabulary)
        for part in 0..<partCount {
            var args = arguments(of: parts[part], part, width, labels)
            args.lse = results[1].span
            args.gradient = weights.span
            try bench.run { forja_log_probability_backward($0, &args) }
            let cells = try parts[part].values()
            for row in 0..<count {
                for column in 0..<width {
                    gradient[row * rows.vocabulary + part * width + column] =
                        cells[row * width + column]
                }
            }
        }
        return Outputs(
            logProbability: try results[0].values(), lse: try results[1].values(),
            entropy: try results[2].values(), gradient: gradient)
    }

    private func arguments(
        of logits: GuardedTensor, _ part: Int, _ width: Int, _ labels: GuardedTensor
    ) -> forja_log_probability_args {
        var args = forja_log_probability_args()
        args.dtype = rows.storage.dtype
        args.logits = logits.span
        args.labels = labels.span
        args.rows = UInt64(rows.labels.count)
        args.vocabulary = UInt64(width)
        args.row_stride = UInt64(width)
        args.vocabulary_start = UInt64(part * width)
        args.logit_scale = Float(rows.logitScale)
        return args
    }
}
