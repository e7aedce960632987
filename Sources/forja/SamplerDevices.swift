import ForjaCore
import ForjaParallel
import ForjaRL
import ForjaRuntime
import ForjaTraining

extension ComputeOptions {
    /// Devices that train, one a rank of this process, and where the recipe is pipelined as many that sample beside them:
    /// on the CPU the threads are divided, on OpenCL each gets a device of its own, a sub-device, or shares.
    func open(
        for recipe: Recipe, on processes: MPIRun?
    ) throws(ForjaError) -> (training: [Device], sampling: [Device]) {
        let rankCount = recipe.mesh.rankCount
        guard recipe.stage == .grpo else {
            return (try open(rankCount: rankCount, on: processes), [])
        }
        let settings = try GroupRelativeSettings(recipe)
        guard settings.isPipelined else {
            return (try open(rankCount: rankCount, on: processes), [])
        }
        if let processes { return try open(processes, samplerThreads: settings.samplerThreads) }
        let (all, note) = try device.open(rankCount: 2 * rankCount, threadCount: threads)
        if let note { Console.note("device: \(note)") }
        var (training, sampling) = (Array(all.prefix(rankCount)), Array(all.suffix(rankCount)))
        if settings.samplerThreads > 0, all[0].description.kind == .host {
            let count = all.reduce(0) { $0 + $1.description.threadCount }
            let (trainers, samplers) = try split(count, samplerThreads: settings.samplerThreads)
            training = try device.open(rankCount: rankCount, threadCount: trainers).devices
            sampling = try device.open(rankCount: rankCount, threadCount: samplers).devices
        }
        for device in training + sampling { _ = try device.takeKnownTuning() }
        return (training, sampling)
    }

    /// As one rank of several processes.
    private func open(
        _ processes: MPIRun, samplerThreads: Int
    ) throws(ForjaError) -> (training: [Device], sampling: [Device]) {
        let count = threads > 0 ? threads : processes.threadCount
        let (trainers, samplers) = try split(
            count, samplerThreads: samplerThreads > 0 ? samplerThreads : count / 2)
        func part(_ index: Int, threads: Int) throws(ForjaError) -> [Device] {
            try device.open(
                rank: 2 * processes.hostRank + index, of: 2 * processes.hostRankCount,
                threadCount: threads
            ).devices
        }
        let (training, sampling) = (
            try part(0, threads: trainers), try part(1, threads: samplers)
        )
        for device in training + sampling { _ = try device.takeKnownTuning() }
        return (training, sampling)
    }

    /// - Parameter count: Threads in all.
    private func split(
        _ count: Int, samplerThreads: Int
    ) throws(ForjaError) -> (trainers: Int, samplers: Int) {
        guard count > 1 else { return (1, 1) }
        guard samplerThreads < count else {
            throw ForjaError(
                .invalidInput,
                "grpo.sampler_threads is \(samplerThreads) of \(count) threads in all: none "
                    + "is left to train",
                fix: "use 1 ... \(count - 1), or 0 for half of them")
        }
        return (count - samplerThreads, samplerThreads)
    }
}
