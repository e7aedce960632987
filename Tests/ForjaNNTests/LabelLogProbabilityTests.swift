import ForjaCore
import ForjaNN
import ForjaRuntime
import ForjaTestSupport
import Testing

/// The loss core in a graph: the two-pass form against central differences and against the fused form.
@Suite("Label log-probability", .serialized)
struct LabelLogProbabilityTests {
    /// N = 8 rows in chunks of 3, so that the last chunk is short; C = 5, V = 7; two rows without a label.
    static let shape = (rows: 8, width: 5, vocabulary: 7)
    static let labels: [Int32] = [3, 0, -100, 6, 2, 2, -100, 5]
    static let logitScale: Float = 0.7
    static let chunking = HeadChunking(rows: 3)

    enum Form: CaseIterable { case forward, fused, twoPass }

    struct Outcome {
        var logProbability: [Float] = []
        var hiddenGradient: [Float] = []
        var weightGradient: [Float] = []
    }

    /// Log-probabilities and, but for `forward`, gradients of Σ lossGradient · log p.
    func run(
        _ form: Form, hidden: [Float], weight: [Float], lossGradient: [Float], queue: Queue
    ) throws -> Outcome {
        let (rows, width, vocabulary) = Self.shape
        let variable = { (name: String, shape: Shape) in
            Variable(name: name, shape: shape, dtype: .float32)
        }
        let hiddenVariable = variable("hidden", [rows, width])
        let weightVariable = variable("head", [vocabulary, width])
        let labels = Variable(name: "labels", shape: [rows], dtype: .int32)
        let gradient = variable("dLoss/dLogProb", [rows])
        let result = variable("result", [rows])
        let hiddenGradient = variable("hidden gradient", [rows, width])
        let weightGradient = variable("head gradient", [vocabulary, width])

        let graph = StepGraph()
        let x = graph.tensor(hiddenVariable)
        let head = graph.tensor(weightVariable)
        if form != .forward {
            graph.collectGradient(of: x, in: hiddenGradient)
            graph.collectGradient(of: head, in: weightGradient)
        }
        let logSumExp = graph.transient("log-sum-exp", [rows], .float32)
        let logProbability = try graph.labelLogProbability(
            hidden: x, weight: head, labels: graph.tensor(labels),
            gradient: form == .fused ? graph.tensor(gradient) : nil,
            logitScale: Self.logitScale, logSumExp: form == .twoPass ? logSumExp : nil,
            chunking: Self.chunking)
        graph.copy(logProbability, into: result)
        if form == .twoPass {
            try graph.labelLogProbabilityBackward(
                hidden: x, weight: head, labels: graph.tensor(labels), logSumExp: logSumExp,
                gradient: graph.tensor(gradient), logitScale: Self.logitScale,
                chunking: Self.chunking)
        }
        if form != .forward { try graph.backward() }

        let scheduler = Scheduler(queue: queue)
        let id = try scheduler.add(graph)
        try scheduler.prepare()
        try hiddenVariable.write(hidden, on: queue)
        try weightVariable.write(weight, on: queue)
        try labels.write(Self.labels, on: queue)
        if form != .forward { try gradient.write(lossGradient, on: queue) }
        try scheduler.run(id)
        var outcome = Outcome(logProbability: try result.read(Float.self, on: queue))
        if form != .forward {
            outcome.hiddenGradient = try hiddenGradient.read(Float.self, on: queue)
            outcome.weightGradient = try weightGradient.read(Float.self, on: queue)
        }
        return outcome
    }

    /// Numbers in −1 ..< 1.
    func numbers(_ count: Int, stream: UInt32) -> [Float] {
        let random = CounterRandom(seed: 11, purpose: .data, stream: stream)
        return (0..<count).map { Float(random.uniform(at: UInt64($0)) * 2 - 1) }
    }

