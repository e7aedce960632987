// swift-tools-version: 6.2
import PackageDescription

/// Every Swift target: Swift 6 language mode comes with the tools version; warnings fail the build.
let swiftSettings: [SwiftSetting] = [.treatAllWarnings(as: .error)]

let package = Package(
    name: "forja",
    products: [
        .executable(name: "forja", targets: ["forja"]),
        .library(
            name: "Forja",
            targets: [
                "ForjaCore", "ForjaRuntime", "ForjaNN", "ForjaParallel", "ForjaFormats",
                "ForjaData", "ForjaModels", "ForjaTraining", "ForjaObjectives", "ForjaVerifiers",
                "ForjaRL", "ForjaEvaluation", "ForjaPipeline",
            ]),
        // For Benchmarks/, a package of its own.
        .library(name: "CForja", targets: ["CForja"]),
        .library(name: "CAllocationCount", targets: ["CAllocationCount"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
    ],
    targets: [
        // The C engine.
        .systemLibrary(
            name: "COpenCL", pkgConfig: "OpenCL-Headers",
            providers: [.apt(["opencl-headers", "ocl-icd-opencl-dev"])]),
        .systemLibrary(
            name: "COpenBLAS", pkgConfig: "openblas", providers: [.apt(["libopenblas-dev"])]),
        .target(
            name: "CForja", dependencies: ["COpenCL", "COpenBLAS"],
            cSettings: [.treatAllWarnings(as: .error)]),
        // The site's MPI, opened at run time.
        .target(name: "CMPI", cSettings: [.treatAllWarnings(as: .error)]),

        // The Swift side, lowest first.
        .target(name: "ForjaCore", swiftSettings: swiftSettings),
        .target(
            name: "ForjaRuntime", dependencies: ["ForjaCore", "CForja"],
            swiftSettings: swiftSettings),
        .target(name: "ForjaNN", dependencies: ["ForjaRuntime"], swiftSettings: swiftSettings),
        .target(
            name: "ForjaParallel", dependencies: ["ForjaRuntime", "CMPI"],
            swiftSettings: swiftSettings),
        .target(
            name: "ForjaFormats",
            dependencies: ["ForjaCore", .product(name: "Crypto", package: "swift-crypto")],
            swiftSettings: swiftSettings),
        .target(name: "ForjaData", dependencies: ["ForjaFormats"], swiftSettings: swiftSettings),
        .target(
            name: "ForjaObjectives", dependencies: ["ForjaCore"], swiftSettings: swiftSettings),
        .target(name: "ForjaVerifiers", dependencies: ["ForjaCore"], swiftSettings: swiftSettings),
        .target(
            name: "ForjaModels", dependencies: ["ForjaNN", "ForjaParallel", "ForjaFormats"],
            swiftSettings: swiftSettings),
        .target(
            name: "ForjaTraining",
            dependencies: [
                "ForjaModels", "ForjaData", "ForjaObjectives",
                .product(name: "Yams", package: "Yams"),
            ],
            swiftSettings: swiftSettings),
        .target(
            name: "ForjaRL", dependencies: ["ForjaTraining", "ForjaVerifiers"],
            swiftSettings: swiftSettings),
        .target(
            name: "ForjaEvaluation", dependencies: ["ForjaModels", "ForjaData", "ForjaVerifiers"],
            swiftSettings: swiftSettings),
        .target(
            name: "ForjaPipeline",
            dependencies: [
                "ForjaTraining", "ForjaEvaluation", .product(name: "Yams", package: "Yams"),
            ],
            swiftSettings: swiftSettings),
        .executableTarget(
            name: "forja",
            dependencies: [
                "ForjaRL", "ForjaTraining", "ForjaVerifiers", "ForjaEvaluation", "ForjaPipeline",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: swiftSettings),

        // Tests mirror Sources.
        .target(
            name: "ForjaTestSupport", dependencies: ["ForjaRuntime"], path: "Tests/Support",
            swiftSettings: swiftSettings),
        // Takes the place of malloc in the program it is linked into, to count calls.
        .target(
            name: "CAllocationCount", path: "Tests/AllocationCount",
            cSettings: [.treatAllWarnings(as: .error)]),
        .testTarget(
            name: "CForjaTests", dependencies: ["CForja"], swiftSettings: swiftSettings),
        .testTarget(
            name: "ForjaCoreTests", dependencies: ["ForjaCore"], swiftSettings: swiftSettings),
        .testTarget(
            name: "ForjaFormatsTests", dependencies: ["ForjaFormats"],
            swiftSettings: swiftSettings),
        .testTarget(
            name: "ForjaDataTests", dependencies: ["ForjaData"], swiftSettings: swiftSettings),
        .testTarget(
            name: "ForjaObjectivesTests", dependencies: ["ForjaObjectives"],
            swiftSettings: swiftSettings),
        .testTarget(
            name: "ForjaVerifiersTests", dependencies: ["ForjaVerifiers"],
            swiftSettings: swiftSettings),
        .testTarget(
            name: "ForjaRuntimeTests", dependencies: ["ForjaRuntime", "ForjaTestSupport"],
            swiftSettings: swiftSettings),
        .testTarget(
            name: "ForjaNNTests", dependencies: ["ForjaNN", "ForjaTestSupport"],
            swiftSettings: swiftSettings),
        .testTarget(
            name: "ForjaParallelTests", dependencies: ["ForjaParallel"],
            swiftSettings: swiftSettings),
        .testTarget(
            name: "ForjaModelsTests", dependencies: ["ForjaModels", "ForjaTestSupport"],
            swiftSettings: swiftSettings),
        .testTarget(
            name: "ForjaTrainingTests",
            dependencies: ["ForjaTraining", "ForjaTestSupport", "CAllocationCount"],
            swiftSettings: swiftSettings),
        .testTarget(
            name: "ForjaRLTests", dependencies: ["ForjaRL", "ForjaTestSupport"],
            swiftSettings: swiftSettings),
        .testTarget(
            name: "ForjaEvaluationTests", dependencies: ["ForjaEvaluation", "ForjaTestSupport"],
            swiftSettings: swiftSettings),
        .testTarget(
            name: "ForjaPipelineTests", dependencies: ["ForjaPipeline", "ForjaTestSupport"],
            swiftSettings: swiftSettings),
        // Drives the built binary; the dependency makes sure there is one.
        .testTarget(
            name: "ForjaCommandTests",
            dependencies: ["forja", "ForjaTraining", "ForjaPipeline", "ForjaTestSupport"],
            swiftSettings: swiftSettings),
    ],
    cLanguageStandard: .gnu2x
)
