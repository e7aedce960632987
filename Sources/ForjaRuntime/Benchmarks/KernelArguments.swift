import CForja
import ForjaCore

/// An argument struct of the engine whose calls can be benchmarked: `forja_rmsnorm_args`.
protocol KernelArguments {
    /// "rmsnorm_forward".
    var operation: String { get }
    /// "2048x256". Peers read it: `Benchmarks/peers/rows.py` knows the forms.
    var shape: String { get }
    /// The type of its tensors in memory.
    var storage: forja_dtype { get }
    /// Floating-point operations where arithmetic limits the call; `nil` where memory does.
    var flops: Double? { get }
    static var function: (OpaquePointer?, UnsafePointer<Self>?) -> forja_status { get }

    /// Gives every span that is there an operand of its own.
    mutating func place(in operands: KernelOperands) throws(ForjaError)
    /// Makes operands that follow from others; called once, when all are placed.
    func prepare(_ operands: KernelOperands) throws(ForjaError)
    /// The largest relative error of what one call left in `operands`, against float64.
    func error(in operands: KernelOperands) throws(ForjaError) -> Double
}

extension KernelArguments {
    var flops: Double? { nil }
    func prepare(_ operands: KernelOperands) throws(ForjaError) {}

    func run(on queue: Queue) throws(ForjaError) {
        try engineCheck(withUnsafePointer(to: self) { Self.function(queue.handle, $0) })
    }
}

/// A call that a step makes, without operands.
public struct KernelCall {
    let arguments: any KernelArguments
    /// How often one step makes it; 0 for a call that no step makes.
    public internal(set) var count: Int

    /// `nil` for arguments of an operation that has no benchmark.
    init?(_ arguments: Any, count: Int = 1) {
        guard let arguments = arguments as? any KernelArguments else { return nil }
        self.arguments = arguments
        self.count = count
    }

    init(alone arguments: some KernelArguments) {
        self.arguments = arguments
        count = 0
    }

    public var operation: String { arguments.operation }
    public var shape: String { arguments.shape }
    public var dtype: DType { DType(arguments.storage) }
}

extension KernelCall {
    /// Operations that a training step does not make by themselves, at its sizes: softmax over a chunk of logits, and the
    /// conversion of a weight.
    public static func besideStep(
        logitRows: Int, vocabulary: Int, weightCount: Int, dtype: DType
    ) -> [KernelCall] {
        var forward = forja_softmax_args()
        forward.dtype = dtype.engine
        (forward.rows, forward.width) = (UInt64(logitRows), UInt64(vocabulary))
        var backward = forja_softmax_backward_args()
        backward.dtype = dtype.engine
        (backward.rows, backward.width) = (forward.rows, forward.width)
        var cast = forja_cast_args()
        (cast.from, cast.to, cast.count) = (
            FORJA_DTYPE_F32, FORJA_DTYPE_BF16, UInt64(weightCount)
        )
        return [KernelCall(alone: forward), KernelCall(alone: backward), KernelCall(alone: cast)]
    }
}

extension Scheduler {
    /// The calls of the graphs that have benchmarks, each once, in the order of their first.
    public var kernelCalls: [KernelCall] {
        var places: [[String]: Int] = [:]
        var calls: [KernelCall] = []
        for arguments in recordedArguments {
            guard let call = KernelCall(arguments) else { continue }
            let key = [call.operation, call.shape, "\(call.dtype)"]
            if let place = places[key] {
                calls[place].count += 1
            } else {
                places[key] = calls.count
                calls.append(call)
            }
        }
        return calls
    }
}
