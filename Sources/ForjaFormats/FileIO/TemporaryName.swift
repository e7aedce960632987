import ForjaCore
import Foundation
import Synchronization

/// Names of files and directories that are being written, and the removal of those that a dead
/// process left behind.
///
/// The form is `.NAME.partial-HOST-PID-NUMBER`. Host and process tell whether the writer still
/// lives; within one process a registry does, because a restarted container often has the process
/// number of its predecessor.
public enum TemporaryName {
    private static let marker = ".partial-"
    private static let live = Mutex<Set<String>>([])
    private static let counter = Atomic<Int>(0)

    /// This machine's name, without the characters that the form of a name uses.
    package static let host: String = {
        var buffer = [CChar](repeating: 0, count: 256)
        guard gethostname(&buffer, buffer.count - 1) == 0 else { return "localhost" }
        let name = String(
            decoding: buffer.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        return name.isEmpty
            ? "localhost"
            : String(name.map { $0.isLetter || $0.isNumber || $0 == "." ? $0 : "_" })
    }()

    /// A fresh name beside `path`, registered as in use until `release`.
    static func reserve(for path: String) -> String {
        let number = counter.add(1, ordering: .relaxed).newValue
        let name =
            ".\((path as NSString).lastPathComponent)\(marker)\(host)-\(getpid())-\(number)"
        let full = (directory(of: path) as NSString).appendingPathComponent(name)
        live.withLock { _ = $0.insert(name) }
        return full
    }

    static func release(_ path: String) {
        live.withLock { _ = $0.remove((path as NSString).lastPathComponent) }
    }

    /// Removes what dead processes left half-written in `directory`.
    ///
    /// Another host's leftovers stay, since its processes cannot be asked, unless
    /// `isExclusive` says that the caller holds a lock that every writer takes first.
    ///
    /// - Returns: The names removed.
    @discardableResult
    public static func removeStale(in directory: String, isExclusive: Bool = false) -> [String] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
        return names.sorted().filter { name in
            guard isStale(name, isExclusive: isExclusive) else { return false }
            let path = (directory as NSString).appendingPathComponent(name)
            return (try? FileManager.default.removeItem(atPath: path)) != nil
        }
    }

    private static func isStale(_ name: String, isExclusive: Bool) -> Bool {
        guard name.hasPrefix("."), let start = name.range(of: marker, options: .backwards)
        else { return false }
        let parts = name[start.upperBound...].split(
            separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 3, let process = pid_t(parts[1]), process > 0, Int(parts[2]) != nil
        else { return false }
        if live.withLock({ $0.contains(name) }) { return false }
        guard parts[0] == host else { return isExclusive }
        return isExclusive || process == getpid() || (kill(process, 0) != 0 && errno == ESRCH)
    }
}
