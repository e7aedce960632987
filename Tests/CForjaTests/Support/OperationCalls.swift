import CForja

extension OperationCall {
    /// Every public operation.
    static let all: [OperationCall] =
        [matmul, attentionForward, attentionBackward, cacheAppend] + lossCore + embeddings
        + rowOperations + elementwise + optimizer + [multiplyAdd]

    private static let matmul = OperationCall(
        "forja_matmul", forja_matmul,
        valid: forja_matmul_args(
            layout: FORJA_MATMUL_NN, input_dtype: FORJA_DTYPE_F32, output_dtype: FORJA_DTYPE_F32,
            a: absentSpan, b: absentSpan, c: absentSpan, m: 2, n: 3, k: 4, lda: 4, ldb: 3, ldc: 3,
            batch_count: 2, a_stride: 8, b_stride: 12, c_stride: 6, alpha: 1, accumulate: false),
        fields: Fields(
            required: [("a", \.a), ("b", \.b), ("c", \.c)],
            sizes: [
                ("m", { $0.m = $1 }), ("n", { $0.n = $1 }), ("k", { $0.k = $1 }),
                ("batch_count", { $0.batch_count = $1 }), ("lda", { $0.lda = $1 }),
                ("ldb", { $0.ldb = $1 }), ("ldc", { $0.ldc = $1 }),
                ("a_stride", { $0.a_stride = $1 }), ("b_stride", { $0.b_stride = $1 }),
                ("c_stride", { $0.c_stride = $1 }),
            ],
            emptying: ["m", "n", "batch_count"],
            dtypes: [("input_dtype", \.input_dtype), ("output_dtype", \.output_dtype)]))

    private static let multiplyAdd = OperationCall(
        "forja_multiply_add", forja_multiply_add,
        valid: forja_multiply_add_args(
            out: absentSpan, count: 5, steps: 2, factor: 0.5, addend: 1),
        fields: Fields(
            required: [("out", \.out)], sizes: [("count", { $0.count = $1 })],
            emptying: ["count"]))

    static var validAttention: forja_attention_args {
        var args = forja_attention_args()
        args.dtype = FORJA_DTYPE_F32
        (args.batch, args.query_length, args.key_length) = (2, 3, 3)
        (args.heads, args.key_value_heads, args.head_dim) = (4, 2, 8)
        (args.q_row_stride, args.out_row_stride) = (32, 32)
        (args.k_row_stride, args.v_row_stride) = (16, 16)
        args.scale = 1
        return args
    }

    private static let attentionForward = OperationCall(
        "forja_attention_forward", forja_attention_forward, valid: validAttention,
        fields: Fields(
            required: [("q", \.q), ("k", \.k), ("v", \.v), ("out", \.out), ("lse", \.lse)],
            optional: [("document_start", \.document_start), ("query_offset", \.query_offset)],
            sizes: [
                ("batch", { $0.batch = UInt32(clamping: $1) }),
                ("query_length", { $0.query_length = UInt32(clamping: $1) }),
                ("key_length", { $0.key_length = UInt32(clamping: $1) }),
                ("heads", { $0.heads = UInt32(clamping: $1) }),
                ("head_dim", { $0.head_dim = UInt32(clamping: $1) }),
                ("q_row_stride", { $0.q_row_stride = $1 }),
                ("k_row_stride", { $0.k_row_stride = $1 }),
                ("v_row_stride", { $0.v_row_stride = $1 }),
                ("out_row_stride", { $0.out_row_stride = $1 }),
            ],
            emptying: ["batch", "query_length"], dtypes: [("dtype", \.dtype)]))

