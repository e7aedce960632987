import ForjaParallel
import Testing

@Suite("Collective costs")
struct CollectiveCostTests {
    static let fast = ClusterProfile.Link(bytesPerSecond: 100, latencySeconds: 0.5)
    static let slow = ClusterProfile.Link(bytesPerSecond: 10, latencySeconds: 2)
    let cost = CollectiveCost(intraNode: fast, interNode: slow)

    /// Seconds of a ring walked step by step: in each, every rank sends one share on.
    func walkedRing(ranks: Int, bytes: Double, _ link: ClusterProfile.Link) -> Double {
        (1..<max(ranks, 1)).reduce(0.0) { sum, _ in
            sum + link.latencySeconds + bytes / Double(ranks) / link.bytesPerSecond
        }
    }

    @Test("within a node an all-gather is a ring", arguments: [1, 2, 3, 8])
    func ring(ranks: Int) {
        let group = ProcessGroup(size: ranks, membersPerNode: ranks)
        let expected = walkedRing(ranks: ranks, bytes: 800, Self.fast)
        #expect(abs(cost.allGather(bytes: 800, over: group) - expected) < 1e-12)
        #expect(
            cost.reduceScatter(bytes: 800, over: group) == cost.allGather(bytes: 800, over: group))
    }

    @Test("over nodes it gathers a member's share first, then the whole within the node")
    func twoLevels() {
        let group = ProcessGroup(size: 32, membersPerNode: 8)
        let expected =
            walkedRing(ranks: 4, bytes: 800 / 8, Self.slow)
            + walkedRing(ranks: 8, bytes: 800, Self.fast)
        #expect(abs(cost.allGather(bytes: 800, over: group) - expected) < 1e-12)
        let flat = ProcessGroup(size: 4, membersPerNode: 1)
        #expect(
            abs(
                cost.allGather(bytes: 800, over: flat)
                    - walkedRing(ranks: 4, bytes: 800, Self.slow)) < 1e-12)
    }

    @Test("an all-reduce of much data is two rings, of little data a tree up and down")
    func allReduce() {
        let group = ProcessGroup(size: 16, membersPerNode: 1)
        let ring = 2 * walkedRing(ranks: 16, bytes: 1e6, Self.slow)
        #expect(abs(cost.allReduce(bytes: 1e6, over: group) - ring) < 1e-6)
        let tree = 2 * (4 * 2 + 4.0 / 10)
        #expect(abs(cost.allReduce(bytes: 4, over: group) - tree) < 1e-12)
    }

    @Test("an all-reduce within a node costs a reduce-scatter and an all-gather")
    func allReduceIsBoth() {
        let group = ProcessGroup(size: 8, membersPerNode: 8)
        #expect(
            abs(
                cost.allReduce(bytes: 1e6, over: group)
                    - cost.reduceScatter(bytes: 1e6, over: group)
                    - cost.allGather(bytes: 1e6, over: group)) < 1e-9)
    }

    @Test("a broadcast takes a hop a level of the tree")
    func broadcast() {
        let nodes = ProcessGroup(size: 8, membersPerNode: 1)
        #expect(cost.broadcast(bytes: 100, over: nodes) == 3 * 2 + 100 / 10)
        let both = ProcessGroup(size: 40, membersPerNode: 8)
        let levels: Double = (3 * 2 + 100 / 10) + (3 * 0.5 + 100 / 100)
        #expect(cost.broadcast(bytes: 100, over: both) == levels)
    }

    @Test("a send is one hop, and a group of one costs nothing")
    func smallest() {
        #expect(cost.send(bytes: 100, withinNode: true) == 0.5 + 1)
        #expect(cost.send(bytes: 100, withinNode: false) == 2 + 10)
        let alone = ProcessGroup(size: 1, membersPerNode: 1)
        #expect(cost.allGather(bytes: 1e9, over: alone) == 0)
        #expect(cost.allReduce(bytes: 1e9, over: alone) == 0)
        #expect(cost.broadcast(bytes: 1e9, over: alone) == 0)
    }
}
