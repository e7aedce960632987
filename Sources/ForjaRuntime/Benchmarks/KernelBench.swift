import CForja
import ForjaCore

/// What one call of an operation came to.
public struct KernelMeasurement: Sendable {
    public let operation: String
    public let shape: String
    public let dtype: DType
    /// How often a training step makes the call; 0: never.
    public let callsPerStep: Int
    public let variant: String
    /// Of one call, the median of the calmest of five bursts.
    public let seconds: Double
    /// One of the two: what limits the operation.
    public let flopsPerSecond: Double?
    public let bytesPerSecond: Double?
    /// Of the device's multiply-adds, or of a copy of the same number of bytes. `nil` on matrix units, whose peak is
    /// not measured.
    public let fractionOfPeak: Double?
    /// The largest relative error of an output, against float64.
    public let error: Double
    /// The copy's speed, measured in turn with the operation.
    public let copyBytesPerSecond: Double?
    /// The same product by one call of the host's BLAS, measured in turn; `nil` where kernels do not run on the host's
    /// cores, and for bf16.
    public let blasSeconds: Double?
}

/// Measures calls on one device.
public final class KernelBench {
    private let queue: Queue
    private let timer: KernelTimer
    /// Runs BLAS, where the device computes on the host's cores.
    private let host: Queue?
    /// FLOP/s of multiply-adds in registers.
    public let peakFlopsPerSecond: Double
    /// Bytes read and written per second by a copy too large for caches.
    public let peakBytesPerSecond: Double

    /// Measures the device's peaks.
    ///
    /// - Parameter secondsPerRow: Spent on each measured thing, at the least ten samples.
    public init(queue: Queue, secondsPerRow: Double) throws(ForjaError) {
        self.queue = queue
        timer = KernelTimer(secondsPerRow: secondsPerRow)
        let device = queue.device.description
        switch device.kind {
        case .host: host = queue
        case .openCLCPU:
            host = try Queue(device: .host(threadCount: device.threadCount))
        case .openCLGPU, .openCLAccelerator: host = nil
        }
        forja_blas_end_threads()
        peakFlopsPerSecond = try Self.multiplyAddSpeed(queue, timer)
        let bytes = min(1 << 28, device.maxAllocationBytes / 2, device.memoryBytes / 8)
        let copy = try Copy(byteCount: bytes, on: queue)
        peakBytesPerSecond = Double(bytes) / (try timer.medians(of: [copy.work])[0])
    }

    private static func multiplyAddSpeed(
        _ queue: Queue, _ timer: KernelTimer
    ) throws(ForjaError) -> Double {
        // Thousands of chains for each thread, thousands of steps for each chain.
        let count = queue.device.description.threadCount * 19_200
        let steps = 4096
        let out = try NumberBuffer([Float](repeating: 0, count: count), as: .float32, on: queue)
        let arguments = forja_multiply_add_args(
            out: out.span, count: UInt64(count), steps: UInt64(steps), factor: 0.5, addend: 1)
        let work = KernelTimer.Work(
            run: { () throws(ForjaError) in
                try engineCheck(
                    withUnsafePointer(to: arguments) { forja_multiply_add(queue.handle, $0) })
            }, wait: { () throws(ForjaError) in try queue.finish() })
        return 2 * Double(count) * Double(steps) / (try timer.medians(of: [work])[0])
    }

    /// - Throws: `.device` when the call's result is no number.
    public func measure(_ call: KernelCall) throws(ForjaError) -> KernelMeasurement {
        do throws(ForjaError) {
            return try measure(call.arguments, of: call)
        } catch {
            var named = error
            named.message = "\(call.operation) \(call.shape): \(error.message)"
            throw named
        }
    }

