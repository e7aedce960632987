import ForjaCore
import ForjaRuntime
import Foundation

/// A place where the ranks of one group meet: nobody goes on before all have come.
///
/// A collective has two ends. `begin` waits for every rank and shows each what the others brought; a rank then reads
/// their memory. `end` waits until nobody reads any more, so that memory lent to the others is the caller's own again,
/// even when a rank stopped meanwhile.
final class RankMeeting: @unchecked Sendable {
    /// What a rank brings.
    struct Posting {
        let operation: String
        let byteCount: Int
        var pointer: UnsafeRawPointer?
        var value = 0
    }

    let world: RankWorld
    /// Ranks in the world, by rank in this group.
    let members: [Int]

    // Guarded by the world's lock.
    private var postings: [Posting?]
    private var shown: [Posting] = []
    private(set) var generation = 0
    private var readerCount = 0

    init(world: RankWorld, members: [Int]) {
        self.world = world
        self.members = members
        postings = Array(repeating: nil, count: members.count)
    }

    /// Waits for every rank; `end` must follow, whatever happens between.
    ///
    /// - Returns: What each rank brought, in rank order.
    /// - Throws: `.rankFailed` when a rank stopped, stays away for longer than the timeout, or brings something else.
    func begin(
        rank: Int, _ posting: Posting
    ) throws(ForjaError) -> (postings: [Posting], generation: Int) {
        let condition = world.condition
        condition.lock()
        defer { condition.unlock() }
        if let reason = world.stopReason { throw reason }
        let awaited = generation + 1
        postings[rank] = posting
        if postings.allSatisfy({ $0 != nil }) {
            let brought = postings.map { $0! }
            postings = Array(repeating: nil, count: members.count)
            if let reason = disagreement(brought) {
                world.stopLocked(reason)
                throw reason
            }
            shown = brought
            readerCount = members.count
            generation = awaited
            condition.broadcast()
            return (brought, awaited)
        }
        let deadline = Date().addingTimeInterval(world.timeoutSeconds)
        while generation < awaited {
            if let reason = world.stopReason { throw reason }
            if !condition.wait(until: deadline), generation < awaited, world.stopReason == nil {
                world.stopLocked(absence(from: posting))
            }
        }
        return (shown, awaited)
    }

    /// Waits until every rank has read what it wanted.
    func end() {
        let condition = world.condition
        condition.lock()
        defer { condition.unlock() }
        let current = generation
        readerCount -= 1
        if readerCount == 0 { condition.broadcast() }
        // A reader only copies and adds, so this wait is short and needs no timeout.
        while generation == current, readerCount > 0 { condition.wait() }
    }

    private func disagreement(_ brought: [Posting]) -> ForjaError? {
        let first = brought[0]
        guard
            let other = brought.firstIndex(where: {
                $0.operation != first.operation || $0.byteCount != first.byteCount
            })
        else { return nil }
        let shown = { (index: Int) in
            "\(self.world.progress[self.members[index]].description): "
                + "\(brought[index].operation) of \(brought[index].byteCount) bytes"
        }
        return ForjaError(
            .rankFailed, "two ranks do not do the same: \(shown(0)); \(shown(other))",
            fix: "give every rank the same recipe, data and build")
    }

    private func absence(from posting: Posting) -> ForjaError {
        let absent = members.indices.filter { postings[$0] == nil }
            .map { world.progress[members[$0]].description }
        return ForjaError(
            .rankFailed,
            "\(absent.joined(separator: "; ")): not at \(posting.operation) after "
                + "\(world.timeoutSeconds) s",
            fix: "continue with --resume; raise parallel.timeout_seconds if it was only slow")
    }
}
