import CForja
import ForjaCore

/// A step recorded once and run many times: a flat list of dispatches with the storages each reads and writes.
///
/// A model is written as forward code. Each operation appends its dispatches and a backward rule; `backward()` runs
/// the rules from last to first, and they append theirs. Nothing is computed while recording.
///
/// Memory is not decided here: a `MemoryPlan` places the transient storages by lifetime.
public final class StepGraph {
    /// Where a storage's memory comes from.
    package enum StorageKind {
        /// A variable's own buffer.
        case variable(Variable)
        /// The arena, for as long as the dispatches need it.
        case transient
    }

    package struct Storage {
        package let name: String
        package let kind: StorageKind
        package let byteCount: Int
    }

    /// One call of the engine, or one collective.
    package struct Dispatch {
        package let name: String
        package let reads: [Int]
        package let writes: [Int]
        /// Floating-point operations, and bytes that must move at the least.
        package let flops: Double
        package let bytes: Double
        /// One pass over memory, inside a block: its first result is made again for the backward pass instead of kept.
        package let isCheap: Bool
        /// Recomputed forward work, dropped again when nothing reads what it writes.
        package let isRecomputed: Bool
        /// Depends on whether the microstep is the step's first.
        package let dependsOnMicrostep: Bool
        /// Set where the dispatch is no call of the engine but an exchange with other ranks.
        package let collective: CollectiveDispatch?
        let workspaceByteCount: (Binding, Device) -> Int
        /// The engine's argument struct.
        let arguments: (Binding) -> Any
        let prepare: (Binding) -> Instruction
    }

    /// A dispatch with every address resolved. Allocates nothing when run.
    typealias Instruction = (OpaquePointer) -> forja_status

    private struct BackwardRule {
        let block: Int?
        let apply: () throws(ForjaError) -> Void
    }

    private struct Block {
        let name: String
        let dispatches: Range<Int>
    }

    /// Whether activations inside blocks are kept for the backward pass or computed again.
    public enum RecomputePolicy: String, Sendable, Codable {
        /// Everything is kept: what simulations of other programs assume.
        case nothing
        /// No product and no attention is computed again; norms and SwiGLU are, a pass over memory each.
        case none
        case block
    }

    package private(set) var storages: [Storage] = []
    package private(set) var dispatches: [Dispatch] = []
    private var rules: [BackwardRule] = []
    private var blocks: [Block] = []
    private var openBlock: Int?
    private var variableTensors: [ObjectIdentifier: Tensor] = [:]
    private var gradients: [Tensor: Gradient] = [:]
    private var parameterGradients: [Int: Tensor] = [:]
    /// Storages written again by recomputation, by the storage they stand in for.
    private var substitution: [Int: Int] = [:]
    private let recompute: RecomputePolicy
    /// Dispatches of the first part of a graph that runs in two; `nil`: in one.
    package private(set) var firstPartCount: Int?

    private struct Gradient {
        var tensor: Tensor
        /// Another tensor's gradient lent for reading: it may not be added to.
        var isBorrowed: Bool
    }

    public init(recompute: RecomputePolicy = .none) { self.recompute = recompute }

    // MARK: Tensors

    /// The tensor of a variable; the same one every time.
    public func tensor(_ variable: Variable) -> Tensor {
        if let known = variableTensors[ObjectIdentifier(variable)] { return known }
        storages.append(
            Storage(
                name: variable.name, kind: .variable(variable), byteCount: variable.byteCount))
        let tensor = Tensor(
            shape: variable.shape, dtype: variable.dtype, storage: storages.count - 1, offset: 0)
        variableTensors[ObjectIdentifier(variable)] = tensor
        return tensor
    }

    /// A tensor that lives only while dispatches need it.
    package func transient(_ name: String, _ shape: Shape, _ dtype: DType) -> Tensor {
        storages.append(
            Storage(
                name: name, kind: .transient, byteCount: shape.elementCount * dtype.byteCount))
        return Tensor(shape: shape, dtype: dtype, storage: storages.count - 1, offset: 0)
    }

    /// The variable whose memory a storage lies in; `nil` for the arena's.
    func root(of storage: Int) -> Variable? {
        guard case .variable(let variable) = storages[storage].kind else { return nil }
        return variable.root
    }

