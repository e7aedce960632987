import ForjaTraining
import Foundation

/// Shows a run on standard error: one line that renews itself on a terminal, plain lines elsewhere.
final class ConsoleObserver: TrainingObserver {
    /// Steps between plain lines.
    private let everySteps: Int
    private var hasStatus = false
    private var lastValidation: Double?

    init(everySteps: Int = 1) { self.everySteps = everySteps }

    func note(_ text: String) {
        clearStatus()
        Console.note(text)
    }

    func progress(_ progress: TrainingProgress) {
        let line = Self.line(progress)
        let isNewValidation = progress.validationLoss != lastValidation
        lastValidation = progress.validationLoss
        let isLast = progress.step == progress.maxSteps
        if Console.isInteractive, !isNewValidation, !isLast {
            Console.status(line)
            hasStatus = true
        } else if isNewValidation || isLast || progress.step == 1
            || progress.step % everySteps == 0
        {
            clearStatus()
            Console.note(line)
        }
    }

    func sample(_ text: String, step: Int) {
        clearStatus()
        Console.note("── sample at step \(step) " + String(repeating: "─", count: 40))
        Console.note(text)
        Console.note(String(repeating: "─", count: 60))
    }

    /// Leaves the cursor on a line of its own.
    func end() { clearStatus() }

    private func clearStatus() {
        guard hasStatus else { return }
        Console.status("")
        hasStatus = false
    }

    private static func line(_ progress: TrainingProgress) -> String {
        var parts = [
            "step \(progress.step)/\(progress.maxSteps)",
            String(format: "loss %.4f", progress.loss),
        ]
        if let validation = progress.validationLoss {
            parts.append(String(format: "val %.4f", validation))
        }
        parts += [
            String(format: "lr %.2e", progress.learningRate),
            String(format: "norm %.2f", progress.gradientNorm),
            String(format: "%.0f tokens/s", progress.tokensPerSecond),
            progress.modelFlopsUtilization.map { String(format: "MFU %.0f %%", $0 * 100) }
                ?? "MFU n/a",
            "ETA \(duration(progress.secondsLeft))",
        ]
        return parts.joined(separator: "  ")
    }

    private static func duration(_ seconds: Double) -> String {
        let total = Int(seconds.rounded())
        return total < 3600
            ? String(format: "%d:%02d", total / 60, total % 60)
            : String(format: "%d:%02d:%02d", total / 3600, total / 60 % 60, total % 60)
    }
}
