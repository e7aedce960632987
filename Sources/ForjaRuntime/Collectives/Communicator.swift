import ForjaCore

/// Raw exchange of bytes among the ranks of one group: all that an implementation has to give. Threads of one process
/// have one, MPI has one; the arithmetic on top is `Collectives`, written once, so that sums have the same bits in all.
///
/// Every rank of the group makes the same calls in the same order with the same sizes; each returns when this rank's part
/// is done. One thread at a time calls a rank's communicator. A call throws `.rankFailed` when another rank stopped, did
/// not come in time or made another call; afterwards every call throws it.
public protocol Communicator: AnyObject, Sendable {
    /// This rank's place in the group, from 0.
    var rank: Int { get }
    /// Ranks of the group; with one, every call returns at once.
    var rankCount: Int { get }
    /// How far this rank is, as others see it. One for all groups of a rank.
    var progress: RankProgress { get }

    /// Gives each rank its chunk from every rank: rank r gets bytes `bounds[r] ..< bounds[r + 1]` of each rank's `bytes`.
    ///
    /// - Parameters:
    ///   - bytes: This rank's chunks for all ranks, in rank order.
    ///   - bounds: First byte of each chunk and the end of the last, ascending; the same on every rank.
    ///   - body: Gets this rank's chunks, one per sending rank in rank order, its own included and in place within
    ///     `bytes`; they are valid until it returns. It may overwrite this rank's own chunk and nothing else of `bytes`.
    func exchange(
        _ bytes: UnsafeRawBufferPointer, bounds: [Int],
        _ body: (_ chunks: [UnsafeRawBufferPointer]) -> Void
    ) throws(ForjaError)

    /// Fills `bytes` on every rank: rank r's part, `bounds[r] ..< bounds[r + 1]`, comes from rank r, where it is already.
    func allGather(_ bytes: UnsafeMutableRawBufferPointer, bounds: [Int]) throws(ForjaError)

    /// Copies `bytes` of rank `root` to every rank.
    func broadcast(_ bytes: UnsafeMutableRawBufferPointer, from root: Int) throws(ForjaError)

    /// Returns when every rank has called it.
    func barrier() throws(ForjaError)

    /// Splits the group: ranks with the same `color` form a group of their own, in the order of their ranks here.
    func split(color: Int) throws(ForjaError) -> any Communicator

    /// Makes every other rank of this group, and of all groups split from the same first one, throw from its running or
    /// next call. The first reason given counts.
    func abort(_ reason: ForjaError)
}

/// The group of one: nothing to exchange.
public final class SingleRank: Communicator {
    public let rank = 0
    public let rankCount = 1
    public let progress: RankProgress

    public init(progress: RankProgress = RankProgress(rank: 0)) { self.progress = progress }

    public func exchange(
        _ bytes: UnsafeRawBufferPointer, bounds: [Int],
        _ body: (_ chunks: [UnsafeRawBufferPointer]) -> Void
    ) {
        body([bytes])
    }
    public func allGather(_ bytes: UnsafeMutableRawBufferPointer, bounds: [Int]) {}
    public func broadcast(_ bytes: UnsafeMutableRawBufferPointer, from root: Int) {}
    public func barrier() {}
    public func split(color: Int) -> any Communicator { SingleRank(progress: progress) }
    public func abort(_ reason: ForjaError) {}
}
