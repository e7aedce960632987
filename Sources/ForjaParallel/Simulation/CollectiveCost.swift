import Foundation

/// Ranks that take part in a collective, and how many of them share a node.
public struct ProcessGroup: Hashable, Sendable {
    public let size: Int
    /// Divides `size`.
    public let membersPerNode: Int

    public init(size: Int, membersPerNode: Int) {
        precondition(size > 0 && membersPerNode > 0 && size % membersPerNode == 0)
        self.size = size
        self.membersPerNode = membersPerNode
    }

    public var nodes: Int { size / membersPerNode }
}

/// Seconds of collectives by the usual latency-bandwidth model: a message of S bytes over one hop costs α + S/β.
///
/// Legend: n ranks, S bytes of the whole result, α the latency and β the rate of a link. A ring sends n − 1 messages of
/// S/n; a pipelined tree has ⌈log₂ n⌉ levels. Thakur, Rabenseifner and Gropp, 2005 (doi:10.1177/1094342005051521).
///
/// A group that spans nodes works in two levels: within each node over the fast link, and between nodes with the share
/// of the data that one of a node's members holds.
public struct CollectiveCost: Sendable {
    public let intraNode: ClusterProfile.Link
    public let interNode: ClusterProfile.Link

    public init(intraNode: ClusterProfile.Link, interNode: ClusterProfile.Link) {
        self.intraNode = intraNode
        self.interNode = interNode
    }

    /// Every rank ends with the S bytes of which each had S/n: (n − 1)·α + (n − 1)/n · S/β.
    public func allGather(bytes: Double, over group: ProcessGroup) -> Double {
        let perMember = bytes / Double(group.membersPerNode)
        return ring(bytes: perMember, ranks: group.nodes, interNode)
            + ring(bytes: bytes, ranks: group.membersPerNode, intraNode)
    }

    /// Each rank ends with the sum over ranks of its S/n bytes; costs what an all-gather costs.
    public func reduceScatter(bytes: Double, over group: ProcessGroup) -> Double {
        allGather(bytes: bytes, over: group)
    }

    /// Every rank ends with the sum of S bytes: reduce-scatter within the node, the cheaper of ring and tree between
    /// nodes, all-gather within the node.
    public func allReduce(bytes: Double, over group: ProcessGroup) -> Double {
        guard group.nodes > 1 else {
            return flatAllReduce(bytes: bytes, ranks: group.membersPerNode, intraNode)
        }
        let perMember = bytes / Double(group.membersPerNode)
        return 2 * ring(bytes: bytes, ranks: group.membersPerNode, intraNode)
            + flatAllReduce(bytes: perMember, ranks: group.nodes, interNode)
    }

    /// One rank's S bytes reach all: ⌈log₂ n⌉·α + S/β on each level.
    public func broadcast(bytes: Double, over group: ProcessGroup) -> Double {
        tree(bytes: bytes, ranks: group.nodes, interNode)
            + tree(bytes: bytes, ranks: group.membersPerNode, intraNode)
    }

    /// α + S/β.
    public func send(bytes: Double, withinNode: Bool) -> Double {
        (withinNode ? intraNode : interNode).seconds(bytes: bytes)
    }

    /// min of ring, 2(n − 1)·α + 2(n − 1)/n · S/β, and tree, 2⌈log₂ n⌉·α + 2·S/β.
    private func flatAllReduce(
        bytes: Double, ranks: Int, _ link: ClusterProfile.Link
    ) -> Double {
        2 * min(ring(bytes: bytes, ranks: ranks, link), tree(bytes: bytes, ranks: ranks, link))
    }

    private func ring(bytes: Double, ranks: Int, _ link: ClusterProfile.Link) -> Double {
        let hops = Double(ranks - 1)
        return hops * link.seconds(bytes: bytes / Double(ranks))
    }

    private func tree(bytes: Double, ranks: Int, _ link: ClusterProfile.Link) -> Double {
        guard ranks > 1 else { return 0 }
        return ceil(log2(Double(ranks))) * link.latencySeconds + bytes / link.bytesPerSecond
    }
}
