import Foundation

/// How long this process has run, libraries and static initialisation included.
enum ProcessAge {
    /// Seconds since the kernel started the process, to its clock tick (10 ms); `nil` where there is no /proc.
    static var seconds: Double? {
        #if os(Linux)
            // Field 22 of /proc/self/stat, in ticks since boot. Field 2, the program's name in parentheses, may
            // itself hold spaces and parentheses.
            guard let stat = try? String(contentsOfFile: "/proc/self/stat", encoding: .utf8),
                let end = stat.lastIndex(of: ")")
            else { return nil }
            let fields = stat[stat.index(after: end)...].split(separator: " ")
            var now = timespec()
            guard fields.count > 19, let start = Double(fields[19]),
                clock_gettime(CLOCK_BOOTTIME, &now) == 0
            else { return nil }
            return Double(now.tv_sec) + Double(now.tv_nsec) * 1e-9
                - start / Double(sysconf(Int32(_SC_CLK_TCK)))
        #else
            return nil
        #endif
    }
}
