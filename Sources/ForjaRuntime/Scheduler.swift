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
        /// One, or two where the graph is cut.
        var parts: [Part] = []
    }

    private struct Part {
        /// One list for a step's first microstep, one for the others; the same when nothing depends on it.
        let first: [Action]
        let following: [Action]
    }

    /// One thing to do, with every address resolved.
    private enum Action {
        /// A call of the engine, and the dispatch it belongs to.
        case call(StepGraph.Instruction, dispatch: Int)
        /// Hands a collective to the communication lane: one that overlaps what does not touch that variable; `nil`: one
        /// to wait for.
        case exchange(CommunicationLane.Call, on: Variable?)
        /// Waits until the collective begun last on that variable, in this run or an earlier one, is done.
        case wait(Variable)
    }

    public let queue: Queue
    public var device: Device { queue.device }
    private var entries: [Entry] = []
    private var arenas: [Buffer] = []
    private var isPrepared = false
    /// Receives when each dispatch ran; `nil`: nobody asks.
    package var trace: Trace.Recorder? {
        didSet { communication?.trace = trace }
    }
    private let memoryFix: String
    /// Runs the graphs' collectives; `nil` where no graph has any.
    private let communication: CommunicationLane?
    /// Variables on which collectives of the graphs overlap computation. A collective begun in a run of one graph may end
    /// in a run of another.
    private var exchanged: [Variable] = []
    /// The graphs' other variables: collectives of another scheduler may be under way on them.
    private var others: [Variable] = []
    private var profile: StepProfile?

    /// - Parameter memoryFix: What a user can do when memory does not suffice for these graphs: the remedy that an
    ///   `.outOfMemory` error names.
    public convenience init(
        queue: Queue, memoryFix: String = "use a smaller model or batch, or another device"
    ) {
        self.init(queue: queue, communication: nil, memoryFix: memoryFix)
    }

    /// - Parameter communication: Needed where a graph has collectives.
    package init(queue: Queue, communication: CommunicationLane?, memoryFix: String) {
        self.queue = queue
        self.communication = communication
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

    /// What the device will hold for these graphs: arenas, workspace, the variables they name, and what collectives are
    /// copied through where that is the device's memory too.
    public var plannedByteCount: Int {
        arenaByteCounts.reduce(0, +) + workspaceByteCount + countedStagingByteCount
            + variables.reduce(0) { $0 + $1.byteCount }
    }

    public var arenaByteCount: Int { arenaByteCounts.reduce(0, +) }
    public var workspaceByteCount: Int { entries.map(\.workspaceByteCount).max() ?? 0 }

    /// Of the largest collective, where the device needs staging memory for it.
    private var stagingByteCount: Int {
        let largest =
            entries.flatMap(\.graph.dispatches).compactMap(\.collective?.byteCount).max() ?? 0
        return CommunicationLane.stagingByteCount(largest, on: device)
    }
    /// As far as it is the device's memory.
    private var countedStagingByteCount: Int {
        device.description.sharesHostMemory ? stagingByteCount : 0
    }

    /// Floating-point operations and dispatches of one run of a graph.
    public func flops(of id: GraphID) -> Double {
        entries[id.index].graph.dispatches.reduce(0) { $0 + $1.flops }
    }
    /// Bytes that this rank sends to others in one run of a graph.
    public func sentByteCount(of id: GraphID) -> Int {
        entries[id.index].graph.dispatches.reduce(0) { $0 + ($1.collective?.sentByteCount ?? 0) }
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

    /// Every variable the graphs name, each once; for variables that lie in another, that one.
    public var variables: [Variable] {
        var seen = Set<ObjectIdentifier>()
        var result: [Variable] = []
        for entry in entries {
            for storage in entry.graph.storages {
                if case .variable(let variable) = storage.kind,
                    seen.insert(ObjectIdentifier(variable.root)).inserted
                {
                    result.append(variable.root)
                }
            }
        }
        return result
    }

    /// Refuses before anything is allocated when the plan passes the device's memory.
    public func checkFits() throws(ForjaError) {
        let limit = device.memoryShare
        let missing =
            arenaByteCounts.reduce(0, +) + workspaceByteCount + countedStagingByteCount
            + variables.filter { $0.buffer == nil }.reduce(0) { $0 + $1.byteCount }
        guard missing + device.allocatedBytes <= limit else {
            throw ForjaError(
                .outOfMemory,
                "the plan needs \(megabytes(missing + device.allocatedBytes)) and "
                    + "\(device.description.name) has \(megabytes(limit))"
                    + (device.memorySharerCount > 1
                        ? " for each of \(device.memorySharerCount) ranks" : ""),
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
            try communication?.reserve(byteCount: stagingByteCount)
        }
        findExchangedVariables()
        for index in entries.indices {
            let graph = entries[index].graph
            let plan = entries[index].plan
            let places = graph.storages.indices.map { storage -> (OpaquePointer?, Int) in
                switch graph.storages[storage].kind {
                case .variable(let variable):
                    return (variable.allocated().handle, variable.byteOffset)
                case .transient:
                    guard let place = plan.places[storage] else { return (nil, 0) }
                    return (arenas[place.arena].handle, place.byteOffset)
                }
            }
            let first = Binding(places: places, isFirstMicrostep: true)
            let following = Binding(places: places, isFirstMicrostep: false)
            let count = graph.dispatches.count
            let ranges =
                graph.firstPartCount.map { [0..<$0, $0..<count] } ?? [0..<count]
            entries[index].parts = ranges.map { range in
                let list = actions(of: graph, range, first)
                return Part(
                    first: list,
                    following: graph.dispatches[range].contains(where: \.dependsOnMicrostep)
                        ? actions(of: graph, range, following) : list)
            }
        }
        isPrepared = true
    }

    private func findExchangedVariables() {
        var found: Set<ObjectIdentifier> = []
        for graph in entries.map(\.graph) {
            for dispatch in graph.dispatches where dispatch.collective?.overlaps == true {
                found.formUnion(dispatch.writes.compactMap(graph.root).map(ObjectIdentifier.init))
            }
        }
        exchanged = variables.filter { found.contains(ObjectIdentifier($0)) }
        others = variables.filter { !found.contains(ObjectIdentifier($0)) }
    }

    /// A run of a graph's dispatches in order. A collective that overlaps is waited for by the first dispatch that touches what it
    /// works on, be it of this run or of one that comes later.
    private func actions(
        of graph: StepGraph, _ range: Range<Int>, _ binding: Binding
    ) -> [Action] {
        var actions: [Action] = []
        /// Variables on which a collective may be under way, at first one of an earlier run.
        var underWay = Set(exchanged.map(ObjectIdentifier.init))
        for index in range {
            let dispatch = graph.dispatches[index]
            if let collective = dispatch.collective {
                precondition(
                    communication != nil, "\(dispatch.name): the scheduler has no lane")
                let call = CommunicationLane.Call(
                    name: dispatch.name, dispatch: collective, span: collective.span(binding))
                // The lane works in order, so a collective waits for those before it of itself.
                let variable = collective.overlaps ? graph.root(of: dispatch.writes[0]) : nil
                actions.append(.exchange(call, on: variable))
                if let variable { underWay.insert(ObjectIdentifier(variable)) }
                continue
            }
            for storage in dispatch.reads + dispatch.writes {
                guard let variable = graph.root(of: storage),
                    underWay.remove(ObjectIdentifier(variable)) != nil
                else { continue }
                actions.append(.wait(variable))
            }
            actions.append(.call(dispatch.prepare(binding), dispatch: index))
        }
        return actions
    }

    /// Queues one run of a graph. Reading a variable afterwards waits for what is queued and for collectives on it.
    ///
    /// - Parameters:
    ///   - isFirstMicrostep: Gradients and sums that collect over a step are overwritten, not added to.
    ///   - isLastMicrostep: What collects over a step is complete, and exchanged with other ranks.
    ///   - part: Of a graph that is cut, 0 or 1. Between its parts no other graph runs: they share the arena.
    public func run(
        _ id: GraphID, isFirstMicrostep: Bool = true, isLastMicrostep: Bool = true, part: Int = 0
    ) throws(ForjaError) {
        try prepare()
        let entry = entries[id.index]
        let list = entry.parts[part]
        do throws(ForjaError) {
            for variable in others where variable.isPending { try wait(for: variable) }
            try run(
                isFirstMicrostep ? list.first : list.following, of: entry.graph,
                isLastMicrostep: isLastMicrostep)
        } catch {
            communication?.abandon(error)
            throw error
        }
    }

    /// Waits until no collective is under way: before anyone but a run uses their groups, or another thread reads what they
    /// work on.
    package func finishCollectives() throws(ForjaError) {
        do throws(ForjaError) {
            for variable in exchanged where variable.isPending { try wait(for: variable) }
        } catch {
            communication?.abandon(error)
            throw error
        }
    }

    private func run(
        _ actions: [Action], of graph: StepGraph, isLastMicrostep: Bool
    ) throws(ForjaError) {
        let handle = queue.handle
        for action in actions {
            switch action {
            case .call(let instruction, let dispatch):
                let start = trace == nil ? 0 : Trace.now
                let status =
                    profile?.time(graph.dispatches[dispatch].name) { instruction(handle) }
                    ?? instruction(handle)
                if let trace {
                    try queue.finish()
                    trace.add(
                        graph.dispatches[dispatch].name, "operation", lane: .compute,
                        since: start)
                }
                guard status != FORJA_OK else { continue }
                try during(graph.dispatches[dispatch].name) { () throws(ForjaError) in
                    try engineCheck(status)
                }
            case .exchange(let call, let variable):
                guard isLastMicrostep || !call.dispatch.onlyInLastMicrostep else { continue }
                let lane = communication!
                let number = try lane.submit(call, after: queue)
                if let variable {
                    variable.begin(PendingCollective(lane: lane, number: number))
                } else {
                    try waiting { () throws(ForjaError) in try lane.wait(for: number) }
                }
            case .wait(let variable):
                guard variable.isPending else { continue }
                try wait(for: variable)
            }
        }
    }

    private func wait(for variable: Variable) throws(ForjaError) {
        try waiting { () throws(ForjaError) in try variable.settle() }
    }

    private func waiting(_ body: () throws(ForjaError) -> Void) throws(ForjaError) {
        let start = trace == nil ? 0 : Trace.now
        try body()
        trace?.add("wait for ranks", "wait", lane: .compute, since: start)
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
