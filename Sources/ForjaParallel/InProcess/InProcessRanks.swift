import ForjaCore
import ForjaRuntime
import Foundation

/// Ranks as threads of this process: one dedicated thread each, never one of Swift's cooperative pool, since ranks
/// block in collectives.
public enum InProcessRanks {
    /// Runs `body` on `count` ranks at once and waits for all of them.
    ///
    /// When one throws, the others throw from their next collective; a rank that does not come to one within the timeout
    /// is left behind, for the process to end with.
    ///
    /// - Parameters:
    ///   - timeoutSeconds: How long ranks wait for each other in one collective.
    ///   - link: Makes collectives take the time of a slower link; `nil`: they take their own.
    /// - Returns: What `body` returned, by rank.
    /// - Throws: The first failure that is a rank's own, in rank order.
    public static func run<Result: Sendable>(
        count: Int, timeoutSeconds: Double, link: SimulatedLink? = nil,
        _ body: @escaping @Sendable (any Communicator) throws(ForjaError) -> Result
    ) throws(ForjaError) -> [Result] {
        let world = RankWorld(rankCount: count, timeoutSeconds: timeoutSeconds, link: link)
        let meeting = RankMeeting(world: world, members: Array(0..<count))
        let outcomes = Outcomes<Result>(count: count)
        for rank in 0..<count {
            let thread = Thread {
                let communicator = InProcessCommunicator(meeting: meeting, rank: rank)
                do throws(ForjaError) {
                    outcomes.end(rank, .success(try body(communicator)))
                } catch {
                    communicator.abort(error)
                    outcomes.end(rank, .failure(error))
                }
            }
            thread.name = "rank \(rank)"
            // As a main thread has.
            thread.stackSize = 8 << 20
            thread.start()
        }
        return try outcomes.wait(graceSeconds: timeoutSeconds)
    }
}

/// What became of each rank.
private final class Outcomes<Value: Sendable>: @unchecked Sendable {
    private let condition = NSCondition()
    private var outcomes: [Result<Value, ForjaError>?]

    init(count: Int) { outcomes = Array(repeating: nil, count: count) }

    func end(_ rank: Int, _ outcome: Result<Value, ForjaError>) {
        condition.withLock {
            outcomes[rank] = outcome
            condition.broadcast()
        }
    }

    func wait(graceSeconds: Double) throws(ForjaError) -> [Value] {
        condition.lock()
        defer { condition.unlock() }
        while outcomes.contains(where: { $0 == nil }), failures.isEmpty { condition.wait() }
        let deadline = Date().addingTimeInterval(graceSeconds)
        while outcomes.contains(where: { $0 == nil }), condition.wait(until: deadline) {}
        // A rank's own failure explains the others', which only say that it failed.
        if let failure = failures.first(where: { $0.code != .rankFailed }) ?? failures.first {
            throw failure
        }
        return outcomes.map { try! $0!.get() }
    }

    private var failures: [ForjaError] {
        outcomes.compactMap { if case .failure(let error) = $0 { error } else { nil } }
    }
}
