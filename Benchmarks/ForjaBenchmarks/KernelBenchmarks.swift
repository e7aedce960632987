import Benchmark
import CForja
import Foundation

/// One device of the C engine with a queue, and buffers for one operation's operands.
private final class KernelBench {
    let queue: OpaquePointer
    private let device: OpaquePointer
    private var buffers: [OpaquePointer] = []

    struct Refused: Error, CustomStringConvertible {
        let description: String
    }

    init(_ choice: BenchmarkedDevice) throws {
        var device: OpaquePointer?
        switch choice {
        case .cpu: try Self.check(forja_device_open_host(&device, 0))
        case .opencl: try Self.check(forja_device_open_opencl(&device, 0))
        }
        self.device = device!
        var queue: OpaquePointer?
        try Self.check(forja_queue_create(&queue, device))
        self.queue = queue!
    }

    deinit {
        for buffer in buffers { forja_buffer_free(buffer) }
        forja_queue_free(queue)
        forja_device_free(device)
    }

    static func check(_ status: forja_status) throws {
        guard status == FORJA_OK else {
            throw Refused(description: String(cString: forja_last_error()))
        }
    }

    /// A buffer of float32, all `value`.
    func span(_ count: Int, of value: Float = 0.01) throws -> forja_span {
        var buffer: OpaquePointer?
        let values = [Float](repeating: value, count: count)
        try Self.check(forja_buffer_create(&buffer, device, UInt64(count * 4)))
        buffers.append(buffer!)
        try Self.check(forja_buffer_write(queue, buffer, 0, values, UInt64(count * 4)))
        return forja_span(buffer: buffer, offset: 0)
    }

    var counters: forja_queue_counters {
        var counters = forja_queue_counters()
        forja_queue_get_counters(&counters, queue)
        return counters
    }
}

/// An operation with its operands allocated: runs once and does not wait.
private typealias Call = () -> forja_status

/// The operations of a step of the shape `small`: 8 sequences of 256 rows, C 256, F 768, V 4096.
private let operations: [(name: String, make: @Sendable (KernelBench) throws -> Call)] = [
    ("matmul-nt-2048x512x256", { try matmul($0, FORJA_MATMUL_NT, m: 2048, n: 512, k: 256) }),
    ("matmul-nn-2048x256x768", { try matmul($0, FORJA_MATMUL_NN, m: 2048, n: 256, k: 768) }),
    ("matmul-tn-4096x256x2048", { try matmul($0, FORJA_MATMUL_TN, m: 4096, n: 256, k: 2048) }),
    ("attention-forward-8x256x8x4x32", attentionForward),
    ("attention-backward-8x256x8x4x32", attentionBackward),
    (
        "rmsnorm-forward-2048x256",
        { bench in
            var args = forja_rmsnorm_args()
            (args.x, args.y) = (try bench.span(2048 * 256), try bench.span(2048 * 256))
            (args.weight, args.rstd) = (try bench.span(256), try bench.span(2048))
            (args.rows, args.width, args.epsilon) = (2048, 256, 1e-5)
            return { [queue = bench.queue] in forja_rmsnorm_forward(queue, &args) }
        }
    ),
    (
        "swiglu-forward-2048x768",
        { bench in
            var args = forja_swiglu_args()
            (args.x, args.y) = (try bench.span(2048 * 1536), try bench.span(2048 * 768))
            (args.rows, args.width) = (2048, 768)
            return { [queue = bench.queue] in forja_swiglu_forward(queue, &args) }
        }
    ),
    (
        "adamw-4096x256",
        { bench in
            var args = forja_adamw_args()
            let count = 4096 * 256
            (args.weight, args.gradient) = (try bench.span(count), try bench.span(count))
            (args.m, args.v) = (try bench.span(count), try bench.span(count))
            args.scalars = try bench.span(16, of: 1)
            args.count = UInt64(count)
            (args.beta1, args.beta2, args.epsilon, args.weight_decay) = (0.9, 0.95, 1e-8, 0.1)
            return { [queue = bench.queue] in forja_adamw(queue, &args) }
        }
    ),
]

private func matmul(
    _ bench: KernelBench, _ layout: forja_matmul_layout, m: Int, n: Int, k: Int
) throws -> Call {
    var args = forja_matmul_args()
    args.layout = layout
    (args.a, args.b) = (try bench.span(m * k), try bench.span(k * n))
    args.c = try bench.span(m * n)
    (args.m, args.n, args.k) = (UInt64(m), UInt64(n), UInt64(k))
    args.lda = UInt64(layout == FORJA_MATMUL_TN ? m : k)
    args.ldb = UInt64(layout == FORJA_MATMUL_NT ? k : n)
    args.ldc = UInt64(n)
    (args.batch_count, args.alpha) = (1, 1)
    return { [queue = bench.queue] in forja_matmul(queue, &args) }
}

/// 8 sequences of 256 positions, 8 heads over 4 key-value heads of width 32, fused in rows of 512.
private func attentionArguments(_ bench: KernelBench) throws -> forja_attention_args {
    var args = forja_attention_args()
    args.q = try bench.span(2048 * 512)
    args.k = forja_span(buffer: args.q.buffer, offset: 256)
    args.v = forja_span(buffer: args.q.buffer, offset: 384)
    (args.out, args.lse) = (try bench.span(2048 * 256), try bench.span(8 * 8 * 256))
    (args.batch, args.query_length, args.key_length) = (8, 256, 256)
    (args.heads, args.key_value_heads, args.head_dim) = (8, 4, 32)
    (args.q_row_stride, args.k_row_stride, args.v_row_stride) = (512, 512, 512)
    (args.out_row_stride, args.scale) = (256, 0.1767767)
    return args
}

private func attentionForward(_ bench: KernelBench) throws -> Call {
    var args = try attentionArguments(bench)
    return { [queue = bench.queue] in forja_attention_forward(queue, &args) }
}

private func attentionBackward(_ bench: KernelBench) throws -> Call {
    var args = forja_attention_backward_args()
    args.forward = try attentionArguments(bench)
    try KernelBench.check(forja_attention_forward(bench.queue, &args.forward))
    (args.d_out, args.dq) = (try bench.span(2048 * 256), try bench.span(2048 * 512))
    args.dk = forja_span(buffer: args.dq.buffer, offset: 256)
    args.dv = forja_span(buffer: args.dq.buffer, offset: 384)
    (args.dq_row_stride, args.dk_row_stride, args.dv_row_stride) = (512, 512, 512)
    return { [queue = bench.queue] in forja_attention_backward(queue, &args) }
}

func registerKernelBenchmarks() {
    for device in BenchmarkedDevice.present {
        for operation in operations {
            let prepared = OnFirstUse {
                let bench = try KernelBench(device)
                let call = try operation.make(bench)
                // Builds the kernel and grows the workspace.
                try KernelBench.check(call())
                try KernelBench.check(forja_queue_finish(bench.queue))
                return (bench, call)
            }
            Benchmark(
                "\(operation.name)-\(device)",
                configuration: configuration(
                    [Count.launches, Count.allocations], iterations: 20)
            ) { benchmark in
                let (bench, call) = try prepared.get()
                let before = bench.counters.launches
                try benchmark.measure {
                    try KernelBench.check(call())
                    try KernelBench.check(forja_queue_finish(bench.queue))
                }
                benchmark.measurement(Count.launches, Int(bench.counters.launches - before))
            }
        }
    }
}
