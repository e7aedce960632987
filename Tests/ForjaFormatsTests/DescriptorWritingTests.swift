import ForjaFormats
import Foundation
import Testing

@Suite("Writing to descriptors")
struct DescriptorWritingTests {
    @Test("a pipe that does not block gets everything, in many short writes")
    func nonblockingPipe() throws {
        let pipe = Pipe()
        let descriptor = pipe.fileHandleForWriting.fileDescriptor
        #expect(fcntl(descriptor, F_SETFL, O_NONBLOCK) == 0)
        // Larger than any pipe's buffer.
        let bytes = (0..<(3 << 20)).map { UInt8(truncatingIfNeeded: $0 * 31 / 7) }
        let writer = Thread {
            _ = writeAll(bytes, to: descriptor)
            try? pipe.fileHandleForWriting.close()
        }
        writer.start()
        let received = try pipe.fileHandleForReading.readToEnd()
        #expect(received == Data(bytes))
    }

    @Test("the reason of a failed write is that of the write")
    func failures() throws {
        let full = try #require(FileHandle(forWritingAtPath: "/dev/full"))
        errno = 0
        #expect(writeAll(Array("x".utf8), to: full.fileDescriptor) == ENOSPC)
        #expect(writeAll([], to: full.fileDescriptor) == 0)

        signal(SIGPIPE, SIG_IGN)
        let pipe = Pipe()
        try pipe.fileHandleForReading.close()
        #expect(writeAll(Array("x".utf8), to: pipe.fileHandleForWriting.fileDescriptor) == EPIPE)
    }
}
