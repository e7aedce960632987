import ForjaCore

/// A place in the arena for every transient storage of a graph, such that two storages share bytes only when their
/// lifetimes do not meet.
///
/// A lifetime runs from the first dispatch that touches a storage to the last. Storages are placed largest first, each
/// at the lowest free offset of the first arena with room (greedy by size: Pisarchyk and Lee, 2020,
/// arXiv:2001.03288).
public struct MemoryPlan: Sendable {
    package struct Place: Sendable {
        package let arena: Int
        package let byteOffset: Int
    }

    /// Size of each arena. More than one only when the whole passes the device's largest allocation.
    public let arenaByteCounts: [Int]
    /// Bytes that would be needed without sharing.
    public let unsharedByteCount: Int
    /// Place by storage index; absent for variables and for storages no dispatch touches.
    package let places: [Int: Place]

    /// Every place starts on a boundary of this many bytes.
    static let alignment = 256

    public var byteCount: Int { arenaByteCounts.reduce(0, +) }

    /// - Parameter maxArenaByteCount: The device's largest allocation.
    /// - Throws: `.outOfMemory` when one tensor alone passes it.
    public init(_ graph: StepGraph, maxArenaByteCount: Int = .max) throws(ForjaError) {
        var lifetimes: [Int: ClosedRange<Int>] = [:]
        for (index, dispatch) in graph.dispatches.enumerated() {
            for storage in dispatch.reads + dispatch.writes {
                guard case .transient = graph.storages[storage].kind else { continue }
                lifetimes[storage] = (lifetimes[storage]?.lowerBound ?? index)...index
            }
        }
        struct Placed {
            let lifetime: ClosedRange<Int>
            let bytes: Range<Int>
        }
        let sizes = lifetimes.keys.reduce(into: [Int: Int]()) {
            $0[$1] = max(graph.storages[$1].byteCount, 1).rounded(upTo: Self.alignment)
        }
        let order = lifetimes.keys.sorted { (sizes[$0]!, $1) > (sizes[$1]!, $0) }

        var arenas: [[Placed]] = [[]]
        var places: [Int: Place] = [:]
        for storage in order {
            let size = sizes[storage]!
            let lifetime = lifetimes[storage]!
            guard size <= maxArenaByteCount else {
                throw ForjaError(
                    .outOfMemory,
                    "\(graph.storages[storage].name) needs \(size) bytes; the device allocates "
                        + "at most \(maxArenaByteCount) at once",
                    fix: "use a smaller model or batch, or another device")
            }
            var arena = 0
            while true {
                if arena == arenas.count { arenas.append([]) }
                // Placed storages stay sorted by first byte, so the first gap found is the lowest.
                var start = 0
                for other in arenas[arena] where other.lifetime.overlaps(lifetime) {
                    if other.bytes.lowerBound >= start + size { break }
                    start = max(start, other.bytes.upperBound)
                }
                if start + size <= maxArenaByteCount {
                    let placed = Placed(lifetime: lifetime, bytes: start..<(start + size))
                    let position =
                        arenas[arena].firstIndex { $0.bytes.lowerBound > start }
                        ?? arenas[arena].count
                    arenas[arena].insert(placed, at: position)
                    places[storage] = Place(arena: arena, byteOffset: start)
                    break
                }
                arena += 1
            }
        }
        self.places = places
        arenaByteCounts = arenas.map { $0.map(\.bytes.upperBound).max() ?? 0 }
        unsharedByteCount = sizes.values.reduce(0, +)
    }
}

extension Int {
    func rounded(upTo multiple: Int) -> Int { (self + multiple - 1) / multiple * multiple }
}