    private static let attentionBackward = OperationCall(
        "forja_attention_backward", forja_attention_backward,
        valid: {
            var args = forja_attention_backward_args()
            args.forward = validAttention
            (args.dq_row_stride, args.dk_row_stride, args.dv_row_stride) = (32, 16, 16)
            return args
        }(),
        fields: Fields(
            required: [
                ("q", \.forward.q), ("k", \.forward.k), ("v", \.forward.v), ("out", \.forward.out),
                ("lse", \.forward.lse), ("d_out", \.d_out), ("dq", \.dq), ("dk", \.dk),
                ("dv", \.dv),
            ],
            optional: [("document_start", \.forward.document_start)],
            sizes: [
                ("batch", { $0.forward.batch = UInt32(clamping: $1) }),
                ("heads", { $0.forward.heads = UInt32(clamping: $1) }),
                ("head_dim", { $0.forward.head_dim = UInt32(clamping: $1) }),
                ("dq_row_stride", { $0.dq_row_stride = $1 }),
                ("dk_row_stride", { $0.dk_row_stride = $1 }),
                ("dv_row_stride", { $0.dv_row_stride = $1 }),
            ],
            emptying: ["batch"], dtypes: [("dtype", \.forward.dtype)]))

    private static let cacheAppend = OperationCall(
        "forja_cache_append", forja_cache_append,
        valid: forja_cache_append_args(
            dtype: FORJA_DTYPE_F32, source: absentSpan, cache: absentSpan, position: absentSpan,
            batch: 2, rows: 1, capacity: 4, width: 8, source_row_stride: 8),
        fields: Fields(
            required: [("source", \.source), ("cache", \.cache), ("position", \.position)],
            sizes: [
                ("batch", { $0.batch = UInt32(clamping: $1) }),
                ("rows", { $0.rows = UInt32(clamping: $1) }),
                ("capacity", { $0.capacity = UInt32(clamping: $1) }),
                ("width", { $0.width = UInt32(clamping: $1) }),
                ("source_row_stride", { $0.source_row_stride = $1 }),
            ],
            emptying: ["batch", "rows", "width"], dtypes: [("dtype", \.dtype)]))

    private static let lossCore: [OperationCall] = {
        let valid = forja_log_probability_args(
            dtype: FORJA_DTYPE_F32, logits: absentSpan, labels: absentSpan,
            log_probability: absentSpan, lse: absentSpan, entropy: absentSpan,
            gradient: absentSpan, rows: 3, vocabulary: 5, row_stride: 5, logit_scale: 1,
            vocabulary_start: 0, label_logit: absentSpan)
        var fields = Fields<forja_log_probability_args>(
            required: [
                ("logits", \.logits), ("labels", \.labels), ("log_probability", \.log_probability),
            ],
            optional: [("lse", \.lse), ("entropy", \.entropy), ("gradient", \.gradient)],
            sizes: [
                ("rows", { $0.rows = $1 }), ("vocabulary", { $0.vocabulary = $1 }),
                ("row_stride", { $0.row_stride = $1 }),
            ],
            emptying: ["rows"], dtypes: [("dtype", \.dtype)])
        let forward = OperationCall(
            "forja_log_probability", forja_log_probability, valid: valid, fields: fields)
        fields.required = [
            ("logits", \.logits), ("labels", \.labels), ("lse", \.lse), ("gradient", \.gradient),
        ]
        fields.optional = []
        let backward = OperationCall(
            "forja_log_probability_backward", forja_log_probability_backward, valid: valid,
            fields: fields)
        let combine = OperationCall(
            "forja_log_probability_combine", forja_log_probability_combine,
            valid: forja_log_probability_combine_args(
                parts: absentSpan, labels: absentSpan, log_probability: absentSpan,
                lse: absentSpan, entropy: absentSpan, rows: 3, part_count: 2, vocabulary: 5),
            fields: Fields(
                required: [
                    ("parts", \.parts), ("labels", \.labels),
                    ("log_probability", \.log_probability),
                ],
                optional: [("lse", \.lse), ("entropy", \.entropy)],
                sizes: [("rows", { $0.rows = $1 }), ("part_count", { $0.part_count = $1 })],
                emptying: ["rows"], dtypes: []))
        return [forward, backward, combine]
    }()

