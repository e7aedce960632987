import ForjaObjectives
import Foundation
import Testing

/// Losses and gradients by PyTorch's autograd in float64: Tests/Fixtures/objectives/make.py.
struct Goldens: Decodable {
    struct Settings: Decodable {
        let reduction: String?
        let loss: String?
        let beta: Double?
        let gammaRatio: Double?
        let smoothing: Double?
        let clipLow: Double?
        let clipHigh: Double?
        let klWeight: Double?
        let aggregation: String?
        let constant: Int?
        let limit: Double?
    }

    struct Case: Decodable {
        let name: String
        let kind: String
        let settings: Settings
        let sequences: [[Int]]
        let isLabel: [Bool]
        let logProbabilities: [Float]
        let loss: Double
        let gradient: [Double]
        let advantages: [Double]?
        let reference: [Float]?
        let old: [Float]?
        let sampler: [Float]?

        var batch: ObjectiveBatch {
            var batch = ObjectiveBatch(isLabel: isLabel, sequences: sequences.map { $0[0]..<$0[1] })
            batch.referenceLogProbabilities = reference
            batch.referenceSums = reference.map { reference in
                batch.sequences.map { range in
                    range.reduce(0) { $0 + (isLabel[$1] ? Double(reference[$1]) : 0) }
                }
            }
            batch.oldLogProbabilities = old
            batch.samplerLogProbabilities = sampler
            batch.advantages = advantages
            return batch
        }

        var objective: any Objective {
            get throws {
                switch kind {
                case "likelihood":
                    return LikelihoodObjective(
                        reduction: try #require(.init(rawValue: settings.reduction ?? "")))
                case "preference":
                    let beta = try #require(settings.beta)
                    let loss: PreferenceObjective.Loss =
                        switch settings.loss {
                        case "dpo": .dpo(beta: beta)
                        case "dpo_norm": .dpoNorm(beta: beta)
                        default: .simPO(beta: beta, gammaRatio: settings.gammaRatio ?? 0)
                        }
                    return PreferenceObjective(loss, labelSmoothing: settings.smoothing ?? 0)
                default:
                    var options = GroupRelativeObjective.Settings()
                    options.clipLow = try #require(settings.clipLow)
                    options.clipHigh = try #require(settings.clipHigh)
                    options.klWeight = try #require(settings.klWeight)
                    options.samplerWeightLimit = settings.limit
                    options.aggregation =
                        switch settings.aggregation {
                        case "constant": .constant(length: settings.constant ?? 0)
                        case "sequence_mean": .sequenceMean
                        case "sequence_sum": .sequenceSum
                        default: .tokenMean
                        }
                    return GroupRelativeObjective(options)
                }
            }
        }
    }

    struct RewardSet: Decodable {
        let rewards: [Double]
        let centred: [Double]
        let sample: [Double]
        let population: [Double]
    }

    let cases: [Case]
    let advantages: [RewardSet]

    static func read() throws -> Goldens {
        let path =
            (#filePath as NSString).deletingLastPathComponent
            + "/../Fixtures/objectives/golden.json"
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return try decoder.decode(Goldens.self, from: Data(contentsOf: URL(fileURLWithPath: path)))
    }
}

/// Gradients are rounded once, to float32: half of 2⁻²³ relative; losses are float64 sums of a few dozen terms.
enum ObjectiveTolerance {
    static let gradient = 1e-7
    static let loss = 1e-12
}

@Suite("Objectives against PyTorch")
struct GoldenTests {
    @Test("losses and gradients are autograd's")
    func goldens() throws {
        let cases = try Goldens.read().cases
        #expect(cases.count == 16)
        for golden in cases {
            let objective = try golden.objective
            let batch = golden.batch
            let denominator = objective.share(of: batch)
            let value = try objective.evaluate(
                golden.logProbabilities, of: batch, denominator: denominator)
            #expect(
                abs(value.loss - golden.loss) <= ObjectiveTolerance.loss * max(1, abs(golden.loss)),
                "\(golden.name): \(value.loss), not \(golden.loss)")
            for (position, (ours, theirs)) in zip(value.gradient, golden.gradient).enumerated() {
                #expect(
                    abs(Double(ours) - theirs) <= ObjectiveTolerance.gradient
                        * max(1e-3, abs(theirs)),
                    "\(golden.name), position \(position): \(ours), not \(theirs)")
            }
            if let fixed = objective.fixedGradient(of: batch, denominator: denominator) {
                #expect(fixed == value.gradient, "\(golden.name)")
            }
        }
    }

    @Test("advantages are those of the whole-tensor formulas")
    func advantages() throws {
        for set in try Goldens.read().advantages {
            let rollouts = set.rewards.map { Rollout(score: $0, length: 1, isTruncated: false) }
            let rules: [(AdvantageRule, [Double])] = [
                (.centred, set.centred),
                (.standard(deviation: .sample, delta: 1e-6), set.sample),
                (.standard(deviation: .population, delta: 1e-8), set.population),
            ]
            for (rule, expected) in rules {
                let values = try Advantages([rollouts], rule: rule).values[0]
                for (ours, theirs) in zip(values, expected) {
                    #expect(abs(ours - theirs) <= 1e-12, "\(rule) of \(set.rewards)")
                }
                #expect(abs(values.reduce(0, +)) < 1e-12)
            }
        }
    }
}
