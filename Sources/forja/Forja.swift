import ArgumentParser
import ForjaCore
import ForjaTraining
import Foundation

/// The command line: arguments in, exit code out.
@main
struct Forja: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "forja",
        abstract: "Trains open language models end to end, on any OpenCL device or the CPU.",
        discussion: """
            Results go to standard output, progress and logs to standard error.
            Exit status: 0 done, 1 failed, 64 wrong usage, 130 train interrupted and saved, or generate or eval interrupted.

              forja train recipes/quickstart.yaml --run-dir runs/first
              forja generate --model runs/first --prompt "ROMEO:"
            """,
        version: BuildInformation.text,
        subcommands: [
            DevicesCommand.self, TrainCommand.self, RunCommand.self, PlanCommand.self,
            GenerateCommand.self,
            ScoreCommand.self, TokenizerCommand.self, DataCommand.self, BenchCommand.self,
            ConvertCommand.self, TuneCommand.self, VerifyCommand.self, EvalCommand.self,
            RehearseCommand.self,
        ])

    static func main() {
        prepareSignals()
        do {
            var command = try parseAsRoot()
            try command.run()
        } catch let error as ForjaError {
            Console.error(error)
            Foundation.exit(error.code == .interrupted ? 130 : 1)
        } catch {
            exit(withError: error)
        }
    }

    /// Leaves SIGINT and SIGTERM to end the process, which commands with something to save change by
    /// `Interruption.listen`, and turns signals about writing into errors of the write.
    private static func prepareSignals() {
        // A parent may start this process from a thread that blocks signals, and the mask is inherited.
        var heard = sigset_t()
        sigemptyset(&heard)
        for number in [SIGINT, SIGTERM] { sigaddset(&heard, number) }
        pthread_sigmask(SIG_UNBLOCK, &heard, nil)
        // EFBIG and EPIPE then: the first names the file, the second `Console` passes over.
        for number in [SIGXFSZ, SIGPIPE] { signal(number, SIG_IGN) }
    }
}
