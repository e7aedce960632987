import CForja
import ForjaCore

/// Runs recorded graphs on one device: plans their memory together, then replays them without allocating.
///
/// Graphs of one scheduler run one after another (train, validate), so they share one arena, sized for the largest.
/// A graph's dispatches are queued in recorded order, which respects every read after its write.
public final class Scheduler {
    /// A graph added to the scheduler.
    public struct GraphID: Sendable, Hashable {
        fileprivate let index: Int
    }

    private struct Entry {
        let graph: StepGraph
        let plan: MemoryPlan
        let workspaceByteCount: Int
        /// One list for a step's first microstep, one for the others; the same when nothing depends on it.
        var first: [StepGraph.Instruction] = []
        var following: [StepGraph.Instruction] = []
    }

    public let queue: Queue
    public var device: Device { queue.device }
    private var entries: [Entry] = []
    private var arenas: [Buffer] = []
    private var isPrepared = false
    private let memoryFix: String
    private var profile: StepProfile?

    /// - Parameter memoryFix: What a user can do when memory does not suffice for these graphs: the remedy that an
    ///   `.outOfMemory` error names.
    public init(
        queue: Queue, memoryFix: String = "use a smaller model or batch, or another device"
    ) {
        self.queue = queue
        self.memoryFix = memoryFix
    }

    /// Plans a graph. Add every graph before the first run.
    public func add(_ graph: StepGraph) throws(ForjaError) -> GraphID {
        precondition(!isPrepared, "graphs are added before the first run")
        let plan = try withMemoryFix { () throws(ForjaError) in
            try MemoryPlan(graph, maxArenaByteCount: device.description.maxAllocationBytes)
        }
        let unplaced = Self.unplaced(graph)
        let workspace =
            graph.dispatches.map { $0.workspaceByteCount(unplaced, device) }.max() ?? 0
        entries.append(Entry(graph: graph, plan: plan, workspaceByteCount: workspace))
        return GraphID(index: entries.count - 1)
    }

    /// What the engine will hold for these graphs: arenas, workspace and the variables they name.
    public var plannedByteCount: Int {
        arenaByteCounts.reduce(0, +) + workspaceByteCount
            + variables.reduce(0) { $0 + $1.byteCount }
    }

    public var arenaByteCount: Int { arenaByteCounts.reduce(0, +) }
    public var workspaceByteCount: Int { entries.map(\.workspaceByteCount).max() ?? 0 }

    /// Floating-point operations and dispatches of one run of a graph.
    public func flops(of id: GraphID) -> Double {
        entries[id.index].graph.dispatches.reduce(0) { $0 + $1.flops }
    }
    public func dispatchCount(of id: GraphID) -> Int { entries[id.index].graph.dispatches.count }

    private static func unplaced(_ graph: StepGraph) -> Binding {
        Binding(
            places: Array(repeating: (nil, 0), count: graph.storages.count), isFirstMicrostep: true)
    }

    /// The graphs' calls of operations that have variants, one for each class of shapes.
    public var variantCalls: [VariantCall] {
        var seen: Set<[String]> = []
        return entries.flatMap { entry in
            entry.graph.dispatches.compactMap {
                VariantCall($0.arguments(Self.unplaced(entry.graph)))
            }
        }.filter { seen.insert([$0.operation, $0.shapeClass]).inserted }
    }

    /// The argument structs of every dispatch. A span that is there has a buffer, but not one to use.
    var recordedArguments: [Any] {
        entries.flatMap { entry in
            let places = Array(
                repeating: (buffer: OpaquePointer(bitPattern: 1), byteOffset: 0),
                count: entry.graph.storages.count)
            let binding = Binding(places: places, isFirstMicrostep: true)
            return entry.graph.dispatches.map { $0.arguments(binding) }
        }
    }

    /// Every variable the graphs name, each once.
    public var variables: [Variable] {
        var seen = Set<ObjectIdentifier>()
        var result: [Variable] = []
        for entry in entries {
            for storage in entry.graph.storages {
                if case .variable(let variable) = storage.kind,
                    seen.insert(ObjectIdentifier(variable)).inserted
                {
                    result.append(variable)
                }
            }
        }
        return result
    }

