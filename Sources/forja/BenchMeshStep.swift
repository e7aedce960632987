import ForjaCore
import ForjaData
import ForjaParallel
import ForjaRuntime
import ForjaTraining
import Foundation

extension BenchShape {
    /// Median time of `steps` data-parallel training steps on the host CPU, after two more, as rank 0 sees it.
    ///
    /// - Parameters:
    ///   - threadCount: Of all ranks together; 0 takes every core in the affinity mask.
    ///   - link: As `RankLauncher` takes it.
    ///   - overlaps: As `TrainingEngine` takes it.
    func stepSeconds(
        ranks: Int, sequencesPerRank: Int, threadCount: Int, steps: Int,
        link: SimulatedLink? = nil, overlaps: Bool = true
    ) throws(ForjaError) -> Double {
        let devices = try DeviceSelection.host.open(
            rankCount: ranks, threadCount: threadCount
        ).devices
        let times = try RankLauncher.run(
            Mesh(data: ranks, tensor: 1), timeoutSeconds: 600, link: link
        ) { rank throws(ForjaError) in
            let queue = try Queue(device: devices[rank.rank])
            let engine = try self.engine(
                dtype: .f32, batch: sequencesPerRank, queue: queue, rank: rank, overlaps: overlaps)
            try engine.prepare()
            try engine.model.initialize(seed: 0, on: queue)
            let count = UInt64(engine.shape.tokensPerStep)
            let random = CounterRandom(
                seed: 0, purpose: .data, stream: UInt32(truncatingIfNeeded: rank.rank))
            let vocabulary = UInt64(engine.model.configuration.vocabularySize)
            let tokens = (0..<count).map { Int32(random.integer(below: vocabulary, at: $0)) }
            var seconds: [Double] = []
            for number in 1...(steps + 2) {
                let start = DispatchTime.now().uptimeNanoseconds
                _ = try engine.step(
                    number: number, microbatches: [Batch(tokens: tokens, labels: tokens)],
                    learningRate: 1e-4, maxGradientNorm: 1)
                let end = DispatchTime.now().uptimeNanoseconds
                if number > 2 { seconds.append(Double(end - start) * 1e-9) }
            }
            return seconds.median
        }
        return times[0]
    }
}

extension [Double] {
    /// The middle one in order; of an even number the upper of the two.
    var median: Double { sorted()[count / 2] }
}
