import CForja
import Testing

extension OperationTests {
    /// What every operation refuses, and that it says so before anything runs.
    @Suite("Arguments")
    struct ArgumentTests {
        @Test("that are valid pass on every device", arguments: TestDevice.all, OperationCall.all)
        func validPass(choice: TestDevice.Choice, call: OperationCall) throws {
            let bench = try ArgumentBench(choice)
            expectOK(call.run(bench.queue, bench.buffer, .none))
            expectOK(forja_queue_finish(bench.queue))
            #expect(counters(of: bench.queue).operations == 1)
            // On the host the calling thread may do without the pool.
            #expect(choice.isHost || counters(of: bench.queue).launches >= 1)
        }

        @Test("may not be null", arguments: OperationCall.all)
        func mayNotBeNull(call: OperationCall) throws {
            let bench = try ArgumentBench()
            bench.expectRefused(
                call, .nullArguments, [FORJA_ERROR_INVALID_ARGUMENT], "args is NULL")
            let status = call.run(nil, bench.buffer, .none)
            expectFailure(FORJA_ERROR_INVALID_ARGUMENT, status, saying: "queue is NULL")
            for name in call.required {
                bench.expectRefused(
                    call, .span(name, absentSpan), [FORJA_ERROR_INVALID_ARGUMENT],
                    "\(call.name): \(name) is absent")
            }
        }

        @Test("may be absent where they are optional", arguments: OperationCall.all)
        func mayBeAbsentWhereOptional(call: OperationCall) throws {
            let bench = try ArgumentBench()
            for name in call.optional {
                expectOK(call.run(bench.queue, bench.buffer, .span(name, absentSpan)))
            }
        }

        @Test("may not belong to another device", arguments: OperationCall.all)
        func mayNotBeForeign(call: OperationCall) throws {
            let bench = try ArgumentBench()
            let stranger = try ArgumentBench()
            for name in call.spans {
                bench.expectRefused(
                    call, .span(name, forja_span(buffer: stranger.buffer, offset: 0)),
                    [FORJA_ERROR_INVALID_ARGUMENT],
                    "\(call.name): \(name) belongs to another device")
            }
        }

        @Test("may not pass the end of their buffer", arguments: OperationCall.all)
        func mayNotPassEnd(call: OperationCall) throws {
            let bench = try ArgumentBench()
            let end = UInt64(OperationCall.bufferBytes)
            for name in call.spans {
                for offset in [end / 2, end, .max / 4, .max] {
                    bench.expectRefused(
                        call, .span(name, forja_span(buffer: bench.buffer, offset: offset)),
                        [FORJA_ERROR_OUT_OF_RANGE], "\(call.name): \(name) needs")
                }
            }
        }

        @Test("may not have sizes that overflow", arguments: OperationCall.all)
        func mayNotOverflow(call: OperationCall) throws {
            let bench = try ArgumentBench()
            for name in call.sizes {
                for size: UInt64 in [.max, .max / 2 + 1, 1 << 62, 1 << 33, UInt64(UInt32.max)] {
                    bench.expectRefused(
                        call, .size(name, size),
                        [FORJA_ERROR_OUT_OF_RANGE, FORJA_ERROR_INVALID_ARGUMENT], call.name)
                }
            }
        }

        @Test("may be empty, and then nothing runs", arguments: OperationCall.all)
        func mayBeEmpty(call: OperationCall) throws {
            let bench = try ArgumentBench()
            for name in call.emptying {
                expectOK(call.run(bench.queue, bench.buffer, .size(name, 0)))
            }
            #expect(counters(of: bench.queue).operations == 0)
        }

        @Test("may not have an unknown element type", arguments: OperationCall.all)
        func mayNotHaveUnknownType(call: OperationCall) throws {
            let bench = try ArgumentBench()
            for name in call.dtypes {
                for dtype in [forja_dtype(99), FORJA_DTYPE_I32] {
                    bench.expectRefused(
                        call, .dtype(name, dtype), [FORJA_ERROR_INVALID_ARGUMENT],
                        "\(call.name): \(name) is \(dtype.rawValue)")
                }
            }
        }
    }

    @Suite("Arguments of one operation")
    struct OperationArgumentTests {
        @Test("heads divide over key-value heads, and their width is even and at most 256")
        func attentionHeads() throws {
            let bench = try ArgumentBench()
            let span = forja_span(buffer: bench.buffer, offset: 0)
            for (heads, keyValueHeads, width): (UInt32, UInt32, UInt32) in [
                (3, 2, 8), (4, 0, 8), (4, 2, 0), (4, 2, 7), (4, 2, 258),
            ] {
                var args = OperationCall.validAttention
                (args.q, args.k, args.v, args.out, args.lse) = (span, span, span, span, span)
                (args.heads, args.key_value_heads, args.head_dim) = (heads, keyValueHeads, width)
                expectFailure(
                    FORJA_ERROR_INVALID_ARGUMENT, forja_attention_forward(bench.queue, &args))
                #expect(forja_attention_forward_workspace_bytes(bench.device.device, &args) == 0)
            }
        }

