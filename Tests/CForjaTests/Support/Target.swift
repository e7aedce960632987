import Foundation
import Testing

/// Parent of every suite that runs operations: one at a time, because a forced kernel family is an
/// environment variable of the process, and because two cores time-share badly.
@Suite(.serialized)
enum OperationTests {}

/// Where an operation runs: a device, and the kernel family forced on it.
struct Target: Sendable, CustomTestStringConvertible {
    let device: TestDevice.Choice
    var forced: Forced?
    /// Elements before a tensor's first. The odd default leaves nothing wider than an element aligned.
    var guardCount = 19
    /// Instructions of matrix units are emulated on devices that lack them.
    var emulatesMatrixUnits = false

    /// An environment variable that launchers read when they choose a kernel.
    struct Forced: Sendable {
        let variable: String
        let value: String
    }

    var testDescription: String {
        (forced.map { "\(device.name) \($0.variable)=\($0.value)" } ?? device.name)
            + (guardCount % 16 == 0 ? " aligned" : "")
    }

    /// Every device with the kernels it chooses itself.
    static let all = TestDevice.all.map { Target(device: $0) }
    static let matmul =
        all(forcing: "FORJA_MATMUL_VARIANT", to: ["ref", "cpu", "gpu", "split_k"])
        + host(forcing: "FORJA_MATMUL_HOST", to: ["blas"]) + narrowHost
    static let attention =
        all(forcing: "FORJA_ATTENTION_VARIANT", to: ["ref", "cpu", "gpu"]) + narrowHost
    /// Wide loads need aligned tensors, so those are a target of their own.
    static let rows =
        all(forcing: "FORJA_ROW_KERNELS", to: ["item", "group"])
        + TestDevice.openCL.map {
            Target(
                device: $0, forced: Forced(variable: "FORJA_ROW_KERNELS", value: "group"),
                guardCount: 16)
        } + narrowHost
    /// The host with fewer instructions than it has.
    private static let narrowHost = host(forcing: "FORJA_CPU", to: ["avx2", "generic"])

    /// Every OpenCL device with each kernel family for matrix units forced on it by `variable`:
    /// where a device has no such unit, its instructions are emulated.
    static func matrixUnits(forcing variable: String) -> [Target] {
        TestDevice.openCL.flatMap { device in
            ["xmx", "xmx8", "amd_mfma", "amd_wmma", "amd_wmma12"].map {
                Target(
                    device: device, forced: Forced(variable: variable, value: $0),
                    emulatesMatrixUnits: true)
            }
        }
    }

    /// The same with tensors that start at multiples of 16 bytes, as those of a training step do.
    var aligned: Target {
        var target = self
        target.guardCount = 16
        return target
    }

    /// Every device, and each OpenCL device again with each kernel family forced on it.
    private static func all(forcing variable: String, to values: [String]) -> [Target] {
        all
            + TestDevice.openCL.flatMap { device in
                values.map {
                    Target(device: device, forced: Forced(variable: variable, value: $0))
                }
            }
    }

    private static func host(forcing variable: String, to values: [String]) -> [Target] {
        values.map {
            Target(device: TestDevice.host, forced: Forced(variable: variable, value: $0))
        }
    }

    /// Runs `body` at a fresh workbench with the kernel family in force; `alone` on a device that no
    /// other test shares, so that what is allocated on it can be told.
    func run<Result>(
        threadCount: UInt32 = 2, alone: Bool = false, _ body: (Workbench) throws -> Result
    ) throws -> Result {
        if let forced { setenv(forced.variable, forced.value, 1) }
        if emulatesMatrixUnits { setenv("FORJA_EMULATE_MATRIX_UNITS", "1", 1) }
        defer {
            if let forced { unsetenv(forced.variable) }
            if emulatesMatrixUnits { unsetenv("FORJA_EMULATE_MATRIX_UNITS") }
        }
        let opened = try alone ? device.openAlone() : device.open(threadCount: threadCount)
        return try body(Workbench(on: opened, isAlone: alone, guardCount: guardCount))
    }

    /// Expects `body` to give the same bytes on the host with one, two and three threads, and twice
    /// on each other target.
    static func expectSameBits(
        on targets: [Target], sourceLocation: SourceLocation = #_sourceLocation,
        _ body: (Workbench) throws -> [UInt8]
    ) throws {
        for target in targets {
            let threadCounts: [UInt32] = target.device.isHost ? [1, 2, 3] : [0, 0]
            let results = try threadCounts.map { try target.run(threadCount: $0, body) }
            #expect(
                results.allSatisfy { $0 == results[0] },
                "\(target.testDescription) differs from itself", sourceLocation: sourceLocation)
        }
    }
}
