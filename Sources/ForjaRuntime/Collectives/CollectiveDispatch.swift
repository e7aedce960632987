import CForja
import ForjaCore

/// A collective recorded in a graph: what is done to which tensor over which ranks.
package struct CollectiveDispatch {
    package enum Operation: String, Sendable {
        /// The rank's chunk becomes its sum over the ranks.
        case reduceScatter = "reduce-scatter"
        /// Every chunk comes from the rank it belongs to.
        case allGather = "all-gather"
        /// Every element becomes its sum over the ranks.
        case allReduce = "all-reduce"
    }

    package let operation: Operation
    package let group: Collectives
    package let dtype: DType
    /// How the elements are cut into one chunk a rank.
    package let chunks: RankChunks
    let block: Int
    /// Runs while later dispatches do, those of later runs too, until one of them touches the variable. Else it is waited
    /// for at once.
    package let overlaps: Bool
    /// What sums over a whole step is exchanged once, in the step's last microstep.
    package let onlyInLastMicrostep: Bool
    let span: (Binding) -> forja_span

    package var byteCount: Int { chunks.elementCount * dtype.byteCount }

    /// Bytes that this rank sends, which are those it receives but for ragged chunks.
    package var sentByteCount: Int {
        let own = chunks[group.rank].count
        let scattered = chunks.elementCount - own
        let gathered = own * (chunks.rankCount - 1)
        switch operation {
        case .reduceScatter: return scattered * dtype.byteCount
        case .allGather: return gathered * dtype.byteCount
        case .allReduce: return (scattered + gathered) * dtype.byteCount
        }
    }

    func substituting(_ map: [Int: Int]) -> CollectiveDispatch {
        CollectiveDispatch(
            operation: operation, group: group, dtype: dtype, chunks: chunks, block: block,
            overlaps: overlaps, onlyInLastMicrostep: onlyInLastMicrostep,
            span: { span($0.substituting(map)) })
    }
}

extension StepGraph {
    /// Appends a collective over a tensor, in place. Over a group of one it appends nothing.
    ///
    /// Every rank records the same collectives in the same order, which is the order they run in.
    ///
    /// - Parameters:
    ///   - block: As `RankChunks` takes it.
    ///   - overlaps: Lets it run beside later dispatches. Only for tensors of variables: the arena gives a transient's
    ///     bytes to others.
    package func recordCollective(
        _ operation: CollectiveDispatch.Operation, on tensor: Tensor, over group: Collectives,
        block: Int = RankChunks.block, overlaps: Bool = false
    ) {
        guard group.rankCount > 1 else { return }
        append(
            collective(
                operation, tensor, group, block, overlaps: overlaps, onlyInLastMicrostep: false))
    }

    /// Puts a collective over the tensor of a variable right behind the last dispatch that writes to its memory, variables
    /// laid out with it included, in the last microstep only, overlapping what comes after. Over a group of one it puts
    /// nothing.
    package func insertCollective(
        _ operation: CollectiveDispatch.Operation, afterLastWriteOf tensor: Tensor,
        over group: Collectives
    ) {
        guard group.rankCount > 1 else { return }
        guard let variable = root(of: tensor.storage) else {
            preconditionFailure("\(storages[tensor.storage].name) is transient")
        }
        let parts = Set(storages.indices.filter { root(of: $0) === variable })
        guard let last = dispatches.lastIndex(where: { !parts.isDisjoint(with: $0.writes) }) else {
            preconditionFailure("nothing writes \(storages[tensor.storage].name)")
        }
        insert(
            collective(
                operation, tensor, group, RankChunks.block, overlaps: true,
                onlyInLastMicrostep: true), at: last + 1)
    }

    private func collective(
        _ operation: CollectiveDispatch.Operation, _ tensor: Tensor, _ group: Collectives,
        _ block: Int, overlaps: Bool, onlyInLastMicrostep: Bool
    ) -> Dispatch {
        if overlaps, case .transient = storages[tensor.storage].kind {
            preconditionFailure("a collective over a transient tensor cannot overlap")
        }
        let call = CollectiveDispatch(
            operation: operation, group: group, dtype: tensor.dtype,
            chunks: RankChunks(
                elementCount: tensor.elementCount, rankCount: group.rankCount, block: block),
            block: block, overlaps: overlaps, onlyInLastMicrostep: onlyInLastMicrostep,
            span: { $0[tensor] })
        return Dispatch(
            name: "\(operation.rawValue) \(storages[tensor.storage].name)",
            reads: [tensor.storage], writes: [tensor.storage], bytes: Double(tensor.byteCount),
            collective: call)
    }
}
