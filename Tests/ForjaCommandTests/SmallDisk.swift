import Foundation
import Testing

/// A file system of a few MiB in memory that only processes started through `launcher` see.
///
/// It is mounted in a mount namespace of its own, held by one sleeping process, so that nothing stays behind however
/// the tests end.
final class SmallDisk {
    /// Options of `unshare` that a mount takes here: none for root, a user namespace for others. `nil`: no mount at all.
    private static let namespaceOptions: [String]? = [[], ["--map-root-user"]].first { options in
        guard let directory = try? Workspace(),
            let holder = try? hold(options, directory.path, byteCount: 1 << 20)
        else { return false }
        holder.kill()
        return true
    }

    static var isPossible: Bool { namespaceOptions != nil }

    /// Mounts `byteCount` bytes over the workspace's directory "disk".
    init(in workspace: Workspace, byteCount: Int) throws {
        path = workspace.file("disk")
        workingDirectory = workspace.path
        try FileManager.default.createDirectory(
            atPath: path, withIntermediateDirectories: false)
        holder = try Self.hold(
            try #require(Self.namespaceOptions), path, byteCount: byteCount)
    }

    deinit { holder.kill() }

    /// Put before a command, starts it where the disk is, in the workspace.
    var launcher: [String] {
        let user = Self.namespaceOptions?.isEmpty == false ? ["-U", "--preserve-credentials"] : []
        return ["nsenter", "-t", "\(holder.identifier)", "-m"] + user
            // A directory given to nsenter itself may be one from outside, where the disk is not mounted.
            + ["sh", "-c", "cd \"$0\" && exec \"$@\"", workingDirectory]
    }

    func entries(_ name: String) throws -> Set<String> {
        Set(try FileManager.default.contentsOfDirectory(atPath: file(name)))
    }

    /// Path of a file of the disk for this process, which does not see the mount.
    private func file(_ name: String) -> String { "/proc/\(holder.identifier)/root\(path)/\(name)" }

    /// Takes all but about `byteCount` bytes of what is free, at once.
    func fill(leaving byteCount: Int) throws {
        var status = statvfs()
        try #require(statvfs(file(""), &status) == 0)
        let free = Int(status.f_bavail) * Int(status.f_frsize)
        let descriptor = open(file("filler"), O_WRONLY | O_CREAT, 0o600)
        try #require(descriptor >= 0 && free > byteCount)
        defer { close(descriptor) }
        try #require(posix_fallocate(descriptor, 0, off_t(free - byteCount)) == 0)
    }

    /// Gives back what `fill` took.
    func empty() { unlink(file("filler")) }

    private let path: String
    private let workingDirectory: String
    private let holder: Holder

    /// The process that keeps the namespace alive: it waits for the end of its input.
    private struct Holder {
        let process: Process
        let input: Pipe
        var identifier: Int32 { process.processIdentifier }

        func kill() {
            try? input.fileHandleForWriting.close()
            process.terminate()
            process.waitUntilExit()
        }
    }

    private static func hold(
        _ options: [String], _ path: String, byteCount: Int
    ) throws -> Holder {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        let script = "mount -t tmpfs -o size=$1 tmpfs \"$0\" && echo mounted && exec cat >&2"
        process.arguments =
            ["unshare", "--mount"] + options + ["sh", "-c", script, path, "\(byteCount)"]
        let (input, output) = (Pipe(), Pipe())
        process.standardInput = input
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        try process.run()
        let holder = Holder(process: process, input: input)
        guard output.fileHandleForReading.availableData == Data("mounted\n".utf8) else {
            holder.kill()
            throw CocoaError(.fileWriteUnknown)
        }
        return holder
    }
}
