import CMPI
import ForjaCore
import ForjaRuntime
import Synchronization

/// A rank's place in a group of processes under MPI.
///
/// MPI moves data only while a process is inside it, so a call waits there until its part is done; communication that
/// shall overlap with computing needs a thread of its own. The shim enters MPI one thread at a time, so groups that belong
/// to different threads may wait at once.
///
/// Groups live as long as the process: freeing one is a call that all its ranks would have to make at the same moment.
final class MPICommunicator: Communicator, @unchecked Sendable {
    let rank: Int
    let rankCount: Int
    let progress: RankProgress
    private let group: OpaquePointer
    /// Every member's place in the world, and its host.
    private let members: [RankProgress]
    /// What other ranks sent in an exchange, one after the other. One thread at a time calls, so one is enough.
    private var staging = UnsafeMutableRawBufferPointer(start: nil, count: 0)
    private let failure: Failure

    /// The first failure of any group of this process; every later call throws it.
    private final class Failure: Sendable {
        let first = Mutex<ForjaError?>(nil)
    }

    /// The group of all ranks.
    static func world() throws(ForjaError) -> MPICommunicator {
        var group: OpaquePointer?
        try mpiCheck(forja_mpi_group_create(&group))
        let rank = Int(forja_mpi_group_get_rank(group))
        var name = [CChar](repeating: 0, count: 256)
        try mpiCheck(forja_mpi_get_host_name(&name, name.count))
        let host = String(
            decoding: name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        // Until the hosts are known, members are named by rank alone.
        let unnamed = (0..<Int(forja_mpi_group_get_size(group))).map {
            RankProgress(rank: $0, host: $0 == rank ? host : "another host")
        }
        let failure = Failure()
        let first = MPICommunicator(
            group: group!, members: unnamed, progress: unnamed[rank], failure: failure)
        let hosts = try Collectives(first).gather(host)
        let members = hosts.enumerated().map {
            $0.offset == rank
                ? first.progress : RankProgress(rank: $0.offset, host: $0.element)
        }
        return MPICommunicator(
            group: group!, members: members, progress: first.progress, failure: failure)
    }

    private init(
        group: OpaquePointer, members: [RankProgress], progress: RankProgress, failure: Failure
    ) {
        self.group = group
        self.members = members
        self.progress = progress
        self.failure = failure
        rank = Int(forja_mpi_group_get_rank(group))
        rankCount = Int(forja_mpi_group_get_size(group))
    }

    deinit { staging.deallocate() }

    func exchange(
        _ bytes: UnsafeRawBufferPointer, bounds: [Int],
        _ body: (_ chunks: [UnsafeRawBufferPointer]) -> Void
    ) throws(ForjaError) {
        let own = bounds[rank]..<bounds[rank + 1]
        if staging.count < own.count * rankCount {
            staging.deallocate()
            staging = .allocate(byteCount: own.count * rankCount, alignment: 64)
        }
        // A rank's own chunk stays where it is.
        let chunks = (0..<rankCount).map { other in
            other == rank
                ? UnsafeRawBufferPointer(rebasing: bytes[own])
                : UnsafeRawBufferPointer(
                    rebasing: staging[other * own.count..<(other + 1) * own.count])
        }
        try check("exchange") {
            move(
                sends: (0..<rankCount).map {
                    UnsafeRawBufferPointer(rebasing: bytes[bounds[$0]..<bounds[$0 + 1]])
                },
                receives: chunks)
        }
        body(chunks)
    }

    func allGather(_ bytes: UnsafeMutableRawBufferPointer, bounds: [Int]) throws(ForjaError) {
        let parts = (0..<rankCount).map {
            UnsafeRawBufferPointer(rebasing: bytes[bounds[$0]..<bounds[$0 + 1]])
        }
        try check("all-gather") {
            move(sends: Array(repeating: parts[rank], count: rankCount), receives: parts)
        }
    }

    func broadcast(
        _ bytes: UnsafeMutableRawBufferPointer, from root: Int
    ) throws(ForjaError) {
        try check("broadcast") {
            forja_mpi_broadcast(group, Int32(root), bytes.baseAddress, bytes.count)
        }
    }

    func barrier() throws(ForjaError) {
        try check("barrier") { forja_mpi_barrier(group) }
    }

    func split(color: Int) throws(ForjaError) -> any Communicator {
        // MPI splits without a timeout, so nobody begins before all are here.
        try barrier()
        let colors = try Collectives(self).gather(color)
        var made: OpaquePointer?
        try check("split") {
            forja_mpi_group_split(&made, group, Int32(color), Int32(rank))
        }
        let same = members.indices.filter { colors[$0] == color }
        return MPICommunicator(
            group: made!, members: same.map { members[$0] }, progress: progress, failure: failure)
    }

    /// The ranks that share this one's host, as a group. Every rank calls it.
    func splitByHost() throws(ForjaError) -> MPICommunicator {
        var made: OpaquePointer?
        try check("split by host") { forja_mpi_group_split_by_host(&made, group) }
        let ranks = try Collectives(
            MPICommunicator(
                group: made!, members: Array(repeating: progress, count: rankCount),
                progress: progress, failure: failure)
        ).gather(rank)
        return MPICommunicator(
            group: made!, members: ranks.map { members[$0] }, progress: progress, failure: failure)
    }

    /// Says why on standard error and ends every process of the run, this one included.
    func abort(_ reason: ForjaError) {
        MPIRun.abort(reason, progress: progress)
    }

    // MARK: the shim

    /// Entry r of `sends` to rank r, entry r of `receives` from rank r.
    private func move(
        sends: [UnsafeRawBufferPointer], receives: [UnsafeRawBufferPointer]
    ) -> forja_mpi_status {
        let addresses = sends.map(\.baseAddress)
        let targets = receives.map { UnsafeMutableRawPointer(mutating: $0.baseAddress) }
        var sendSizes = sends.map(\.count)
        let receiveSizes = receives.map(\.count)
        // Every implementation leaves a rank's own chunk in place.
        sendSizes[rank] = receiveSizes[rank]
        return forja_mpi_exchange(group, addresses, sendSizes, targets, receiveSizes)
    }

    private func check(_ operation: String, _ call: () -> forja_mpi_status) throws(ForjaError) {
        if let failure = failure.first.withLock({ $0 }) { throw failure }
        let status = call()
        guard status != FORJA_MPI_OK else { return }
        let error =
            status == FORJA_MPI_ERROR_TIMEOUT
            ? absence(from: operation)
            : ForjaError(
                .rankFailed, "\(operation): \(String(cString: forja_mpi_last_error()))",
                fix: "see what the other ranks say, then continue with --resume")
        throw failure.first.withLock { first in
            first = first ?? error
            return first!
        }
    }

    private func absence(from operation: String) -> ForjaError {
        let absent = members.indices
            .filter { forja_mpi_group_is_absent(group, Int32($0)) }
            .map {
                progress.lastHeartbeat(of: members[$0].rank)
                    ?? "rank \(members[$0].rank) on \(members[$0].host)"
            }
        return ForjaError(
            .rankFailed,
            "\(absent.isEmpty ? "some ranks" : absent.joined(separator: ", ")): not at "
                + "\(operation): \(String(cString: forja_mpi_last_error()))",
            fix: "continue with --resume; raise parallel.timeout_seconds if it was only slow")
    }
}

/// Turns a status of the shim and the thread's message into a `ForjaError`; call it on the thread that made the call.
func mpiCheck(_ status: forja_mpi_status) throws(ForjaError) {
    guard status != FORJA_MPI_OK else { return }
    throw ForjaError(.rankFailed, String(cString: forja_mpi_last_error()))
}
