import Benchmark

/// What the harness calls. Each function registers one family; nothing is opened before a benchmark runs.
let benchmarks: @Sendable () -> Void = {
    registerStepBenchmarks()
    registerKernelBenchmarks()
    registerLoaderBenchmarks()
    registerTokenizerBenchmarks()
}
