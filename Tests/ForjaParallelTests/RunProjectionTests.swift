import ForjaParallel
import Foundation
import Testing

@Suite("Run projection")
struct RunProjectionTests {
    static let cases: [(mean: Double, cost: Double, restart: Double)] = [
        (11_135, 2.4, 600), (3600, 60, 300), (86_400, 600, 1200), (1000, 50, 0),
    ]

    /// Minimum of a function with one valley, by golden section.
    func minimum(_ from: Double, _ to: Double, _ value: (Double) -> Double) -> Double {
        let ratio = (5.0.squareRoot() - 1) / 2
        var (a, b) = (from, to)
        while b - a > 1e-7 * b {
            let (x, y) = (b - ratio * (b - a), a + ratio * (b - a))
            if value(x) < value(y) { b = y } else { a = x }
        }
        return (a + b) / 2
    }

    @Test("Daly's interval is the numerical best", arguments: cases)
    func daly(mean: Double, cost: Double, restart: Double) {
        let waste = { (interval: Double) in
            -RunProjection.effectiveFraction(
                interval: interval, meanSecondsBetweenStops: mean, checkpointSeconds: cost,
                restartSeconds: restart)
        }
        let best = minimum(cost / 100, 10 * mean, waste)
        let daly = RunProjection.bestInterval(
            meanSecondsBetweenStops: mean, checkpointSeconds: cost)
        #expect(abs(daly / best - 1) < 0.005)
        #expect(abs(waste(daly) / waste(best) - 1) < 1e-5)
        // Young's first order.
        #expect(abs(best / (2 * cost * mean).squareRoot() - 1) < 0.2)
    }

    @Test("the expected time is that of runs with random stops", arguments: cases)
    func randomStops(mean: Double, cost: Double, restart: Double) {
        let projection = RunProjection(
            meanSecondsBetweenStops: mean, checkpointSeconds: cost, restartSeconds: restart)
        var state: UInt64 = 42
        func untilStop() -> Double {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return -mean * log(1 - Double(state >> 11) / 9_007_199_254_740_992)
        }
        let segment = projection.intervalSeconds + cost
        let segments = 200_000
        var time = 0.0
        var stop = untilStop()
        for _ in 0..<segments {
            while stop < segment {
                time += stop
                // A restart may be stopped as well.
                while true {
                    stop = untilStop()
                    if stop >= restart { break }
                    time += stop
                }
                time += restart
                stop -= restart
            }
            time += segment
            stop -= segment
        }
        let measured = Double(segments) * projection.intervalSeconds / time
        #expect(abs(measured / projection.effectiveFraction - 1) < 0.01)
    }

    @Test("without stops only checkpoints cost, without checkpoints only restarts")
    func limits() {
        let steady = RunProjection(
            meanSecondsBetweenStops: .infinity, checkpointSeconds: 10, restartSeconds: 100,
            intervalSeconds: 90)
        #expect(steady.effectiveFraction == 0.9)
        let free = RunProjection(
            meanSecondsBetweenStops: .infinity, checkpointSeconds: 10, restartSeconds: 100)
        #expect(free.effectiveFraction == 1)
        let instant = RunProjection(
            meanSecondsBetweenStops: 1000, checkpointSeconds: 0, restartSeconds: 100)
        #expect(abs(instant.effectiveFraction - exp(-0.1)) < 1e-12)
    }

    @Test("longer restarts, dearer checkpoints and more stops leave less")
    func monotonous() {
        let base = RunProjection(
            meanSecondsBetweenStops: 1e4, checkpointSeconds: 10, restartSeconds: 100)
        for (mean, cost, restart) in [(5e3, 10.0, 100.0), (1e4, 20, 100), (1e4, 10, 200)] {
            let worse = RunProjection(
                meanSecondsBetweenStops: mean, checkpointSeconds: cost, restartSeconds: restart)
            #expect(worse.effectiveFraction < base.effectiveFraction)
        }
    }
}
