import ForjaCore
import Foundation

/// Writes all of `bytes` to an open file, pipe or terminal, going on after short writes, interruptions and, where the
/// descriptor does not block, full pipes.
///
/// - Returns: 0, or the `errno` of the write that failed; part of the bytes may then be written.
package func writeAll(_ bytes: [UInt8], to descriptor: Int32) -> Int32 {
    bytes.withUnsafeBytes { bytes in
        var done = 0
        while done < bytes.count {
            let written = write(descriptor, bytes.baseAddress! + done, bytes.count - done)
            guard written <= 0 else {
                done += written
                continue
            }
            switch written == 0 ? ENOSPC : errno {
            case EINTR: continue
            case EAGAIN:
                var waited = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                poll(&waited, 1, -1)
            case let code: return code
            }
        }
        return 0
    }
}