    // MARK: Recording

    /// Appends one engine call.
    ///
    /// - Parameters:
    ///   - name: Operation and pass, `rmsnorm.forward`: what traces and profiles show.
    ///   - reads: Tensors whose contents the call needs, including those it updates in place.
    ///   - writes: Tensors it changes.
    ///   - isCheap: Whether to make the first of `writes` again for the backward pass rather than keep it. What the call
    ///     reads has to be kept until then for something else.
    ///   - function: The engine's entry point.
    ///   - workspace: Its workspace query, if it has one.
    ///   - arguments: Builds the argument struct once addresses are known.
    package func record<Arguments>(
        _ name: String, reads: [Tensor], writes: [Tensor], flops: Double = 0,
        dependsOnMicrostep: Bool = false, isCheap: Bool = false,
        _ function: @escaping (OpaquePointer?, UnsafePointer<Arguments>?) -> forja_status,
        workspace: ((OpaquePointer?, UnsafePointer<Arguments>?) -> UInt64)? = nil,
        arguments: @escaping (Binding) -> Arguments
    ) {
        let map = substitution
        let place = { (tensor: Tensor) in map[tensor.storage] ?? tensor.storage }
        dispatches.append(
            Dispatch(
                name: name, reads: reads.map(place), writes: writes.map(place), flops: flops,
                bytes: Double((reads + writes).reduce(0) { $0 + $1.byteCount }),
                isCheap: isCheap && openBlock != nil, isRecomputed: false,
                dependsOnMicrostep: dependsOnMicrostep, collective: nil,
                workspaceByteCount: { binding, device in
                    guard let workspace else { return 0 }
                    let values = arguments(binding.substituting(map))
                    return withUnsafePointer(to: values) {
                        Int(clamping: workspace(device.handle, $0))
                    }
                },
                arguments: { arguments($0.substituting(map)) },
                prepare: { binding in
                    let values = arguments(binding.substituting(map))
                    return { queue in withUnsafePointer(to: values) { function(queue, $0) } }
                }))
    }

    func append(_ dispatch: Dispatch) { dispatches.append(dispatch) }

    func insert(_ dispatch: Dispatch, at index: Int) {
        dispatches.insert(dispatch, at: index)
        if let count = firstPartCount, index < count { firstPartCount = count + 1 }
    }

    /// Ends the first part: what is recorded from here on runs when the host has read what came before and written what
    /// comes after needs (`Scheduler.run(part:)`).
    package func cut() {
        precondition(
            firstPartCount == nil && openBlock == nil, "a graph is cut once, outside blocks")
        firstPartCount = dispatches.count
    }

    /// Adds the rule that `backward()` runs in this place of the reverse order.
    package func onBackward(_ apply: @escaping () throws(ForjaError) -> Void) {
        rules.append(BackwardRule(block: openBlock, apply: apply))
    }

    /// Groups what `body` records into a block, the unit of recomputation. Blocks do not nest.
    public func block<Result>(
        _ name: String, _ body: () throws(ForjaError) -> Result
    ) throws(ForjaError) -> Result {
        precondition(openBlock == nil, "blocks do not nest")
        let start = dispatches.count
        openBlock = blocks.count
        blocks.append(Block(name: name, dispatches: start..<start))
        defer {
            blocks[openBlock!] = Block(name: name, dispatches: start..<dispatches.count)
            openBlock = nil
        }
        return try body()
    }

    // MARK: Gradients

    /// Names the variable that collects a parameter's gradient over several microsteps. Without one the
    /// gradient is transient and lives from its first contribution to its last use in this graph.
    package func collectGradient(of parameter: Tensor, in variable: Variable) {
        precondition(parameter.shape == variable.shape)
        parameterGradients[parameter.storage] = tensor(variable)
    }

    /// The gradient of `tensor` as far as it has been recorded; `nil` when nothing flows into it.
    package func gradient(of tensor: Tensor) -> Tensor? { gradients[tensor]?.tensor }

