/// Runs every operation of the C engine over small ragged shapes, with right and wrong arguments.
/// Sanitizers watch it on the host; Oclgrind watches it on its simulated device.
///
///     smoke host      1 thread and 3 threads; both must give the same bits
///     smoke opencl    an OpenCL device against the host: FORJA_TEST_OPENCL_DEVICE, a number, or the first
///     smoke rows      as opencl, and a line for each operation and storage type: what became of its numbers
///     smoke operations    nothing: lists the operations
///     smoke fuzz host|opencl SECONDS SEED     damaged arguments: a status, never a crash
///
/// A second word names the one operation to run, as cases.c does (OPERATION), or "objects": devices,
/// buffers and queues. Exits 0 when nothing failed; 77 when there is no OpenCL device to test and
/// FORJA_TEST_REQUIRE_OPENCL is not 1.
#include "bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void expect(bench *b, bool holds, const char *what) {
    b->faults++;
    if (holds)
        return;
    fprintf(stderr, "FAILED %s (last error: %s)\n", what, forja_last_error());
    b->failures++;
}

/// Variants and tunings with names that do not exist, and with ones that do.
static void run_variant_faults(bench *b) {
    const forja_matmul_args args = {.m = 40, .n = 50, .k = 60, .lda = 60, .ldb = 50, .ldc = 50,
                                    .batch_count = 1, .alpha = 1};
    forja_variant found[64];
    size_t count = 64;
    expect(b, forja_variant_list(found, &count, b->device, FORJA_OP_MATMUL, &args) == FORJA_OK,
           "list of variants");
    expect(b, count > 0 && count < 64, "a number of variants");
    forja_variant other;
    for (int i = 0; i < 3; i++) {
        forja_matmul_args empty = args;
        empty.k = 4096; // parts of k count the tiles
        *(i == 0 ? &empty.m : i == 1 ? &empty.n : &empty.batch_count) = 0;
        forja_variant others[64];
        size_t rows = 64;
        expect(b, forja_variant_list(others, &rows, b->device, FORJA_OP_MATMUL, &empty) == FORJA_OK,
               "list for an empty product");
        expect(b, forja_variant_query(&other, b->device, FORJA_OP_MATMUL, &empty) == FORJA_OK,
               "query for an empty product");
    }
    forja_attention_args wide = {.batch = 1, .query_length = 1, .key_length = 8, .heads = 65,
                                 .key_value_heads = 1, .head_dim = 256};
    expect(b, forja_variant_query(&other, b->device, FORJA_OP_ATTENTION_FORWARD, &wide) == FORJA_OK,
           "query for a wide group of heads");
    expect(b, strcmp(other.name, "cpu") != 0 || strcmp(other.config, "decode") != 0,
           "decoding that leaves wide groups to the tile");
    char shape_class[FORJA_SHAPE_CLASS_SIZE];
    expect(b, forja_shape_class(shape_class, FORJA_OP_MATMUL, &args) == FORJA_OK, "shape class");
    const forja_tuning_entry entries[] = {{FORJA_OP_MATMUL, shape_class, "gone:0x0"},
                                          {FORJA_OP_MATMUL, shape_class, found[0].name},
                                          {FORJA_OP_ROWS, "any", "item"}};
    expect(b, forja_device_set_tuning(b->device, entries, 3) == FORJA_OK, "tuning");
    expect(b, forja_variant_query(found, b->device, FORJA_OP_MATMUL, &args) == FORJA_OK, "query");
    expect(b, forja_device_set_tuning(b->device, entries, 1) == FORJA_OK, "another tuning");
    expect(b, forja_device_set_tuning(b->device, NULL, 0) == FORJA_OK, "no tuning");
    expect(b, forja_device_set_tuning(b->device, NULL, 1) != FORJA_OK, "tuning from NULL");
    expect(b, forja_variant_list(NULL, NULL, b->device, FORJA_OP_MATMUL, &args) != FORJA_OK,
           "list without a count");
}

