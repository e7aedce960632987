import ForjaCore
import ForjaParallel
import ForjaRuntime
import Foundation

/// The ranks of a command: the processes that an MPI launcher started, or threads of this one.
enum Ranks {
    /// Joins the other processes when a launcher started this one, and lets rank 0 alone print. Call first of all, so that
    /// what fails later ends every rank.
    static func join() throws(ForjaError) -> MPIRun? {
        guard let launch = Launch(environment: ProcessInfo.processInfo.environment) else {
            return nil
        }
        let run = try MPIRun.start(
            launch, version: "\(BuildInformation.version), kernels \(Device.kernelsHash)")
        if run.world.rank > 0 { Console.silence() }
        return run
    }

    /// Runs `body` as one rank of those that `run` joined, and leaves them. A failure ends every rank; an interruption, which
    /// all ranks have agreed on, does not need to.
    static func perform(on run: MPIRun, _ body: () throws -> Void) throws(ForjaError) {
        do {
            try body()
        } catch let error as ForjaError where error.code == .interrupted {
            try run.finish()
            throw error
        } catch {
            run.abort(
                error as? ForjaError ?? ForjaError(.inputOutput, String(describing: error)))
        }
        try run.finish()
    }
}