        @Test("attention's backward pass takes neither offsets nor unequal lengths")
        func attentionBackwardLengths() throws {
            let bench = try ArgumentBench()
            var args = forja_attention_backward_args()
            args.forward = OperationCall.validAttention
            args.forward.query_length = 2
            expectFailure(
                FORJA_ERROR_INVALID_ARGUMENT, forja_attention_backward(bench.queue, &args),
                saying: "2 query rows over 3 keys")
            args.forward.query_length = 3
            args.forward.query_offset = forja_span(buffer: bench.buffer, offset: 0)
            expectFailure(
                FORJA_ERROR_INVALID_ARGUMENT, forja_attention_backward(bench.queue, &args),
                saying: "with query_offset")
        }

        @Test("a product's rows do not overlap and its result is no input", arguments: [0, 1, 2])
        func matmulStrides(layout: UInt32) throws {
            let bench = try ArgumentBench()
            var valid = forja_matmul_args()
            valid.layout = forja_matmul_layout(layout)
            (valid.m, valid.n, valid.k, valid.batch_count) = (3, 3, 3, 1)
            (valid.lda, valid.ldb, valid.ldc) = (3, 3, 3)
            valid.alpha = 1
            valid.a = forja_span(buffer: bench.buffer, offset: 0)
            valid.b = forja_span(buffer: bench.buffer, offset: 100)
            valid.c = forja_span(buffer: bench.buffer, offset: 200)
            expectOK(forja_matmul(bench.queue, &valid))
            let spoiled: [(inout forja_matmul_args) -> Void] = [
                { $0.lda = 2 }, { $0.ldb = 2 }, { $0.ldc = 2 }, { $0.c = $0.a }, { $0.c = $0.b },
                { $0.alpha = .nan }, { $0.layout = forja_matmul_layout(7) },
                { ($0.batch_count, $0.c_stride) = (2, 0) },
                // The second result's first row would be the first one's second.
                { ($0.batch_count, $0.c_stride) = (2, 3) },
            ]
            for spoil in spoiled {
                var args = valid
                spoil(&args)
                expectFailure(FORJA_ERROR_INVALID_ARGUMENT, forja_matmul(bench.queue, &args))
            }
        }

        @Test("the empty sum overwrites with zero", arguments: TestDevice.all)
        func emptySums(choice: TestDevice.Choice) throws {
            let device = try choice.open()
            let out = try device.poisoned(Float.self, count: 6)
            var sum = forja_sum_args()
            sum.out = out.span
            expectOK(forja_sum(device.queue, &sum))
            #expect(try out.read().prefix(2).map(\.isNaN) == [false, true])

            var norm = forja_rmsnorm_backward_args()
            norm.d_weight = out.span(at: 1)
            norm.width = 2
            expectOK(forja_rmsnorm_backward(device.queue, &norm))
            var embedding = forja_embedding_backward_args()
            embedding.d_table = out.span(at: 3)
            (embedding.table_rows, embedding.width) = (1, 2)
            expectOK(forja_embedding_backward(device.queue, &embedding))
            let values = try out.read()
            #expect(values.prefix(5).allSatisfy { $0 == 0 } && values[5].isNaN)
            #expect(counters(of: device.queue).operations == 0)
        }

        @Test("AdamW's decay rates lie in [0, 1)", arguments: [-0.1, 1, .nan] as [Float])
        func adamWBetas(beta: Float) throws {
            let bench = try ArgumentBench()
            for path in [\forja_adamw_args.beta1, \.beta2] {
                var args = forja_adamw_args()
                args[keyPath: path] = beta
                expectFailure(FORJA_ERROR_INVALID_ARGUMENT, forja_adamw(bench.queue, &args))
            }
        }

        @Test("a product's workspace is told for any shape, without a crash")
        func matmulWorkspace() throws {
            let bench = try ArgumentBench()
            var args = forja_matmul_args()
            #expect(forja_matmul_workspace_bytes(bench.device.device, nil) == 0)
            #expect(forja_matmul_workspace_bytes(nil, &args) == 0)
            (args.lda, args.ldb, args.ldc, args.batch_count) = (.max, .max, .max, .max)
            (args.m, args.n, args.k) = (.max, .max, .max)
            _ = forja_matmul_workspace_bytes(bench.device.device, &args)
        }
    }
}

/// A device, its queue and one zeroed buffer that holds every operand.
private final class ArgumentBench {
    let device: TestDevice
    private let content: TestBuffer<UInt8>
    var queue: OpaquePointer { device.queue }
    var buffer: OpaquePointer { content.handle }

    init(_ choice: TestDevice.Choice = TestDevice.host) throws {
        device = try choice.open(threadCount: 1)
        content = try device.buffer(
            [UInt8](repeating: 0, count: OperationCall.bufferBytes), guardBytes: 0)
    }

    /// Expects one of `statuses`, a message that holds `text`, no launch and no byte written.
    func expectRefused(
        _ call: OperationCall, _ change: OperationCall.Change, _ statuses: [forja_status],
        _ text: String, sourceLocation: SourceLocation = #_sourceLocation
    ) {
        let status = call.run(queue, buffer, change)
        #expect(
            statuses.contains(status), "\(change): \(status.rawValue)",
            sourceLocation: sourceLocation)
        #expect(
            lastError().contains(text), "\(change) says: \(lastError())",
            sourceLocation: sourceLocation)
        #expect(
            counters(of: queue).operations == 0, "\(change) was launched",
            sourceLocation: sourceLocation)
    }
}
