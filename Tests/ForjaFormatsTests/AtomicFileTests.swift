import ForjaCore
import ForjaFormats
import Foundation
import Testing

/// A directory for one test, removed with it.
final class ScratchDirectory: Sendable {
    let path: String

    init() throws {
        path = (NSTemporaryDirectory() as NSString)
            .appendingPathComponent("forja-\(UUID().uuidString)")
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    subscript(name: String) -> String { (path as NSString).appendingPathComponent(name) }

    var names: [String] {
        get throws { try FileManager.default.contentsOfDirectory(atPath: path).sorted() }
    }
}

@Suite("Atomic files")
struct AtomicFileTests {
    @Test("a file appears at commit, whole")
    func appearsAtCommit() throws {
        let directory = try ScratchDirectory()
        let file = try AtomicFile(at: directory["a"])
        // Larger than the buffer, so both ways of writing are used.
        let large = [UInt8](repeating: 7, count: 1 << 19)
        try file.write("head")
        try file.write(large)
        try file.write("tail")
        try file.overwrite(Array("HE".utf8), at: 0)
        #expect(!FileManager.default.fileExists(atPath: directory["a"]))
        try file.commit()
        #expect(try directory.names == ["a"])
        let bytes = try Data(contentsOf: URL(fileURLWithPath: directory["a"]))
        #expect(bytes == Data("HEad".utf8) + Data(large) + Data("tail".utf8))
        #expect(file.byteCount == bytes.count)
    }

    @Test("without a commit nothing changes and nothing stays")
    func leavesNothing() throws {
        let directory = try ScratchDirectory()
        try AtomicFile.write("old", to: directory["a"])
        do {
            let file = try AtomicFile(at: directory["a"])
            try file.write("new")
        }
        #expect(try directory.names == ["a"])
        #expect(try String(contentsOfFile: directory["a"], encoding: .utf8) == "old")
    }

    @Test("a file larger than the disk is refused before the work, with the bytes in the message")
    func refusesTooLarge() throws {
        let directory = try ScratchDirectory()
        let needed = Int.max / 4
        let error = #expect(throws: ForjaError.self) {
            try AtomicFile(at: directory["a"], expectedByteCount: needed)
        }
        #expect(error?.message.contains("\(needed) bytes needed") == true)
        #expect(error?.message.contains("bytes free") == true)
        #expect(error?.message.contains(directory["a"]) == true)
        #expect(try directory.names.isEmpty)
    }

