import ForjaCore
import ForjaRuntime
import Foundation

/// Files of Tests/Fixtures.
public func fixture(_ path: String) -> String {
    URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("Fixtures").appendingPathComponent(path).path
}

/// A directory of its own for one test, removed with the value's last use.
public final class TemporaryDirectory: Sendable {
    public let path: String

    public init() throws {
        path = NSTemporaryDirectory() + "forja-test-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    public func file(_ name: String) -> String { path + "/" + name }
}

/// A device that tests run on: the host CPU, and every OpenCL device there is.
public enum TestedDevice: Sendable, CustomStringConvertible {
    case host
    case openCL(Int)

    public static let all: [TestedDevice] =
        [.host] + Device.openCLDevices().indices.map(TestedDevice.openCL)

    /// What `--device` takes for the host and, where there is one, for the first OpenCL device.
    public static let selectors: [String] = all.prefix(2).map(\.description)

    public var description: String {
        switch self {
        case .host: "cpu"
        case .openCL(let index): "opencl:\(index)"
        }
    }

    public func queue(threadCount: Int = 0) throws -> Queue {
        switch self {
        case .host: try Queue(device: Device.host(threadCount: threadCount))
        case .openCL(let index): try Queue(device: Device.openCL(index))
        }
    }
}
