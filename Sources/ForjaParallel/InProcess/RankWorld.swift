import ForjaCore
import ForjaRuntime
import Foundation

/// What all ranks of one process share: one lock to meet under, and the reason why they stopped, once one has.
///
/// Ranks are threads and read each other's memory, so a collective costs no copy beyond its own.
final class RankWorld: @unchecked Sendable {
    let progress: [RankProgress]
    let timeoutSeconds: Double
    let link: SimulatedLink?

    /// Guards everything mutable here and in every `RankMeeting` of this world.
    let condition = NSCondition()
    private(set) var stopReason: ForjaError?
    /// Groups made by `split`, by what they were split from.
    private var splits: [SplitKey: RankMeeting] = [:]

    struct SplitKey: Hashable {
        let parent: ObjectIdentifier
        let generation: Int
        let color: Int
    }

    init(rankCount: Int, timeoutSeconds: Double, link: SimulatedLink?) {
        progress = (0..<rankCount).map { RankProgress(rank: $0) }
        self.timeoutSeconds = timeoutSeconds
        self.link = link
    }

    /// Makes every rank throw. The first reason counts.
    func stop(_ reason: ForjaError) {
        condition.withLock { stopLocked(reason) }
    }

    /// As `stop`, with the lock held.
    func stopLocked(_ reason: ForjaError) {
        if stopReason == nil { stopReason = reason }
        condition.broadcast()
    }

    /// The group that `members` of a split share; the first to ask makes it.
    func meeting(_ key: SplitKey, members: [Int]) -> RankMeeting {
        condition.withLock {
            if let known = splits[key] { return known }
            let made = RankMeeting(world: self, members: members)
            splits[key] = made
            return made
        }
    }
}

/// A link that takes time, for measuring what communication costs and how much of it is hidden.
public struct SimulatedLink: Hashable, Sendable {
    /// Of each rank, in one direction.
    public var bytesPerSecond: Double
    public var latencySeconds: Double

    public init(bytesPerSecond: Double, latencySeconds: Double = 0) {
        self.bytesPerSecond = bytesPerSecond
        self.latencySeconds = latencySeconds
    }

    /// Takes the time that sending `byteCount` bytes would.
    func delay(byteCount: Int) {
        Thread.sleep(forTimeInterval: latencySeconds + Double(byteCount) / bytesPerSecond)
    }
}