    /// Refuses before anything is allocated when the plan passes the device's memory.
    public func checkFits() throws(ForjaError) {
        let limit = device.description.memoryBytes
        let missing =
            arenaByteCounts.reduce(0, +) + workspaceByteCount
            + variables.filter { $0.buffer == nil }.reduce(0) { $0 + $1.byteCount }
        guard missing + device.allocatedBytes <= limit else {
            throw ForjaError(
                .outOfMemory,
                "the plan needs \(megabytes(missing + device.allocatedBytes)) and "
                    + "\(device.description.name) has \(megabytes(limit))",
                fix: memoryFix)
        }
    }

    /// Allocates arenas, workspace and any variable not yet there, and resolves every address.
    public func prepare() throws(ForjaError) {
        guard !isPrepared else { return }
        try checkFits()
        try withMemoryFix { () throws(ForjaError) in
            for variable in variables { try variable.allocate(on: device) }
            arenas = []
            for byteCount in arenaByteCounts {
                arenas.append(try Buffer(device: device, byteCount: byteCount))
            }
            try queue.reserveWorkspace(byteCount: workspaceByteCount)
        }
        for index in entries.indices {
            let graph = entries[index].graph
            let plan = entries[index].plan
            let places = graph.storages.indices.map { storage -> (OpaquePointer?, Int) in
                switch graph.storages[storage].kind {
                case .variable(let variable):
                    return (variable.allocated().handle, 0)
                case .transient:
                    guard let place = plan.places[storage] else { return (nil, 0) }
                    return (arenas[place.arena].handle, place.byteOffset)
                }
            }
            let first = Binding(places: places, isFirstMicrostep: true)
            let following = Binding(places: places, isFirstMicrostep: false)
            entries[index].first = graph.dispatches.map { $0.prepare(first) }
            entries[index].following =
                graph.dispatches.contains(where: \.dependsOnMicrostep)
                ? graph.dispatches.map { $0.prepare(following) } : entries[index].first
        }
        isPrepared = true
    }

    /// Queues one run of a graph. Reading a variable afterwards waits for it.
    ///
    /// - Parameter isFirstMicrostep: Gradients and sums that collect over a step are overwritten, not added to.
    public func run(_ id: GraphID, isFirstMicrostep: Bool = true) throws(ForjaError) {
        try prepare()
        let entry = entries[id.index]
        let instructions = isFirstMicrostep ? entry.first : entry.following
        let handle = queue.handle
        for index in instructions.indices {
            let status =
                profile?.time(entry.graph.dispatches[index].name) { instructions[index](handle) }
                ?? instructions[index](handle)
            do throws(ForjaError) {
                try engineCheck(status)
            } catch {
                var named = error
                named.message = "\(entry.graph.dispatches[index].name): \(error.message)"
                throw named
            }
        }
    }

    /// Runs keep their times in the profile from here on; a profile started before ends.
    public func startProfile() throws(ForjaError) -> StepProfile {
        let started = try StepProfile(queue: queue)
        profile = started
        return started
    }

    private func withMemoryFix<Result>(
        _ body: () throws(ForjaError) -> Result
    ) throws(ForjaError) -> Result {
        do throws(ForjaError) {
            return try body()
        } catch {
            guard error.code == .outOfMemory else { throw error }
            var advised = error
            advised.fix = memoryFix
            throw advised
        }
    }

    private var arenaByteCounts: [Int] {
        var result: [Int] = []
        for entry in entries {
            for (index, byteCount) in entry.plan.arenaByteCounts.enumerated() {
                if index == result.count { result.append(0) }
                result[index] = max(result[index], byteCount)
            }
        }
        return result
    }
}

/// "1,234.5 MB" for messages.
package func megabytes(_ byteCount: Int) -> String {
    let tenths = (byteCount + 50_000) / 100_000
    return "\(tenths / 10).\(tenths % 10) MB"
}