    private static let embeddings = [
        OperationCall(
            "forja_embedding_forward", forja_embedding_forward,
            valid: forja_embedding_args(
                dtype: FORJA_DTYPE_F32, table: absentSpan, ids: absentSpan, y: absentSpan, rows: 3,
                width: 4, table_rows: 5, first_row: 0, total_rows: 0),
            fields: Fields(
                required: [("table", \.table), ("ids", \.ids), ("y", \.y)],
                sizes: [
                    ("rows", { $0.rows = $1 }), ("width", { $0.width = $1 }),
                    ("table_rows", { $0.table_rows = $1 }),
                ],
                emptying: ["rows", "width"], dtypes: [("dtype", \.dtype)])),
        OperationCall(
            "forja_embedding_backward", forja_embedding_backward,
            valid: forja_embedding_backward_args(
                dtype: FORJA_DTYPE_F32, dy: absentSpan, ids: absentSpan, d_table: absentSpan,
                rows: 3, width: 4, table_rows: 5, first_row: 0, accumulate: true),
            fields: Fields(
                required: [("dy", \.dy), ("ids", \.ids), ("d_table", \.d_table)],
                sizes: [
                    ("rows", { $0.rows = $1 }), ("width", { $0.width = $1 }),
                    ("table_rows", { $0.table_rows = $1 }),
                ],
                emptying: ["rows", "width", "table_rows"], dtypes: [("dtype", \.dtype)])),
    ]

    private static let rowOperations = [
        OperationCall(
            "forja_rmsnorm_forward", forja_rmsnorm_forward,
            valid: forja_rmsnorm_args(
                dtype: FORJA_DTYPE_F32, x: absentSpan, weight: absentSpan, y: absentSpan,
                rstd: absentSpan, rows: 3, width: 4, epsilon: 1e-5),
            fields: Fields(
                required: [("x", \.x), ("weight", \.weight), ("y", \.y), ("rstd", \.rstd)],
                sizes: [("rows", { $0.rows = $1 }), ("width", { $0.width = $1 })],
                emptying: ["rows", "width"], dtypes: [("dtype", \.dtype)])),
        OperationCall(
            "forja_rmsnorm_backward", forja_rmsnorm_backward,
            valid: forja_rmsnorm_backward_args(
                dtype: FORJA_DTYPE_F32, x: absentSpan, weight: absentSpan, rstd: absentSpan,
                dy: absentSpan, dx: absentSpan, d_weight: absentSpan, rows: 3, width: 4,
                accumulate_dx: true, accumulate_d_weight: true),
            fields: Fields(
                required: [
                    ("x", \.x), ("weight", \.weight), ("rstd", \.rstd), ("dy", \.dy), ("dx", \.dx),
                    ("d_weight", \.d_weight),
                ],
                sizes: [("rows", { $0.rows = $1 }), ("width", { $0.width = $1 })],
                emptying: ["rows", "width"], dtypes: [("dtype", \.dtype)])),
        OperationCall(
            "forja_rope", forja_rope,
            valid: forja_rope_args(
                dtype: FORJA_DTYPE_F32, x: absentSpan, cosine: absentSpan, sine: absentSpan,
                positions: absentSpan, rows: 3, sequence_length: 3, row_stride: 16,
                position_count: 4, heads: 2, head_dim: 8, inverse: false),
            fields: Fields(
                required: [("x", \.x), ("cosine", \.cosine), ("sine", \.sine)],
                optional: [("positions", \.positions)],
                sizes: [
                    ("rows", { $0.rows = $1 }), ("row_stride", { $0.row_stride = $1 }),
                    ("position_count", { $0.position_count = $1 }),
                    ("heads", { $0.heads = UInt32(clamping: $1) }),
                    ("head_dim", { $0.head_dim = UInt32(clamping: $1) }),
                ],
                emptying: ["rows", "heads", "head_dim"], dtypes: [("dtype", \.dtype)])),
        OperationCall(
            "forja_softmax_forward", forja_softmax_forward,
            valid: forja_softmax_args(
                dtype: FORJA_DTYPE_F32, x: absentSpan, y: absentSpan, rows: 3, width: 4),
            fields: Fields(
                required: [("x", \.x), ("y", \.y)],
                sizes: [("rows", { $0.rows = $1 }), ("width", { $0.width = $1 })],
                emptying: ["rows", "width"], dtypes: [("dtype", \.dtype)])),
        OperationCall(
            "forja_softmax_backward", forja_softmax_backward,
            valid: forja_softmax_backward_args(
                dtype: FORJA_DTYPE_F32, y: absentSpan, dy: absentSpan, dx: absentSpan, rows: 3,
                width: 4),
            fields: Fields(
                required: [("y", \.y), ("dy", \.dy), ("dx", \.dx)],
                sizes: [("rows", { $0.rows = $1 }), ("width", { $0.width = $1 })],
                emptying: ["rows", "width"], dtypes: [("dtype", \.dtype)])),
    ]

