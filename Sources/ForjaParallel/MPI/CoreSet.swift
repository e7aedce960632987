import Foundation

/// The cores that a process may run on: its affinity mask.
package struct CoreSet: Hashable, Sendable {
    package let cores: Set<Int>

    package init(cores: some Sequence<Int>) { self.cores = Set(cores) }

    /// Reads a list as Linux writes it, such as "0-3,8"; what is no such list gives fewer cores.
    package init(list: String) {
        self.init(
            cores: list.split(separator: ",").flatMap { part -> [Int] in
                let ends = part.split(separator: "-").compactMap { Int($0) }
                guard let first = ends.first, let last = ends.last, first <= last,
                    last - first < 1 << 20
                else { return [] }
                return Array(first...last)
            })
    }

    /// Core numbers with commas between: a list as `init(list:)` reads it.
    package var list: String { cores.sorted().map(String.init).joined(separator: ",") }

    /// Threads for a process that shares its host with others: each core counts for it by how many may run there, in all
    /// at least one.
    ///
    ///     four ranks, each on cores 0 ... 7     2 threads each
    ///     two ranks, on 0 ... 3 and on 4 ... 7  4 threads each
    package static func fairThreadCount(of index: Int, among sets: [CoreSet]) -> Int {
        // In whole numbers: every core is `unit` parts, which its sharers divide.
        let unit = 1 << 32
        let parts = sets[index].cores.reduce(0) { sum, core in
            sum + unit / sets.count { $0.cores.contains(core) }
        }
        // The division above rounds down; a thread is not lost for that.
        return max(1, (parts + sets[index].cores.count) / unit)
    }

    /// Cores that the system lets this process use; all of them where it has no affinity masks.
    package static var ofThisProcess: CoreSet {
        let status = try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)
        let label = "Cpus_allowed_list:"
        let line = status?.split(separator: "\n").first { $0.hasPrefix(label) }
        let allowed = CoreSet(
            list: line?.dropFirst(label.count).trimmingCharacters(in: .whitespaces) ?? "")
        return allowed.cores.isEmpty
            ? CoreSet(cores: 0..<ProcessInfo.processInfo.activeProcessorCount) : allowed
    }
}