    private func measure(
        _ recorded: some KernelArguments, of call: KernelCall
    ) throws(ForjaError) -> KernelMeasurement {
        let operands = KernelOperands(on: queue)
        var arguments = recorded
        try arguments.place(in: operands)
        try arguments.prepare(operands)
        try arguments.run(on: queue)
        let error = try arguments.error(in: operands)
        guard error.isFinite else {
            throw ForjaError(
                .device, "the device leaves results that are not finite",
                fix: "update the driver, or use --device cpu")
        }
        let variant = try variant(of: arguments)
        var works = [work(arguments, with: operands)]
        var copy: Copy?
        if arguments.flops == nil {
            let made = try Copy(byteCount: operands.movedByteCount, on: queue)
            works.append(made.work)
            copy = made
        }
        let blas = try blasWork(recorded)
        if let blas { works.append(blas) }
        let seconds = try timer.medians(of: works)
        let (flops, bytes) = (arguments.flops, Double(operands.movedByteCount))
        let fraction =
            if let flops {
                variant.usesMatrixUnits ? nil : flops / seconds[0] / peakFlopsPerSecond
            } else {
                seconds[1] / seconds[0] * bytes / Double(copy!.byteCount)
            }
        return KernelMeasurement(
            operation: call.operation, shape: call.shape, dtype: call.dtype,
            callsPerStep: call.count, variant: variant.identifier, seconds: seconds[0],
            flopsPerSecond: flops.map { $0 / seconds[0] },
            bytesPerSecond: flops == nil ? bytes / seconds[0] : nil, fractionOfPeak: fraction,
            error: error, copyBytesPerSecond: copy.map { Double($0.byteCount) / seconds[1] },
            blasSeconds: blas == nil ? nil : seconds[1])
    }

    /// The operands live as long as the work.
    private func work(
        _ arguments: some KernelArguments, with operands: KernelOperands
    ) -> KernelTimer.Work {
        KernelTimer.Work(
            run: { () throws(ForjaError) in try arguments.run(on: operands.queue) },
            wait: { () throws(ForjaError) in try operands.queue.finish() })
    }

    private func variant(of arguments: some KernelArguments) throws(ForjaError) -> KernelVariant {
        if let call = VariantCall(arguments) { return try call.variant(on: queue.device) }
        var found = forja_variant()
        try engineCheck(forja_variant_query(&found, queue.device.handle, FORJA_OP_ROWS, nil))
        return KernelVariant(found)
    }

    /// The same product by BLAS, with operands of its own.
    private func blasWork(
        _ recorded: some KernelArguments
    ) throws(ForjaError) -> KernelTimer.Work? {
        guard let host, var product = recorded as? forja_matmul_args,
            product.input_dtype == FORJA_DTYPE_F32, product.output_dtype == FORJA_DTYPE_F32
        else { return nil }
        let operands = KernelOperands(on: host)
        try product.place(in: operands)
        let arguments = product
        return KernelTimer.Work(
            run: { () throws(ForjaError) in
                try engineCheck(
                    withUnsafePointer(to: arguments) {
                        forja_blas_matmul(operands.queue.handle, $0)
                    })
            }, wait: { () throws(ForjaError) in }, warmUp: 0.04, end: forja_blas_end_threads)
    }
}

/// A copy by the engine's own kernel: half the bytes are read, half written.
private struct Copy {
    let byteCount: Int
    private let source, destination: Buffer
    private let arguments: forja_cast_args
    private let queue: Queue

    init(byteCount: Int, on queue: Queue) throws(ForjaError) {
        let count = max(1, byteCount / 8)
        self.byteCount = 8 * count
        self.queue = queue
        source = try Buffer(device: queue.device, byteCount: 4 * count)
        destination = try Buffer(device: queue.device, byteCount: 4 * count)
        // Memory that nobody has written may be one page of zeros many times over.
        try queue.fill(source, at: 0, byteCount: 4 * count, with: 0x3f)
        try queue.fill(destination, at: 0, byteCount: 4 * count, with: 0x3f)
        arguments = forja_cast_args(
            from: FORJA_DTYPE_F32, to: FORJA_DTYPE_F32,
            source: forja_span(buffer: source.handle, offset: 0),
            destination: forja_span(buffer: destination.handle, offset: 0), count: UInt64(count))
    }

    var work: KernelTimer.Work {
        KernelTimer.Work(
            run: { () throws(ForjaError) in try arguments.run(on: queue) },
            wait: { () throws(ForjaError) in try queue.finish() })
    }
}

extension KernelVariant {
    /// Products of matrix units, whose peak the multiply-adds of `KernelBench` are not.
    var usesMatrixUnits: Bool {
        ["xmx", "amd_", "nv_"].contains { identifier.hasPrefix($0) }
    }
}