    @Test("the file size limit is an error, not the end of the process")
    func survivesFileSizeLimit() async {
        // The limit holds for a whole process, so another one takes it.
        await #expect(processExitsWith: .success) {
            let directory = try ScratchDirectory()
            var limit = rlimit()
            getrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit)
            limit.rlim_cur = 1 << 20
            guard setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit) == 0 else {
                exit(2)
            }
            let file = try AtomicFile(at: directory["a"])
            do {
                try file.write([UInt8](repeating: 1, count: 3 << 20))
                exit(3)
            } catch let error as ForjaError {
                let isNamed =
                    error.message.contains("3145728 bytes needed")
                    && error.message.contains("file size limit")
                guard isNamed, try directory.names.isEmpty else { exit(4) }
            }
        }
    }

    @Test("a missing directory is named")
    func namesMissingDirectory() throws {
        let directory = try ScratchDirectory()
        let error = #expect(throws: ForjaError.self) {
            try AtomicFile(at: directory["none/a"])
        }
        #expect(error?.code == .inputOutput)
        #expect(error?.message.contains("none/a") == true)
    }

    @Test("a directory appears at commit and goes away without one")
    func directoryAppearsAtCommit() throws {
        let directory = try ScratchDirectory()
        do {
            let unfinished = try AtomicDirectory(at: directory["step-1"])
            try AtomicFile.write("x", to: unfinished.path(of: "weights"))
        }
        #expect(try directory.names.isEmpty)
        let finished = try AtomicDirectory(at: directory["step-1"])
        try AtomicFile.write("x", to: finished.path(of: "weights"))
        try finished.commit()
        #expect(try directory.names == ["step-1"])
        #expect(FileManager.default.fileExists(atPath: directory["step-1/weights"]))

        let again = try AtomicDirectory(at: directory["step-1"])
        try AtomicFile.write("y", to: again.path(of: "weights"))
        #expect(throws: ForjaError.self) { try again.commit() }
        try again.commit(isReplacing: true)
        #expect(try String(contentsOfFile: directory["step-1/weights"], encoding: .utf8) == "y")
        #expect(try directory.names == ["step-1"])
    }

    @Test("what dead processes left is removed, what living ones write stays")
    func removesStale() throws {
        let directory = try ScratchDirectory()
        // Above the kernel's greatest process number, 2^22.
        let dead = ".a.partial-\(TemporaryName.host)-99999999-1"
        // This process's number, as a predecessor in a container would have had it.
        let own = ".b.partial-\(TemporaryName.host)-\(getpid())-1000000"
        let parent = ".c.partial-\(TemporaryName.host)-\(getppid())-1"
        let foreign = ".d.partial-elsewhere-1-1"
        for name in [dead, own, parent, foreign, "kept", ".partial-x"] {
            try "x".write(toFile: directory[name], atomically: false, encoding: .utf8)
        }
        let file = try AtomicFile(at: directory["live"])
        #expect(TemporaryName.removeStale(in: directory.path) == [dead, own])
        #expect(try directory.names.count == 5)
        #expect(
            TemporaryName.removeStale(in: directory.path, isExclusive: true) == [parent, foreign])
        try file.commit()
        #expect(try directory.names == [".partial-x", "kept", "live"])
    }

    @Test("a second lock names the holder")
    func lockNamesHolder() throws {
        let directory = try ScratchDirectory()
        do {
            let lock = try FileLock(directory: directory.path)
            let error = #expect(throws: ForjaError.self) {
                try FileLock(directory: directory.path)
            }
            #expect(error?.message.contains("process \(getpid()) on") == true)
            withExtendedLifetime(lock) {}
        }
        _ = try FileLock(directory: directory.path)
    }

    @Test("SHA-256 gives the digests of FIPS 180-4, in pieces as at once")
    func hashes() throws {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        #expect(SHA256Digest(of: "abc").description == abc)
        var stream = SHA256Stream()
        stream.update("a")
        stream.update("bc")
        #expect(stream.digest.description == abc)
        let directory = try ScratchDirectory()
        try AtomicFile.write("", to: directory["empty"])
        #expect(
            try SHA256Digest(contentsOf: directory["empty"]).description
                == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    }

    @Test("a file larger than the pieces it is hashed in has one digest, and pages come back")
    func hashesLargeFiles() throws {
        let directory = try ScratchDirectory()
        let bytes = (0..<(1 << 24) + 5000).map { UInt8(truncatingIfNeeded: $0 * 7 / 3) }
        try AtomicFile.write(bytes, to: directory["large"])
        #expect(
            try SHA256Digest(contentsOf: directory["large"])
                == bytes.withUnsafeBytes(SHA256Digest.init(of:)))
        let file = try MappedFile(path: directory["large"])
        for range in [0..<file.count, 1..<5000, 0..<1, file.count - 5..<file.count] {
            file.release(range)
        }
        #expect(file.withUnsafeBytes { $0.elementsEqual(bytes) })
    }

    @Test("a directory and a missing file cannot be mapped")
    func mappingErrors() throws {
        let directory = try ScratchDirectory()
        for path in [directory.path, directory["none"]] {
            let error = #expect(throws: ForjaError.self) { try MappedFile(path: path) }
            #expect(error?.code == .inputOutput)
            #expect(error?.message.contains(path) == true)
        }
    }
}