    /// Indices of `tensors` in the order in which the dispatches recorded so far finish them.
    package func completionOrder(of tensors: [Tensor]) -> [Int] {
        var last: [Int: Int] = [:]
        for (index, dispatch) in dispatches.enumerated() {
            for storage in dispatch.writes { last[storage] = index }
        }
        return tensors.indices.sorted {
            (last[tensors[$0].storage] ?? -1, $0) < (last[tensors[$1].storage] ?? -1, $1)
        }
    }

    /// Where a rule writes its contribution to the gradient of `tensor`.
    ///
    /// - Parameter dtype: Type of a new gradient: parameters pass float32, activations their own.
    package func gradientTarget(for tensor: Tensor, dtype: DType) -> GradientTarget {
        if let existing = gradients[tensor] {
            precondition(!existing.isBorrowed, "a lent gradient cannot take a second contribution")
            return GradientTarget(tensor: existing.tensor, accumulation: .add)
        }
        if let target = parameterGradients[tensor.storage] {
            gradients[tensor] = Gradient(tensor: target, isBorrowed: false)
            return GradientTarget(tensor: target, accumulation: .addAfterFirstMicrostep)
        }
        let target = transient("gradient of \(storages[tensor.storage].name)", tensor.shape, dtype)
        gradients[tensor] = Gradient(tensor: target, isBorrowed: false)
        return GradientTarget(tensor: target, accumulation: .overwrite)
    }

    /// Makes `gradient` the gradient of `tensor` without copying. `isBorrowed`: it belongs to another tensor too.
    package func adoptGradient(_ gradient: Tensor, for tensor: Tensor, isBorrowed: Bool) {
        precondition(gradients[tensor] == nil, "the gradient has contributions already")
        gradients[tensor] = Gradient(tensor: gradient, isBorrowed: isBorrowed)
    }

    /// Runs the backward rules from last to first. Call once, after the loss has been recorded.
    ///
    /// - Parameter early: A parameter below the first block, an embedding, whose gradient others wait for: what it does not
    ///   need of that block's backward pass runs behind it.
    public func backward(finishingFirst early: Tensor? = nil) throws(ForjaError) {
        let pending = rules
        let forwardCount = dispatches.count
        rules = []
        var enteredBlock: Int?
        var firstBlockStart = forwardCount
        for rule in pending.reversed() {
            if let block = rule.block, block != enteredBlock {
                firstBlockStart = dispatches.count
                if recompute == .block { recomputeForward(of: blocks[block]) }
                enteredBlock = block
            }
            try rule.apply()
            if rule.block == nil { substitution = [:] }
        }
        substitution = [:]
        if let early, let gradient = gradient(of: early) {
            bringForward(lastWriteOf: gradient, to: firstBlockStart)
        }
        switch recompute {
        case .nothing: break
        case .none: recomputeCheapResults(after: forwardCount)
        case .block: dropUnreadRecomputation()
        }
    }

    /// Moves what the last write of `tensor` does not need behind it, out of the dispatches from `start` on. Nothing passes
    /// a dispatch that reads what it writes or writes what it touches, so every dispatch computes what it did before.
    private func bringForward(lastWriteOf tensor: Tensor, to start: Int) {
        guard let last = dispatches.lastIndex(where: { $0.writes.contains(tensor.storage) }),
            start < last
        else { return }
        var read: Set<Int> = []
        var written: Set<Int> = []
        var kept: [Dispatch] = []
        var moved: [Dispatch] = []
        for dispatch in dispatches[start...last].reversed() {
            let canPass =
                !kept.isEmpty && read.isDisjoint(with: dispatch.writes)
                && written.isDisjoint(with: dispatch.reads + dispatch.writes)
            guard !canPass else {
                moved.append(dispatch)
                continue
            }
            read.formUnion(dispatch.reads)
            written.formUnion(dispatch.writes)
            kept.append(dispatch)
        }
        dispatches.replaceSubrange(start...last, with: kept.reversed() + moved.reversed())
    }

