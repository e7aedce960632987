import ForjaCore
import ForjaParallel
import ForjaRuntime
import ForjaTraining
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

    /// Runs `body` as one rank of the processes that were joined, and leaves them; without any, just runs it. A failure ends
    /// every rank; an interruption, which all ranks have agreed on, does not need to.
    static func perform(on processes: MPIRun?, _ body: () throws -> Void) throws {
        guard let processes else { return try body() }
        do {
            try body()
        } catch let error as ForjaError where error.code == .interrupted {
            try processes.finish()
            // The first rank says why. Launchers end the others at the first exit code that is not 0.
            if processes.world.rank > 0 { Foundation.exit(0) }
            throw error
        } catch {
            processes.abort(
                error as? ForjaError ?? ForjaError(.inputOutput, String(describing: error)))
        }
        try processes.finish()
    }

    /// Reads a recipe whose mesh has one rank a process: with no degree given, all of them share out the data.
    static func recipe(
        _ path: String, overrides: [String], on processes: MPIRun?
    ) throws(ForjaError) -> Recipe {
        let recipe = try Recipe(contentsOf: path, overrides: overrides)
        guard let count = processes?.world.rankCount, recipe.mesh.rankCount != count else {
            return recipe
        }
        let mesh = recipe.mesh
        guard mesh.data == 1, count % mesh.tensor == 0 else {
            throw ForjaError(
                .invalidInput,
                "the mesh is \(mesh.description), \(mesh.rankCount) ranks, and the launcher "
                    + "started \(count) processes",
                fix: "start \(mesh.rankCount) processes, or set parallel.data and parallel.tensor "
                    + "so that their product is \(count)")
        }
        return try Recipe(
            contentsOf: path, overrides: overrides + ["parallel.data=\(count / mesh.tensor)"])
    }

    /// The first rank's value of something that may differ, such as a name with a date.
    static func agreed(_ text: String, on processes: MPIRun?) throws(ForjaError) -> String {
        guard let processes else { return text }
        return try Collectives(processes.world).gather(text)[0]
    }

    /// Runs `body` on the first rank and, once that has what all need, on the others.
    static func firstThenOthers<Result>(
        on processes: MPIRun?, _ body: (_ isFirst: Bool) throws -> Result
    ) throws -> Result {
        guard let processes else { return try body(true) }
        let isFirst = processes.world.rank == 0
        if !isFirst { try processes.world.barrier() }
        let result = try body(isFirst)
        if isFirst { try processes.world.barrier() }
        return result
    }

    /// The sum over processes of a number that each may have.
    static func total(_ value: Double?, on processes: MPIRun?) throws(ForjaError) -> Double? {
        guard let processes else { return value }
        let values = try Collectives(processes.world).gather(value ?? .nan)
        return values.contains { $0.isNaN } ? nil : values.reduce(0, +)
    }
}
