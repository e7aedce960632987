import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A request to stop by SIGINT or SIGTERM: work finishes its step, saves and ends; a second signal stops at once.
public enum Interruption {
    private static let signalNumber = Atomic<Int32>(0)

    /// Starts listening. Call once, before work begins.
    public static func listen() {
        // A parent may start this process from a thread that blocks signals, and the mask is inherited.
        var listened = sigset_t()
        sigemptyset(&listened)
        for number in [SIGINT, SIGTERM] { sigaddset(&listened, number) }
        pthread_sigmask(SIG_UNBLOCK, &listened, nil)
        for number in [SIGINT, SIGTERM] {
            signal(number) { received in
                // Only async-signal-safe work here: an atomic exchange and _exit.
                if Interruption.signalNumber.exchange(received, ordering: .relaxed) != 0 {
                    _exit(130)
                }
            }
        }
        // A write past RLIMIT_FSIZE then fails with EFBIG, which names the file, instead of killing the process.
        signal(SIGXFSZ, SIG_IGN)
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
