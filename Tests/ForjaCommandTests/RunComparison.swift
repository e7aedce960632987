import Testing

extension Workspace {
    /// Expects two runs of `steps` steps to have the same losses and, byte for byte, the same weights and moments.
    func expectEqualRuns(
        _ a: String, _ b: String, steps: Int, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let losses = stepMetrics(a).compactMap(\.loss)
        #expect(losses.count == steps, sourceLocation: sourceLocation)
        #expect(stepMetrics(a) == stepMetrics(b), sourceLocation: sourceLocation)
        for name in ["model.safetensors", "optimizer.safetensors"] {
            let file = "checkpoints/step-\(steps)/\(name)"
            #expect(
                try data("\(a)/\(file)") == data("\(b)/\(file)"), "\(b): \(name)",
                sourceLocation: sourceLocation)
        }
    }
}
