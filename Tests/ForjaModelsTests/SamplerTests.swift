import ForjaCore
import ForjaModels
import Foundation
import Testing

@Suite("Sampler")
struct SamplerTests {
    /// Log-probabilities of a half, a quarter and two eighths, behind a constant that softmax drops.
    private static let probabilities: [Double] = [0.125, 0.5, 0.125, 0.25]
    private static let logits = probabilities.map { Float(log($0)) + 3 }

    private func draw(
        _ settings: SamplingSettings, from logits: [Float] = logits, sequence: Int = 0, index: Int
    ) -> Int {
        logits.withUnsafeBufferPointer {
            Int(Sampler(settings).draw(from: $0, sequence: sequence, index: index))
        }
    }

    /// Shares of the tokens over 20,000 draws.
    private func shares(_ settings: SamplingSettings, from logits: [Float] = logits) -> [Double] {
        var counts = [Double](repeating: 0, count: logits.count)
        for index in 0..<20_000 { counts[draw(settings, from: logits, index: index)] += 1 }
        return counts.map { $0 / 20_000 }
    }

    private func expectNear(
        _ shares: [Double], _ probabilities: [Double],
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        for (share, probability) in zip(shares, probabilities) {
            // Five standard deviations of a share; none for what cannot be drawn.
            let bound = 5 * (probability * (1 - probability) / 20_000).squareRoot()
            #expect(
                abs(share - probability) <= bound, "\(shares)", sourceLocation: sourceLocation)
        }
    }

    @Test("temperature 0 takes the most likely token, of equals the first")
    func greedy() throws {
        let settings = try SamplingSettings(temperature: 0)
        #expect(draw(settings, index: 0) == 1)
        #expect(draw(settings, from: [1, 2, .nan, 2], index: 0) == 1)
        #expect(draw(settings, from: [.nan, -1, -2], index: 0) == 1)
    }

    @Test("temperature divides the logits")
    func temperature() throws {
        expectNear(try shares(SamplingSettings(seed: 1)), Self.probabilities)
        // At one half, probabilities are squared: 4, 64, 4 and 16 of 88.
        expectNear(
            try shares(SamplingSettings(temperature: 0.5, seed: 1)),
            [4.0 / 88, 64.0 / 88, 4.0 / 88, 16.0 / 88])
    }

    @Test("top-k draws from the k most likely, of equals the first")
    func topK() throws {
        expectNear(try shares(SamplingSettings(topK: 1, seed: 2)), [0, 1, 0, 0])
        expectNear(try shares(SamplingSettings(topK: 2, seed: 2)), [0, 2.0 / 3, 0, 1.0 / 3])
        expectNear(
            try shares(SamplingSettings(topK: 3, seed: 2)), [1.0 / 7, 4.0 / 7, 0, 2.0 / 7])
        expectNear(try shares(SamplingSettings(topK: 99, seed: 2)), Self.probabilities)
    }

    @Test("top-p draws from the fewest that reach p")
    func topP() throws {
        expectNear(try shares(SamplingSettings(topP: 0.4, seed: 3)), [0, 1, 0, 0])
        expectNear(try shares(SamplingSettings(topP: 0.7, seed: 3)), [0, 2.0 / 3, 0, 1.0 / 3])
        expectNear(
            try shares(SamplingSettings(topP: 0.8, seed: 3)), [1.0 / 7, 4.0 / 7, 0, 2.0 / 7])
        expectNear(try shares(SamplingSettings(topP: 1, seed: 3)), Self.probabilities)
        // Of top-k's two, the first holds two thirds.
        expectNear(try shares(SamplingSettings(topK: 2, topP: 0.6, seed: 3)), [0, 1, 0, 0])
    }

    @Test("tokens of no probability are never drawn")
    func impossibleTokens() throws {
        let logits: [Float] = [-.infinity, 1, .nan, 1, -.infinity]
        for settings in [
            try SamplingSettings(seed: 4), try SamplingSettings(topK: 4, seed: 4),
            try SamplingSettings(topP: 1, seed: 4),
        ] {
            expectNear(shares(settings, from: logits), [0, 0.5, 0, 0.5, 0])
        }
    }

    @Test("a draw depends on seed, sequence and index alone")
    func seeds() throws {
        func draws(seed: UInt64, sequence: Int) throws -> [Int] {
            let settings = try SamplingSettings(seed: seed)
            return (0..<64).map { draw(settings, sequence: sequence, index: $0) }
        }
        let first = try draws(seed: 5, sequence: 0)
        #expect(try draws(seed: 5, sequence: 0) == first)
        #expect(try draws(seed: 6, sequence: 0) != first)
        #expect(try draws(seed: 5, sequence: 1) != first)
        let settings = try SamplingSettings(seed: 5)
        #expect((0..<64).reversed().map { draw(settings, index: $0) } == first.reversed())
    }

    @Test(
        "log-probabilities are those of a softmax in float64",
        arguments: [1, 15, 16, 17, 511, 512, 513, 5000])
    func logProbabilities(vocabulary: Int) throws {
        let random = CounterRandom(seed: UInt64(vocabulary), purpose: .data)
        var logits = (0..<UInt64(vocabulary)).map { Float(random.uniform(at: $0) * 30 - 15) }
        if vocabulary > 20 { logits[7] = .nan }
        /// log softmax of one logit at a temperature, over `kept` tokens.
        func expected(_ id: Int, _ temperature: Double, among kept: [Int]) -> Double {
            let scaled = { (token: Int) in Double(logits[token]) / temperature }
            let peak = kept.map(scaled).max() ?? 0
            return scaled(id) - peak - log(kept.reduce(0) { $0 + exp(scaled($1) - peak) })
        }
        let all = logits.indices.filter { !logits[$0].isNaN }
        let top = Array(all.sorted { (logits[$0], $1) > (logits[$1], $0) }.prefix(3))
        for (temperature, topK) in [(1, nil), (0.5, nil), (2, nil), (0.5, 3), (0, nil)]
            as [(Float, Int?)]
        {
            let settings = try SamplingSettings(temperature: temperature, topK: topK, seed: 7)
            for index in 0..<20 {
                let draw = logits.withUnsafeBufferPointer {
                    Sampler(settings).scoredDraw(from: $0, sequence: 1, index: index)
                }
                let id = Int(draw.id)
                #expect(id == self.draw(settings, from: logits, sequence: 1, index: index))
                #expect(abs(Double(draw.modelLogProbability) - expected(id, 1, among: all)) < 5e-6)
                let own =
                    temperature == 0
                    ? 0 : expected(id, Double(temperature), among: topK == nil ? all : top)
                // Differences of logits, float32, are divided by the temperature.
                #expect(abs(Double(draw.logProbability) - own) < 2e-5)
            }
        }
    }
}