/// A profiled queue keeps one time per kernel on OpenCL devices and none on the host.
static void run_profile(bench *b) {
    forja_queue *queue = NULL;
    forja_buffer *buffer = NULL;
    forja_device_info info;
    expect(b, forja_device_get_info(&info, b->device) == FORJA_OK, "info");
    expect(b, forja_queue_create(&queue, b->device) == FORJA_OK, "a queue to profile");
    expect(b, forja_buffer_create(&buffer, b->device, 64) == FORJA_OK, "a buffer to add");
    expect(b, forja_buffer_fill(queue, buffer, 0, 64, 0) == FORJA_OK, "a buffer of zeros");
    const forja_add_args args = {
        .dtype = FORJA_DTYPE_F32, .a = {buffer, 0}, .b = {buffer, 0}, .y = {buffer, 0}, .count = 16};
    const uint64_t kernels = info.kind == FORJA_DEVICE_HOST ? 0 : 1;
    double seconds[2] = {-1, -1};
    expect(b, forja_add(queue, &args) == FORJA_OK, "a kernel before the profile");
    for (int round = 0; round < 2; round++) {
        expect(b, forja_queue_start_profile(queue) == FORJA_OK, "start of a profile");
        expect(b, forja_queue_profiled_count(queue) == 0, "a profile that starts empty");
        expect(b, forja_add(queue, &args) == FORJA_OK, "a kernel in the profile");
        expect(b, forja_queue_profiled_count(queue) == kernels, "the profile's count");
    }
    expect(b, forja_queue_read_profile(seconds, queue) == FORJA_OK, "read of a profile");
    expect(b, kernels == 0 || (seconds[0] >= 0 && seconds[0] < 100), "a kernel's seconds");
    expect(b, seconds[1] == -1, "no more seconds than kernels");
    expect(b, kernels == 0 || forja_queue_read_profile(NULL, queue) != FORJA_OK,
           "read of a profile into NULL");
    expect(b, forja_queue_start_profile(NULL) != FORJA_OK, "profile of no queue");
    expect(b, forja_queue_read_profile(seconds, NULL) != FORJA_OK, "read from no queue");
    expect(b, forja_queue_profiled_count(NULL) == 0, "count of no queue");
    forja_buffer_free(buffer);
    forja_queue_free(queue);
}

/// Devices, buffers and queues with arguments that nobody should pass.
/// Staging as a rank uses it: bytes that come back from a device as they went there.
static void run_staging(bench *b) {
    forja_staging *staging = NULL;
    expect(b, forja_staging_create(NULL, b->device, 1) != FORJA_OK, "staging into NULL");
    expect(b, forja_staging_create(&staging, NULL, 1) != FORJA_OK, "staging without a device");
    expect(b, forja_staging_create(&staging, b->device, 0) != FORJA_OK, "staging of 0 bytes");
    expect(b, forja_staging_create(&staging, b->device, UINT64_MAX - 7) != FORJA_OK,
           "staging of 2^64 bytes");
    expect(b, !staging && forja_staging_get_size(staging) == 0, "staging that was refused");
    forja_buffer *buffer = NULL;
    if (forja_staging_create(&staging, b->device, 4097) != FORJA_OK ||
        forja_buffer_create(&buffer, b->device, 4097) != FORJA_OK) {
        expect(b, false, "staging of 4097 bytes");
        return;
    }
    unsigned char *bytes = forja_staging_get_pointer(staging);
    for (size_t i = 0; i < 4097; i++)
        bytes[i] = (unsigned char)(i % 251);
    expect(b, forja_buffer_write(b->queue, buffer, 0, bytes, 4097) == FORJA_OK, "write");
    memset(bytes, 0, 4097);
    expect(b, forja_buffer_read(b->queue, bytes + 1, buffer, 1, 4096) == FORJA_OK, "read");
    bool holds = bytes[0] == 0;
    for (size_t i = 1; i < 4097; i++)
        holds = holds && bytes[i] == i % 251;
    expect(b, holds, "bytes through staging");
    forja_buffer_free(buffer);
    forja_staging_free(staging);
    forja_staging_free(NULL);
}

static void run_object_faults(bench *b) {
    forja_device_info info;
    unsigned char bytes[16] = {0};
    expect(b, forja_opencl_device_query(&info, SIZE_MAX) != FORJA_OK, "query past the end");
    forja_device *device = NULL;
    expect(b, forja_device_open_opencl(&device, SIZE_MAX) != FORJA_OK, "open past the end");
    expect(b, forja_device_open_opencl(NULL, 0) != FORJA_OK, "open into NULL");
    expect(b, forja_device_open_host(NULL, 1) != FORJA_OK, "open of the host into NULL");
    expect(b, forja_queue_create(NULL, b->device) != FORJA_OK, "queue into NULL");
    forja_queue *queue = NULL;
    expect(b, forja_queue_create(&queue, NULL) != FORJA_OK, "queue without a device");
    forja_buffer *buffer = NULL;
    expect(b, forja_buffer_create(NULL, b->device, 1) != FORJA_OK, "buffer into NULL");
    expect(b, forja_buffer_create(&buffer, NULL, 1) != FORJA_OK, "buffer without a device");
    expect(b, forja_buffer_create(&buffer, b->device, 0) != FORJA_OK, "buffer of 0 bytes");
    expect(b, forja_buffer_create(&buffer, b->device, UINT64_MAX - 7) != FORJA_OK,
           "buffer of 2^64 bytes");
    expect(b, forja_buffer_create(&buffer, b->device, 10) == FORJA_OK, "buffer of 10 bytes");
    const uint64_t ranges[][2] = {{0, 11}, {10, 1}, {11, 0}, {UINT64_MAX, 2}, {2, UINT64_MAX - 1}};
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        const uint64_t offset = ranges[i][0], size = ranges[i][1];
        expect(b, forja_buffer_write(b->queue, buffer, offset, bytes, size) != FORJA_OK, "write");
        expect(b, forja_buffer_read(b->queue, bytes, buffer, offset, size) != FORJA_OK, "read");
        expect(b, forja_buffer_fill(b->queue, buffer, offset, size, 1) != FORJA_OK, "fill");
        expect(b, forja_buffer_copy(b->queue, b->other_buffer, 0, buffer, offset, size) != FORJA_OK,
               "copy");
    }
    expect(b, forja_buffer_write(b->queue, buffer, 0, NULL, 1) != FORJA_OK, "write from NULL");
    expect(b, forja_buffer_read(b->queue, NULL, buffer, 0, 1) != FORJA_OK, "read into NULL");
    expect(b, forja_buffer_write(NULL, buffer, 0, bytes, 1) != FORJA_OK, "write without a queue");
    expect(b, forja_queue_finish(NULL) != FORJA_OK, "finish of NULL");
    run_variant_faults(b);
    run_profile(b);
    run_staging(b);
    forja_buffer_free(buffer);
    forja_buffer_free(NULL);
    forja_queue_free(NULL);
    forja_device_free(NULL);
}

