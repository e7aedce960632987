import CForja
import Foundation
import Testing

extension OperationTests {
    /// Each test is a process of its own with its own cache directory.
    @Suite(
        "Program cache", .enabled(if: TestDevice.hasOpenCL, TestDevice.openCLReason))
    struct ProgramCacheTests {
        @Test("serves a second device from disk")
        func servesSecondDevice() async {
            await #expect(processExitsWith: .success) {
                let cache = try CacheDirectory()
                try addOnNewDevice()
                let first = try cache.entries()
                #expect(!first.isEmpty)
                try addOnNewDevice()
                // A miss would have written the file anew, under another number.
                #expect(try cache.entries() == first)
            }
        }

        @Test("recovers from damaged entries", arguments: Damage.allCases)
        func recoversFromDamage(damage: Damage) async {
            await #expect(processExitsWith: .success) { [damage] in
                let cache = try CacheDirectory()
                try addOnNewDevice()
                let first = try cache.entries()
                for name in first.keys { try damage.apply(to: cache.path + "/" + name) }
                try addOnNewDevice()
                let second = try cache.entries()
                #expect(Set(second.keys) == Set(first.keys))
                // What was rewritten is sound again.
                try addOnNewDevice()
                #expect(try cache.entries() == second)
            }
        }

        @Test("stores no program where it is turned off, and still answers for capabilities")
        func storesNoProgramWhenOff() async {
            await #expect(processExitsWith: .success) {
                let cache = try CacheDirectory()
                setenv("FORJA_PROGRAM_CACHE", "0", 1)
                try addOnNewDevice()
                #expect(try cache.entries().count == 3)
                setenv("FORJA_PROGRAM_CACHE", "1", 1)
                try addOnNewDevice()
                #expect(try cache.entries().count == 4)
            }
        }

        @Test("is only slower where it cannot be written")
        func survivesUnwritableDirectory() async {
            await #expect(processExitsWith: .success) {
                let file = try temporaryDirectory() + "/file"
                try Data().write(to: URL(fileURLWithPath: file))
                setenv("FORJA_CACHE_DIR", file, 1)
                try addOnNewDevice()
            }
        }

        @Test("follows XDG_CACHE_HOME, then HOME")
        func followsEnvironment() async {
            await #expect(processExitsWith: .success) {
                let home = try temporaryDirectory()
                unsetenv("FORJA_CACHE_DIR")
                setenv("FORJA_PROGRAM_CACHE", "1", 1)
                setenv("HOME", home, 1)
                setenv("XDG_CACHE_HOME", home + "/xdg", 1)
                try addOnNewDevice()
                let manager = FileManager.default
                #expect(
                    try !manager.contentsOfDirectory(atPath: home + "/xdg/forja/kernels").isEmpty)
                unsetenv("XDG_CACHE_HOME")
                try addOnNewDevice()
                #expect(
                    try !manager.contentsOfDirectory(atPath: home + "/.cache/forja/kernels").isEmpty
                )
            }
        }

        @Test("reports the compiler's log and recovers when the kernel does")
        func reportsCompilerLog() async {
            await #expect(processExitsWith: .success) {
                _ = try CacheDirectory()
                let kernels = try temporaryDirectory()
                let file = URL(fileURLWithPath: kernels + "/add.cl")
                try Data("__kernel void broken(__global float *x) { x[0] = no_such_name; }\n".utf8)
                    .write(to: file)
                setenv("FORJA_KERNELS", kernels, 1)
                let device = try #require(TestDevice.openCL.first).openAlone()
                let buffer = try device.buffer([1] as [Float])
                var args = addArgs(buffer)
                expectFailure(
                    FORJA_ERROR_COMPILE, forja_add(device.queue, &args), saying: "no_such_name")
                #expect(lastError().contains("add.cl"))
                #expect(forja_device_kernel_count(device.device) == 0)
                // Nothing of the failure stays behind: without the override the device works.
                unsetenv("FORJA_KERNELS")
                try requireOK(forja_add(device.queue, &args))
                #expect(try buffer.read() == [2])
            }
        }
    }
}

/// What may happen to a file.
enum Damage: String, CaseIterable, Codable, Sendable {
    case emptied, cut, flippedHeader, flippedContent, replaced, extended

    func apply(to path: String) throws {
        let url = URL(fileURLWithPath: path)
        var data = try Data(contentsOf: url)
        switch self {
        case .emptied: data = Data()
        case .cut: data.removeLast()
        case .flippedHeader: data[12] ^= 0x40
        case .flippedContent: data[data.count - 1] ^= 1
        case .replaced: data = Data("not a kernel".utf8)
        case .extended: data.append(0)
        }
        try data.write(to: url)
    }
}

/// A fresh cache directory, set as FORJA_CACHE_DIR.
private struct CacheDirectory {
    let path: String

    init() throws {
        let root = try temporaryDirectory()
        path = root + "/kernels"
        setenv("FORJA_CACHE_DIR", root, 1)
        setenv("FORJA_PROGRAM_CACHE", "1", 1)  // PoCL's programs too
    }

    /// File numbers by name.
    func entries() throws -> [String: Int] {
        try FileManager.default.contentsOfDirectory(atPath: path).reduce(into: [:]) {
            result, name in
            let attributes = try FileManager.default.attributesOfItem(atPath: path + "/" + name)
            result[name] = attributes[.systemFileNumber] as? Int
        }
    }
}

private func addArgs(_ buffer: TestBuffer<Float>) -> forja_add_args {
    var args = forja_add_args()
    args.dtype = FORJA_DTYPE_F32
    (args.a, args.b, args.y) = (buffer.span, buffer.span, buffer.span)
    args.count = UInt64(buffer.count)
    return args
}

/// Opens the first OpenCL device anew and runs a kernel on it.
private func addOnNewDevice() throws {
    let device = try #require(TestDevice.openCL.first).openAlone()
    let buffer = try device.buffer([1, 2, 3] as [Float])
    var args = addArgs(buffer)
    try requireOK(forja_add(device.queue, &args))
    #expect(try buffer.read() == [2, 4, 6])
    #expect(forja_device_kernel_count(device.device) > 0)
}
