// swift-tools-version: 6.3
import PackageDescription

let package = Package(
    name: "forja-benchmarks",
    dependencies: [
        .package(name: "forja", path: ".."),
        // No traits: allocations are counted by CAllocationCount, and the harness's own interposers
        // would stand in its way.
        .package(url: "https://github.com/ordo-one/benchmark", from: "1.38.1", traits: []),
    ],
    targets: [
        .executableTarget(
            name: "ForjaBenchmarks",
            dependencies: [
                .product(name: "Forja", package: "forja"),
                .product(name: "CForja", package: "forja"),
                .product(name: "CAllocationCount", package: "forja"),
                .product(name: "Benchmark", package: "benchmark"),
            ],
            // The harness looks for targets in a folder of this name: the package's own.
            path: "ForjaBenchmarks",
            swiftSettings: [.treatAllWarnings(as: .error)],
            plugins: [.plugin(name: "BenchmarkPlugin", package: "benchmark")])
    ]
)