/// Expects the values of two runs to agree: bit for bit, or within each value's slack.
static void compare(bench *b, const bench *reference, bool exactly) {
    if (b->value_count != reference->value_count) {
        fprintf(stderr, "FAILED: %zu values against %zu\n", b->value_count, reference->value_count);
        b->failures++;
        return;
    }
    size_t shown = 0;
    for (size_t i = 0; i < b->value_count; i++) {
        const float got = b->values[i], want = reference->values[i];
        const bool same = exactly ? memcmp(&got, &want, sizeof(got)) == 0
                                  : fabsf(got - want) <= b->slacks[i] * fmaxf(1, fabsf(want));
        if (same)
            continue;
        b->failures++;
        b->rows[b->rows_of_values[i]].failures++;
        if (shown++ < 20)
            fprintf(stderr, "FAILED %s: %.9g, not %.9g\n", b->names[i], (double)got, (double)want);
    }
}

/// Prints an operation's name once, however many cases it has.
static void print_name(bench *b, const operation *op, const void *args) {
    (void)args;
    for (size_t i = 0; i < b->row_count; i++)
        if (strcmp(b->rows[i].operation, op->name) == 0)
            return;
    b->rows[b->row_count++] = (bench_row){op->name, "", 0, 0};
    puts(op->name);
}

static int list_operations(void) {
    bench b;
    bench_open(&b, 1, -1);
    b.instead = print_name;
    run_cases(&b);
    bench_close(&b);
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "operations") == 0)
        return list_operations();
    if (argc > 1 && strcmp(argv[1], "fuzz") == 0)
        return fuzz_main(argc, argv);
    const char *mode = argc == 2 || argc == 3 ? argv[1] : "";
    const char *only = argc == 3 ? argv[2] : NULL;
    const bool prints_rows = strcmp(mode, "rows") == 0;
    const bool on_opencl = prints_rows || strcmp(mode, "opencl") == 0;
    if (!on_opencl && strcmp(mode, "host") != 0) {
        fprintf(stderr, "usage: %s host|opencl|rows [OPERATION|objects], or operations\n",
                argv[0]);
        return 64;
    }
    if (on_opencl && forja_opencl_device_count() == 0) {
        fprintf(stderr, "no OpenCL device: %s\n", forja_opencl_status());
        const char *required = getenv("FORJA_TEST_REQUIRE_OPENCL");
        return required && strcmp(required, "1") == 0 ? 1 : 77;
    }
    bench reference, subject;
    bench_open(&reference, 1, -1);
    const char *number = getenv("FORJA_TEST_OPENCL_DEVICE");
    bench_open(&subject, 3, on_opencl ? (number ? strtol(number, NULL, 10) : 0) : -1);
    forja_device_info info;
    if (forja_device_get_info(&info, subject.device) == FORJA_OK)
        printf("device: %s (%s)\n", info.name, info.platform);
    reference.only = subject.only = only;
    if (!only || strcmp(only, "objects") == 0)
        run_object_faults(&subject);
    run_cases(&reference);
    run_cases(&subject);
    compare(&subject, &reference, !on_opencl);
    if (subject.checks + subject.faults == 0) {
        fprintf(stderr, "FAILED: cases.c has no operation \"%s\"\n", only);
        subject.failures++;
    }
    for (size_t i = 0; prints_rows && i < subject.row_count; i++)
        printf("row %s %s %zu %zu\n", subject.rows[i].operation, subject.rows[i].dtype,
               subject.rows[i].numbers, subject.rows[i].failures);
    const size_t failures = subject.failures + reference.failures;
    printf("%zu numbers compared, %zu faults refused, %zu failures\n", subject.value_count,
           subject.faults + reference.faults, failures);
    bench_close(&subject);
    bench_close(&reference);
    return failures == 0 ? 0 : 1;
}
