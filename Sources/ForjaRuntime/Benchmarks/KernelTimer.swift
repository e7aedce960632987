import ForjaCore

/// Times pieces of work against each other: bursts by turns, so that a busy moment of the machine meets all of them.
struct KernelTimer {
    /// Something to time: `run` queues it, `wait` returns when it is done.
    struct Work {
        let run: () throws(ForjaError) -> Void
        let wait: () throws(ForjaError) -> Void
        /// Seconds let pass after a burst, for threads that look for more work before they sleep.
        var rest = 0.0
    }

    /// Spent on each piece of work, if two samples in every round take no longer.
    let secondsPerRow: Double
    private let rounds = 3
    /// A sample repeats its work until it takes so long; launching and waiting are spread over it.
    private let leastSample = 0.002
    /// Threads find their cores in the first milliseconds of a burst: these do not count.
    private let warmUp = 0.005

    /// Seconds of one run of each, the median of its samples.
    func medians(of works: [Work]) throws(ForjaError) -> [Double] {
        try samples(of: works).map { $0.sorted()[$0.count / 2] }
    }

    /// Seconds of one run of each, in every sample.
    func samples(of works: [Work]) throws(ForjaError) -> [[Double]] {
        // The first run may compile.
        for work in works { _ = try seconds(of: work, 1) }
        var samples = [[Double]](repeating: [], count: works.count)
        for _ in 0..<rounds {
            for (index, work) in works.enumerated() {
                samples[index] += try burst(of: work)
                rest(work.rest)
            }
        }
        return samples
    }

    private func burst(of work: Work) throws(ForjaError) -> [Double] {
        var (spent, fastest) = (0.0, Double.infinity)
        repeat {
            let seconds = try seconds(of: work, 1)
            spent += seconds
            fastest = min(fastest, seconds)
        } while spent < warmUp
        let repeats = max(1, min(10_000, Int((leastSample / max(fastest, 1e-7)).rounded(.up))))
        var samples: [Double] = []
        spent = 0
        while samples.count < 2 || spent < secondsPerRow / Double(rounds) {
            let seconds = try seconds(of: work, repeats)
            spent += seconds
            samples.append(seconds / Double(repeats))
        }
        return samples
    }

    private func seconds(of work: Work, _ count: Int) throws(ForjaError) -> Double {
        let start = ContinuousClock.now
        for _ in 0..<count { try work.run() }
        try work.wait()
        return Self.seconds(since: start)
    }

    /// Stays awake: a thread that sleeps may wake up on the core of the one that it waits for.
    private func rest(_ seconds: Double) {
        let start = ContinuousClock.now
        while seconds > 0, Self.seconds(since: start) < seconds {}
    }

    private static func seconds(since start: ContinuousClock.Instant) -> Double {
        let elapsed = ContinuousClock.now - start
        return Double(elapsed.components.seconds) + 1e-18 * Double(elapsed.components.attoseconds)
    }
}
