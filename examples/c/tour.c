/// A tour of the C library: lists the devices, then computes a matrix product and causal attention
/// on one of them and holds both against plain loops in double.
///
///     tour            lists the devices
///     tour host       computes on the host CPU
///     tour N          computes on OpenCL device N of the list
///
/// Exits 0 when every result is within its bound.
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <forja.h>

/// Every call that can fail leaves a line for the thread that says what was wrong and what to do.
static void check(forja_status status) {
    if (status == FORJA_OK)
        return;
    fprintf(stderr, "error: %s\n", forja_last_error());
    exit(1);
}

static void print_device(const char *label, const forja_device_info *info) {
    printf("  %-5s %s (%s), %u threads, %.1f GiB\n", label, info->name, info->platform,
           (unsigned)info->thread_count, (double)info->memory_bytes / (1 << 30));
}

static void list_devices(void) {
    forja_device *host;
    forja_device_info info;
    check(forja_device_open_host(&host, 0));
    check(forja_device_get_info(&info, host));
    forja_device_free(host);
    printf("devices (OpenCL: %s)\n", forja_opencl_status());
    print_device("host", &info);
    for (size_t i = 0; i < forja_opencl_device_count(); i++) {
        char label[24];
        snprintf(label, sizeof label, "%zu", i);
        // Describes a device without opening it.
        if (forja_opencl_device_query(&info, i) == FORJA_OK)
            print_device(label, &info);
        else
            printf("  %-5s %s\n", label, forja_last_error());
    }
}

/// `name` as the command line gives it: "host" or a number of the list.
static forja_device *open_device(const char *name) {
    forja_device *device;
    if (strcmp(name, "host") == 0) {
        check(forja_device_open_host(&device, 0)); // 0: all cores
        return device;
    }
    char *end;
    errno = 0;
    const unsigned long index = strtoul(name, &end, 10);
    if (end == name || *end != '\0' || errno != 0) {
        fprintf(stderr, "error: \"%s\" is no device; pass host or a number of the list\n", name);
        exit(64);
    }
    check(forja_device_open_opencl(&device, index));
    return device;
}

/// ── Tensors of float32 ────────────────────────────────────────────────────────────────────────

typedef struct tensor {
    size_t count;
    float *values; /// on this side
    forja_buffer *buffer;
} tensor;

/// `count` numbers in [-1, 1), in host memory and in a buffer.
static tensor create_tensor(forja_device *device, forja_queue *queue, size_t count) {
    static uint32_t state = 1;
    tensor t = {.count = count, .values = malloc(count * sizeof(float))};
    if (!t.values) {
        fprintf(stderr, "error: no memory for %zu numbers\n", count);
        exit(1);
    }
    for (size_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        t.values[i] = (float)(state >> 8) / (1 << 23) - 1.0f;
    }
    check(forja_buffer_create(&t.buffer, device, count * sizeof(float)));
    check(forja_buffer_write(queue, t.buffer, 0, t.values, count * sizeof(float)));
    return t;
}

static void free_tensor(tensor *t) {
    forja_buffer_free(t->buffer);
    free(t->values);
}

/// What an operation takes: a buffer and the first element in it.
static forja_span span(const tensor *t) {
    return (forja_span){.buffer = t->buffer, .offset = 0};
}

/// Reads `result` back and prints how far it is from `reference`; true when within `bound`.
static bool compare(forja_queue *queue, const char *title, tensor *result, const double *reference,
                    double bound) {
    // Reading waits for what was queued before.
    check(forja_buffer_read(queue, result->values, result->buffer, 0,
                            result->count * sizeof(float)));
    double worst = 0;
    bool is_within = true;
    for (size_t i = 0; i < result->count; i++) {
        const double error = fabs(result->values[i] - reference[i]);
        worst = fmax(worst, error); // passes over NaN; the next line does not
        is_within = is_within && error <= bound;
    }
    printf("%s\n  %zu numbers, at most %.1e from double (bound %.0e): %s\n", title, result->count,
           worst, bound, is_within ? "right" : "WRONG");
    return is_within;
}

/// ── The two operations ────────────────────────────────────────────────────────────────────────

