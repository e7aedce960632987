#include "bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OFFSET = 3 };

static void require(forja_status status, const char *what) {
    if (status == FORJA_OK)
        return;
    fprintf(stderr, "%s: status %d: %s\n", what, (int)status, forja_last_error());
    exit(1);
}

static void report(bench *b, const char *operation, const char *what) {
    if (b->row_count > 0)
        b->rows[b->row].failures++;
    fprintf(stderr, "FAILED %s [%s]: %s (last error: %s)\n", operation, b->case_name, what,
            forja_last_error());
    b->failures++;
}

void bench_open(bench *b, uint32_t thread_count, long opencl_index) {
    *b = (bench){0};
    if (opencl_index < 0)
        require(forja_device_open_host(&b->device, thread_count), "opening the host");
    else
        require(forja_device_open_opencl(&b->device, (size_t)opencl_index), "opening OpenCL");
    require(forja_queue_create(&b->queue, b->device), "creating a queue");
    require(forja_device_open_host(&b->other_device, 1), "opening the host again");
    require(forja_buffer_create(&b->other_buffer, b->other_device, 1 << 20), "another buffer");
}

void bench_close(bench *b) {
    forja_buffer_free(b->other_buffer);
    forja_device_free(b->other_device);
    forja_queue_free(b->queue);
    if (forja_device_allocated_bytes(b->device) != 0)
        report(b, "bench_close", "bytes are still allocated");
    forja_device_free(b->device);
    free(b->values);
    free(b->slacks);
    free(b->names);
    free(b->rows_of_values);
}

void bench_begin(bench *b, const char *name) { b->case_name = name; }

static forja_span create(bench *b, const void *bytes, uint64_t count, forja_dtype dtype) {
    const size_t size = forja_dtype_size(dtype);
    if (b->buffer_count == sizeof(b->buffers) / sizeof(b->buffers[0])) {
        fprintf(stderr, "case %s needs more buffers than the bench holds\n", b->case_name);
        exit(1);
    }
    forja_span span = {.offset = OFFSET};
    const uint64_t total = (count + OFFSET) * size;
    // In one write: Oclgrind 21.10 takes what the host wrote last for all that it wrote.
    unsigned char *whole = malloc(total);
    memset(whole, 0xff, OFFSET * size);
    memcpy(whole + OFFSET * size, bytes, count * size);
    require(forja_buffer_create(&span.buffer, b->device, total), "a buffer");
    require(forja_buffer_write(b->queue, span.buffer, 0, whole, total), "writing");
    free(whole);
    b->buffers[b->buffer_count++] = span.buffer;
    return span;
}

