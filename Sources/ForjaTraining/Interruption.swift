import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A request to stop by SIGINT or SIGTERM: work that listens finishes its step, saves and ends; a second signal stops at
/// once. A process that does not listen ends at the first, as processes do.
public enum Interruption {
    private static let signalNumber = Atomic<Int32>(0)

    /// Starts listening. Call once, right before work that looks at `received`.
    public static func listen() {
        for number in [SIGINT, SIGTERM] {
            signal(number) { received in
                // Only async-signal-safe work here: an atomic exchange and _exit.
                if Interruption.signalNumber.exchange(received, ordering: .relaxed) != 0 {
                    _exit(130)
                }
            }
        }
    }

    /// Name of the signal received, if any.
    public static var received: String? {
        switch signalNumber.load(ordering: .relaxed) {
        case 0: nil
        case SIGTERM: "SIGTERM"
        default: "SIGINT"
        }
    }
}