    var hidden: [Float] { numbers(Self.shape.rows * Self.shape.width, stream: 0) }
    var weight: [Float] { numbers(Self.shape.vocabulary * Self.shape.width, stream: 1) }

    @Test("the two-pass form's gradients are those of differences", arguments: TestedDevice.all)
    func twoPassMatchesDifferences(device: TestedDevice) throws {
        let queue = try device.queue()
        let lossGradient = numbers(Self.shape.rows, stream: 2)
        let seen = try run(
            .twoPass, hidden: hidden, weight: weight, lossGradient: lossGradient, queue: queue)
        func loss(_ hidden: [Float], _ weight: [Float]) throws -> Double {
            let outcome = try run(
                .forward, hidden: hidden, weight: weight, lossGradient: [], queue: queue)
            return zip(outcome.logProbability, lossGradient).reduce(0) {
                $0 + Double($1.0) * Double($1.1)
            }
        }
        let step: Float = 1e-2
        /// Central difference with respect to element `place` of `values`.
        func slope(
            _ values: [Float], _ place: Int, _ loss: ([Float]) throws -> Double
        ) throws -> Double {
            var values = values
            let original = values[place]
            values[place] = original + step
            let above = try loss(values)
            values[place] = original - step
            return (above - (try loss(values))) / (2 * Double(step))
        }
        // Differences lose about step² / 6 and float32's rounding over the step: 1e-3 holds both.
        for place in stride(from: 0, to: hidden.count, by: 3) {
            let numeric = try slope(hidden, place) { try loss($0, weight) }
            #expect(abs(numeric - Double(seen.hiddenGradient[place])) < 1e-3, "hidden \(place)")
        }
        for place in stride(from: 0, to: weight.count, by: 3) {
            let numeric = try slope(weight, place) { try loss(hidden, $0) }
            #expect(abs(numeric - Double(seen.weightGradient[place])) < 1e-3, "head \(place)")
        }
    }

    @Test("at weight 1 both forms give the same", arguments: TestedDevice.all)
    func twoPassEqualsFused(device: TestedDevice) throws {
        let queue = try device.queue()
        let ones = [Float](repeating: 1, count: Self.shape.rows)
        let fused = try run(
            .fused, hidden: hidden, weight: weight, lossGradient: ones, queue: queue)
        let twoPass = try run(
            .twoPass, hidden: hidden, weight: weight, lossGradient: ones, queue: queue)
        #expect(fused.logProbability == twoPass.logProbability)
        // A few roundings of values near 1: the fused form takes its softmax from the running sum, the second pass
        // from the stored log-sum-exp.
        #expect(largestDifference(fused.hiddenGradient, twoPass.hiddenGradient) < 2e-6)
        #expect(largestDifference(fused.weightGradient, twoPass.weightGradient) < 2e-6)
        #expect(fused.hiddenGradient.contains { abs($0) > 0.1 })
        for row in [2, 6] {
            #expect(twoPass.logProbability[row] == 0)
            let places = row * Self.shape.width..<(row + 1) * Self.shape.width
            #expect(twoPass.hiddenGradient[places].allSatisfy { $0 == 0 })
        }
    }

    @Test("tensors that do not fit are refused with their shapes")
    func refusesWrongShapes() throws {
        let graph = StepGraph()
        let hidden = graph.transient("hidden", [8, 5], .float32)
        let head = graph.transient("head", [7, 5], .float32)
        let rows = graph.transient("rows", [8], .float32)
        let short = graph.transient("short", [7], .float32)
        let error = #expect(throws: ForjaError.self) {
            try graph.labelLogProbabilityBackward(
                hidden: hidden, weight: head, labels: rows, logSumExp: short, gradient: rows)
        }
        #expect(error?.code == .shapeMismatch)
        #expect(error?.message.contains("\(short.shape)") == true)
        #expect(throws: ForjaError.self) {
            _ = try graph.labelLogProbability(hidden: hidden, weight: rows, labels: rows)
        }
    }
}