    private static let elementwise = [
        OperationCall(
            "forja_swiglu_forward", forja_swiglu_forward,
            valid: forja_swiglu_args(
                dtype: FORJA_DTYPE_F32, x: absentSpan, y: absentSpan, rows: 3, width: 4),
            fields: Fields(
                required: [("x", \.x), ("y", \.y)],
                sizes: [("rows", { $0.rows = $1 }), ("width", { $0.width = $1 })],
                emptying: ["rows", "width"], dtypes: [("dtype", \.dtype)])),
        OperationCall(
            "forja_swiglu_backward", forja_swiglu_backward,
            valid: forja_swiglu_backward_args(
                dtype: FORJA_DTYPE_F32, x: absentSpan, dy: absentSpan, dx: absentSpan, rows: 3,
                width: 4),
            fields: Fields(
                required: [("x", \.x), ("dy", \.dy), ("dx", \.dx)],
                sizes: [("rows", { $0.rows = $1 }), ("width", { $0.width = $1 })],
                emptying: ["rows", "width"], dtypes: [("dtype", \.dtype)])),
        OperationCall(
            "forja_add", forja_add,
            valid: forja_add_args(
                dtype: FORJA_DTYPE_F32, a: absentSpan, b: absentSpan, y: absentSpan, count: 5),
            fields: Fields(
                required: [("a", \.a), ("b", \.b), ("y", \.y)],
                sizes: [("count", { $0.count = $1 })], emptying: ["count"],
                dtypes: [("dtype", \.dtype)])),
        OperationCall(
            "forja_cast", forja_cast,
            valid: forja_cast_args(
                from: FORJA_DTYPE_F32, to: FORJA_DTYPE_BF16, source: absentSpan,
                destination: absentSpan, count: 5),
            fields: Fields(
                required: [("source", \.source), ("destination", \.destination)],
                sizes: [("count", { $0.count = $1 })], emptying: ["count"],
                dtypes: [("from", \.from), ("to", \.to)])),
    ]

    private static let optimizer = [
        OperationCall(
            "forja_sum", forja_sum,
            valid: forja_sum_args(
                x: absentSpan, out: absentSpan, count: 5, scale: 1, accumulate: true),
            fields: Fields(
                required: [("x", \.x), ("out", \.out)], sizes: [("count", { $0.count = $1 })],
                emptying: ["count"])),
        OperationCall(
            "forja_sum_squares", forja_sum_squares,
            valid: forja_sum_squares_args(x: absentSpan, partials: absentSpan, count: 5),
            fields: Fields(
                required: [("x", \.x), ("partials", \.partials)],
                sizes: [("count", { $0.count = $1 })], emptying: ["count"])),
        OperationCall(
            "forja_gradient_norm", forja_gradient_norm,
            valid: forja_gradient_norm_args(
                partials: absentSpan, scalars: absentSpan, partial_count: 3),
            fields: Fields(
                required: [("partials", \.partials), ("scalars", \.scalars)],
                sizes: [("partial_count", { $0.partial_count = $1 })])),
        OperationCall(
            "forja_adamw", forja_adamw,
            valid: forja_adamw_args(
                weight: absentSpan, weight_bf16: absentSpan, gradient: absentSpan, m: absentSpan,
                v: absentSpan, scalars: absentSpan, count: 5, beta1: 0.9, beta2: 0.95,
                epsilon: 1e-8, weight_decay: 0.1),
            fields: Fields(
                required: [
                    ("weight", \.weight), ("gradient", \.gradient), ("m", \.m), ("v", \.v),
                    ("scalars", \.scalars),
                ],
                optional: [("weight_bf16", \.weight_bf16)], sizes: [("count", { $0.count = $1 })],
                emptying: ["count"])),
    ]
}