/// C[M, N] = A[M, K] · B[N, K]ᵀ: what a linear layer computes.
static bool run_matmul(forja_device *device, forja_queue *queue) {
    enum { M = 37, N = 65, K = 129 };
    tensor a = create_tensor(device, queue, M * K);
    tensor b = create_tensor(device, queue, N * K);
    tensor c = create_tensor(device, queue, M * N);
    const forja_matmul_args args = {
        .layout = FORJA_MATMUL_NT,
        .input_dtype = FORJA_DTYPE_F32,
        .output_dtype = FORJA_DTYPE_F32,
        .a = span(&a),
        .b = span(&b),
        .c = span(&c),
        .m = M,
        .n = N,
        .k = K,
        .lda = K,
        .ldb = K,
        .ldc = N,
        .batch_count = 1,
        .alpha = 1,
    };
    check(forja_matmul(queue, &args));

    static double reference[M * N];
    for (int m = 0; m < M; m++)
        for (int n = 0; n < N; n++) {
            double sum = 0;
            for (int k = 0; k < K; k++)
                sum += (double)a.values[m * K + k] * b.values[n * K + k];
            reference[m * N + n] = sum;
        }
    // K roundings of a sum below K are off by at most K · K · 2^-24 = 1e-3; signs are mixed, so a tenth.
    const bool is_right =
        compare(queue, "matmul, C[37, 65] = A[37, 129] B[65, 129]^T", &c, reference, 1e-4);
    free_tensor(&a);
    free_tensor(&b);
    free_tensor(&c);
    return is_right;
}

/// out[B, T, H, D]: each position attends to itself and those before it. Two query heads share one
/// key-value head.
static bool run_attention(forja_device *device, forja_queue *queue) {
    enum { B = 2, T = 33, H = 4, G = 2, D = 16 };
    tensor q = create_tensor(device, queue, B * T * H * D);
    tensor k = create_tensor(device, queue, B * T * G * D);
    tensor v = create_tensor(device, queue, B * T * G * D);
    tensor out = create_tensor(device, queue, B * T * H * D);
    tensor lse = create_tensor(device, queue, B * H * T);
    const forja_attention_args args = {
        .dtype = FORJA_DTYPE_F32,
        .q = span(&q),
        .k = span(&k),
        .v = span(&v),
        .out = span(&out),
        .lse = span(&lse), // kept for a backward pass
        .batch = B,
        .query_length = T,
        .key_length = T,
        .heads = H,
        .key_value_heads = G,
        .head_dim = D,
        .q_row_stride = H * D,
        .k_row_stride = G * D,
        .v_row_stride = G * D,
        .out_row_stride = H * D,
        .scale = 1.0f / 4.0f, // 1 / √D
    };
    check(forja_attention_forward(queue, &args));

    static double reference[B * T * H * D];
    for (int b = 0; b < B; b++)
        for (int t = 0; t < T; t++)
            for (int h = 0; h < H; h++) {
                double weights[T], total = 0;
                const float *query = &q.values[((b * T + t) * H + h) * D];
                double *row = &reference[((b * T + t) * H + h) * D];
                for (int j = 0; j <= t; j++) {
                    const float *key = &k.values[((b * T + j) * G + h / (H / G)) * D];
                    double score = 0;
                    for (int d = 0; d < D; d++)
                        score += (double)query[d] * key[d];
                    total += weights[j] = exp(score / 4);
                }
                for (int j = 0; j <= t; j++)
                    for (int d = 0; d < D; d++)
                        row[d] += weights[j] / total *
                                  v.values[((b * T + j) * G + h / (H / G)) * D + d];
            }
    const bool is_right =
        compare(queue, "causal attention, [B 2, T 33, H 4, D 16] over 2 key-value heads", &out,
                reference, 1e-5);
    free_tensor(&q);
    free_tensor(&k);
    free_tensor(&v);
    free_tensor(&out);
    free_tensor(&lse);
    return is_right;
}

int main(int argc, char **argv) {
    printf("Forja %s\n", forja_version());
    if (argc != 2) {
        list_devices();
        printf("%s host, or a number of the list, computes on that device\n", argv[0]);
        return argc == 1 ? 0 : 64;
    }
    forja_device *device = open_device(argv[1]);
    forja_queue *queue;
    forja_device_info info;
    check(forja_queue_create(&queue, device));
    check(forja_device_get_info(&info, device));
    print_device(argv[1], &info);

    bool is_right = run_matmul(device, queue);
    is_right = run_attention(device, queue) && is_right;
    forja_queue_counters counters;
    forja_queue_get_counters(&counters, queue);
    printf("%llu operations in %llu kernels, %.1f KiB at most in buffers\n",
           (unsigned long long)counters.operations, (unsigned long long)counters.launches,
           (double)forja_device_peak_allocated_bytes(device) / 1024);

    // Buffers went first, then the queue; the device last.
    forja_queue_free(queue);
    forja_device_free(device);
    return is_right ? 0 : 1;
}