    /// Makes results of cheap dispatches again right before the backward pass first reads them.
    private func recomputeCheapResults(after forwardCount: Int) {
        var producers: [Int: Dispatch] = [:]
        for dispatch in dispatches[..<forwardCount] where dispatch.isCheap {
            producers[dispatch.writes[0]] = dispatch
        }
        var map: [Int: Int] = [:]
        var backward: [Dispatch] = []
        for dispatch in dispatches[forwardCount...] {
            for read in dispatch.reads where map[read] == nil {
                guard let producer = producers[read] else { continue }
                for index in producer.writes {
                    storages.append(storages[index])
                    map[index] = storages.count - 1
                }
                backward.append(producer.substituting(map, isRecomputed: true))
            }
            backward.append(dispatch.substituting(map, isRecomputed: dispatch.isRecomputed))
        }
        dispatches.replaceSubrange(forwardCount..., with: backward)
    }

    /// Records a block's forward dispatches again, into fresh storages that its backward rules then read.
    private func recomputeForward(of block: Block) {
        substitution = [:]
        for dispatch in dispatches[block.dispatches] {
            for index in dispatch.writes {
                guard case .transient = storages[index].kind, substitution[index] == nil else {
                    continue
                }
                storages.append(storages[index])
                substitution[index] = storages.count - 1
            }
            dispatches.append(dispatch.substituting(substitution, isRecomputed: true))
        }
    }

    /// Drops recomputed dispatches whose results nobody reads, such as a block's last sum.
    private func dropUnreadRecomputation() {
        var needed = Set<Int>()
        var kept: [Dispatch] = []
        for dispatch in dispatches.reversed() {
            if dispatch.isRecomputed, needed.isDisjoint(with: dispatch.writes) { continue }
            needed.formUnion(dispatch.reads)
            kept.append(dispatch)
        }
        dispatches = kept.reversed()
    }
}

extension StepGraph.Dispatch {
    /// The same work on other storages.
    fileprivate func substituting(_ map: [Int: Int], isRecomputed: Bool) -> Self {
        if map.isEmpty, isRecomputed == self.isRecomputed { return self }
        return Self(
            name: name, reads: reads.map { map[$0] ?? $0 }, writes: writes.map { map[$0] ?? $0 },
            flops: flops, bytes: bytes, isCheap: isCheap, isRecomputed: isRecomputed,
            dependsOnMicrostep: dependsOnMicrostep, collective: collective?.substituting(map),
            workspaceByteCount: { binding, device in
                workspaceByteCount(binding.substituting(map), device)
            },
            arguments: { arguments($0.substituting(map)) },
            prepare: { prepare($0.substituting(map)) })
    }

    /// A collective.
    init(
        name: String, reads: [Int], writes: [Int], bytes: Double, collective: CollectiveDispatch
    ) {
        self.init(
            name: name, reads: reads, writes: writes, flops: 0, bytes: bytes, isCheap: false,
            isRecomputed: false, dependsOnMicrostep: false, collective: collective,
            workspaceByteCount: { _, _ in 0 },
            arguments: { _ in () }, prepare: { _ in { _ in FORJA_OK } })
    }
}

/// Resolves tensors to addresses for one way of running a graph.
package struct Binding {
    /// Buffer and first byte of each storage.
    let places: [(buffer: OpaquePointer?, byteOffset: Int)]
    let isFirstMicrostep: Bool
    private var map: [Int: Int] = [:]

    init(places: [(buffer: OpaquePointer?, byteOffset: Int)], isFirstMicrostep: Bool) {
        self.places = places
        self.isFirstMicrostep = isFirstMicrostep
    }

    /// Maps storages through `map` before those maps already there.
    func substituting(_ map: [Int: Int]) -> Binding {
        guard !map.isEmpty else { return self }
        var copy = self
        copy.map = map.mapValues { self.map[$0] ?? $0 }
        for (from, to) in self.map where copy.map[from] == nil { copy.map[from] = to }
        return copy
    }

    subscript(tensor: Tensor) -> forja_span {
        let place = places[map[tensor.storage] ?? tensor.storage]
        return forja_span(
            buffer: place.buffer,
            offset: UInt64(place.byteOffset / tensor.dtype.byteCount + tensor.offset))
    }

    subscript(tensor: Tensor?) -> forja_span {
        guard let tensor else { return forja_span(buffer: nil, offset: 0) }
        return self[tensor]
    }

    func accumulates(_ accumulation: Accumulation) -> Bool {
        switch accumulation {
        case .overwrite: false
        case .add: true
        case .addAfterFirstMicrostep: !isFirstMicrostep
        }
    }
}
