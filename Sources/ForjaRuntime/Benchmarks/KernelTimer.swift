import ForjaCore

/// Times pieces of work against each other: bursts by turns, so that a busy moment of the machine meets all of them.
struct KernelTimer {
    /// Something to time: `run` queues it, `wait` returns when it is done.
    struct Work {
        let run: () throws(ForjaError) -> Void
        let wait: () throws(ForjaError) -> Void
        /// Seconds at the start of a burst that do not count: threads look for their cores.
        var warmUp = 0.02
        /// After a burst.
        var end: () -> Void = {}
    }

    /// Spent on each piece of work, if two samples in every round take no longer. 0 leaves out warm-ups too.
    let secondsPerRow: Double
    private let rounds = 5
    /// A sample repeats its work until it takes so long; launching and waiting are spread over it.
    private let leastSample = 0.002

    /// Seconds of one run of each: the median of its calmest burst. Whatever else runs, or puts two threads on one core,
    /// makes a whole burst slower and none faster.
    func medians(of works: [Work]) throws(ForjaError) -> [Double] {
        // The first run may compile.
        for work in works {
            _ = try seconds(of: work, 1)
            work.end()
        }
        var medians = [Double](repeating: .infinity, count: works.count)
        for _ in 0..<rounds {
            for (index, work) in works.enumerated() {
                medians[index] = min(medians[index], try burst(of: work))
            }
        }
        return medians
    }

    /// The median of a burst's samples.
    private func burst(of work: Work) throws(ForjaError) -> Double {
        var (spent, fastest) = (0.0, Double.infinity)
        repeat {
            let seconds = try seconds(of: work, 1)
            spent += seconds
            fastest = min(fastest, seconds)
        } while spent < min(work.warmUp, secondsPerRow)
        let repeats = max(1, min(10_000, Int((leastSample / max(fastest, 1e-7)).rounded(.up))))
        var samples: [Double] = []
        spent = 0
        while samples.count < 2 || spent < secondsPerRow / Double(rounds) {
            let seconds = try seconds(of: work, repeats)
            spent += seconds
            samples.append(seconds / Double(repeats))
        }
        work.end()
        return samples.sorted()[samples.count / 2]
    }

    private func seconds(of work: Work, _ count: Int) throws(ForjaError) -> Double {
        let start = ContinuousClock.now
        for _ in 0..<count { try work.run() }
        try work.wait()
        let elapsed = ContinuousClock.now - start
        return Double(elapsed.components.seconds) + 1e-18 * Double(elapsed.components.attoseconds)
    }
}
