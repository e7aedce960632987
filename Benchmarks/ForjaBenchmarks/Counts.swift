import Benchmark
import CAllocationCount
import ForjaRuntime
import Foundation

/// Metrics that repeat exactly: what thresholds are set on. A scaling factor would divide them.
enum Count {
    static let operations = metric("Operations")
    static let launches = metric("Kernel launches")
    static let hostSyncs = metric("Host syncs")
    static let bytesToDevice = metric("Bytes to device")
    static let bytesFromDevice = metric("Bytes from device")
    /// Of the measured thread, those of OpenCL drivers apart: Tests/AllocationCount says what counts.
    static let allocations = metric("Allocations")
    /// Tokens that an encoder or a loader gave.
    static let tokens = metric("Tokens")

    static let queue = [operations, launches, hostSyncs, bytesToDevice, bytesFromDevice]

    private static func metric(_ name: String) -> BenchmarkMetric {
        .custom(name, polarity: .prefersSmaller, useScalingFactor: false)
    }
}

/// A benchmark that gates on `counts` and reports time beside them. With FORJA_BENCHMARK_COUNTS_ONLY=1 time is left
/// out: that is how the committed thresholds are made, so that they hold no times.
func configuration(
    _ counts: [BenchmarkMetric], iterations: Int, warmUps: Int = 2
) -> Benchmark.Configuration {
    let countsOnly = ProcessInfo.processInfo.environment["FORJA_BENCHMARK_COUNTS_ONLY"] == "1"
    return Benchmark.Configuration(
        metrics: counts + (countsOnly ? [] : [.wallClock]), warmupIterations: warmUps,
        scalingFactor: .one, maxDuration: .seconds(60), maxIterations: iterations,
        thresholds: Dictionary(uniqueKeysWithValues: counts.map { ($0, .strict) }))
}

extension Benchmark {
    /// Measures `body` and registers the allocations it made on this thread.
    ///
    /// `FORJA_BENCHMARK_PLANT=1` adds one, to see that it is seen: thresholds of 0 must fail.
    func measure(_ body: () throws -> Void) rethrows {
        let plants = ProcessInfo.processInfo.environment["FORJA_BENCHMARK_PLANT"] == "1"
        startMeasurement()
        allocation_count_start()
        try body()
        if plants { Self.blackHole([UInt8](repeating: 1, count: 100)) }
        let allocations = allocation_count_stop()
        stopMeasurement()
        measurement(Count.allocations, Int(allocations.own))
    }

    func report(_ counters: Queue.Counters) {
        measurement(Count.operations, counters.operations)
        measurement(Count.launches, counters.launches)
        measurement(Count.hostSyncs, counters.hostSyncs)
        measurement(Count.bytesToDevice, counters.bytesToDevice)
        measurement(Count.bytesFromDevice, counters.bytesFromDevice)
    }
}

/// The devices that benchmarks run on: the host, and the first OpenCL device where there is one.
enum BenchmarkedDevice: String, CaseIterable {
    case cpu, opencl

    static var present: [BenchmarkedDevice] {
        Device.openCLDevices().isEmpty ? [.cpu] : allCases
    }

    func open() throws -> Device {
        switch self {
        case .cpu: try .host()
        case .opencl: try .openCL(0)
        }
    }
}

/// A value made on first use: a benchmark is registered in a process that may run another one.
final class OnFirstUse<Value> {
    private let make: () throws -> Value
    private var made: Value?

    init(_ make: @escaping () throws -> Value) { self.make = make }

    func get() throws -> Value {
        if let made { return made }
        let value = try make()
        made = value
        return value
    }
}

/// A file of the repository.
func repositoryFile(_ path: String) -> String {
    URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent(path).path
}