static uint16_t bf16_from_float(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return (uint16_t)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

static float float_from_bf16(uint16_t value) {
    const uint32_t bits = (uint32_t)value << 16;
    float number;
    memcpy(&number, &bits, sizeof(number));
    return number;
}

static float float_from_f16(uint16_t value) {
    const int exponent = (value >> 10) & 31;
    const float fraction = (float)(value & 1023) / 1024.0f;
    const float size = exponent == 31  ? (fraction > 0 ? NAN : INFINITY)
                       : exponent == 0 ? ldexpf(fraction, -14)
                                       : ldexpf(1.0f + fraction, exponent - 15);
    return value & 0x8000 ? -size : size;
}

forja_span bench_input(bench *b, uint64_t count, forja_dtype dtype) {
    float *values = malloc((count + 1) * sizeof(float));
    uint16_t *halves = malloc((count + 1) * sizeof(uint16_t));
    // Seeded by the buffer's place in its case, so that every device sees the same numbers.
    uint32_t state = 12345u + 7919u * (uint32_t)b->buffer_count;
    for (uint64_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        values[i] = (float)(int32_t)state / 2147483648.0f;
        // f16 inputs stay multiples of 1/8, whose bits need no rounding.
        halves[i] = bf16_from_float(values[i]);
        if (dtype == FORJA_DTYPE_F16)
            halves[i] = (uint16_t)(0x3c00u + 64u * (state >> 28));
    }
    const forja_span span =
        create(b, dtype == FORJA_DTYPE_F32 ? (void *)values : (void *)halves, count, dtype);
    free(values);
    free(halves);
    return span;
}

forja_span bench_integers(bench *b, uint64_t count, const int32_t *values) {
    return create(b, values, count, FORJA_DTYPE_I32);
}

forja_span bench_floats(bench *b, uint64_t count, const float *values) {
    return create(b, values, count, FORJA_DTYPE_F32);
}

forja_span bench_output(bench *b, uint64_t count, forja_dtype dtype) {
    void *poison = malloc((count + 1) * sizeof(float));
    memset(poison, 0xff, (count + 1) * sizeof(float));
    const forja_span span = create(b, poison, count, dtype);
    free(poison);
    bench_watch(b, span, count, dtype);
    return span;
}

void bench_watch(bench *b, forja_span span, uint64_t count, forja_dtype dtype) {
    b->outputs[b->output_count].span = span;
    b->outputs[b->output_count].count = count;
    b->outputs[b->output_count++].dtype = dtype;
}

static void expect_refusal(bench *b, const operation *op, forja_queue *queue, const void *args,
                           const char *fault) {
    b->faults++;
    if (op->call(queue, args) == FORJA_OK)
        report(b, op->name, fault);
    else if (forja_last_error()[0] == '\0')
        report(b, op->name, "refused without a message");
}

static void run_faults(bench *b, const operation *op, const void *args) {
    expect_refusal(b, op, NULL, args, "takes a NULL queue");
    expect_refusal(b, op, b->queue, NULL, "takes NULL arguments");
    unsigned char *spoilt = malloc(op->args_size);
    for (size_t i = 0; i < op->span_count; i++) {
        forja_span span;
        memcpy(&span, (const unsigned char *)args + op->span_offsets[i], sizeof(span));
        if (!span.buffer)
            continue;
        const forja_span wrong[] = {
            {span.buffer, forja_buffer_get_size(span.buffer)},
            {span.buffer, UINT64_MAX - 1},
            {span.buffer, UINT64_MAX / 4 + 1},
            {b->other_buffer, 0},
        };
        for (size_t w = 0; w < sizeof(wrong) / sizeof(wrong[0]); w++) {
            memcpy(spoilt, args, op->args_size);
            memcpy(spoilt + op->span_offsets[i], &wrong[w], sizeof(span));
            expect_refusal(b, op, b->queue, spoilt,
                           w == 3 ? "takes another device's buffer" : "takes a span past the end");
        }
    }
    if (op->dtype_offset != SIZE_MAX) {
        const forja_dtype wrong = FORJA_DTYPE_I32;
        memcpy(spoilt, args, op->args_size);
        memcpy(spoilt + op->dtype_offset, &wrong, sizeof(wrong));
        expect_refusal(b, op, b->queue, spoilt, "takes i32 tensors");
    }
    memset(spoilt, 0, op->args_size);
    (void)op->call(b->queue, spoilt);
    free(spoilt);
}

/// The row of `op` in the storage type that `args` names, made where there is none.
static size_t row_of(bench *b, const operation *op, const void *args) {
    forja_dtype dtype = FORJA_DTYPE_F32;
    if (op->dtype_offset != SIZE_MAX)
        memcpy(&dtype, (const unsigned char *)args + op->dtype_offset, sizeof(dtype));
    const char *name = dtype == FORJA_DTYPE_F32    ? "f32"
                       : dtype == FORJA_DTYPE_BF16 ? "bf16"
                                                   : "f16";
    for (size_t i = 0; i < b->row_count; i++)
        if (strcmp(b->rows[i].operation, op->name) == 0 && strcmp(b->rows[i].dtype, name) == 0)
            return i;
    if (b->row_count == sizeof(b->rows) / sizeof(b->rows[0])) {
        fprintf(stderr, "the bench has too few rows for %s\n", op->name);
        exit(1);
    }
    b->rows[b->row_count] = (bench_row){op->name, name, 0, 0};
    return b->row_count++;
}

static void keep(bench *b, float value, float slack) {
    if (b->value_count == b->value_capacity) {
        b->value_capacity = b->value_capacity ? 2 * b->value_capacity : 4096;
        b->values = realloc(b->values, b->value_capacity * sizeof(float));
        b->slacks = realloc(b->slacks, b->value_capacity * sizeof(float));
        b->names = realloc(b->names, b->value_capacity * sizeof(char *));
        b->rows_of_values = realloc(b->rows_of_values, b->value_capacity * sizeof(size_t));
    }
    b->rows_of_values[b->value_count] = b->row;
    b->rows[b->row].numbers++;
    b->values[b->value_count] = value;
    b->slacks[b->value_count] = slack;
    b->names[b->value_count++] = b->case_name;
}

static void read_outputs(bench *b, const operation *op) {
    for (size_t o = 0; o < b->output_count; o++) {
        const forja_dtype dtype = b->outputs[o].dtype;
        const size_t size = forja_dtype_size(dtype);
        const uint64_t count = b->outputs[o].count;
        unsigned char *bytes = malloc(count * size + 1);
        require(forja_buffer_read(b->queue, bytes, b->outputs[o].span.buffer, OFFSET * size,
                                  count * size),
                "reading");
        for (uint64_t i = 0; i < count; i++) {
            float value;
            uint16_t half;
            if (dtype == FORJA_DTYPE_F32) {
                memcpy(&value, bytes + 4 * i, 4);
            } else {
                memcpy(&half, bytes + 2 * i, 2);
                value = dtype == FORJA_DTYPE_BF16 ? float_from_bf16(half) : float_from_f16(half);
            }
            if (!isfinite(value)) {
                report(b, op->name, "an output was not written or is not finite");
                break;
            }
            // Two roundings of a bf16, and what an f32 sum of a few hundred terms loses.
            keep(b, value, dtype == FORJA_DTYPE_F32 ? 1e-4f : 1.6e-2f);
        }
        free(bytes);
    }
}

static void check(bench *b, const operation *op, const void *args) {
    b->checks++;
    b->row = row_of(b, op, args);
    run_faults(b, op, args);
    if (op->call(b->queue, args) != FORJA_OK)
        report(b, op->name, "fails on right arguments");
    require(forja_queue_finish(b->queue), "finishing");
    read_outputs(b, op);
}

bool bench_wants(const bench *b, const operation *op) {
    return !b->only || strcmp(b->only, op->name) == 0;
}

void bench_check(bench *b, const operation *op, const void *args) {
    if (bench_wants(b, op))
        (b->instead ? b->instead : check)(b, op, args);
    for (size_t i = 0; i < b->buffer_count; i++)
        forja_buffer_free(b->buffers[i]);
    b->buffer_count = 0;
    b->output_count = 0;
}
