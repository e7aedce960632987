/// What every case of the smoke program shares: tensors on a device, and a check that runs an
/// operation with wrong arguments, then with right ones, and keeps what it wrote.
#pragma once

#include "forja.h"

typedef struct operation operation;

/// One device under test and the numbers that its operations wrote, in order.
typedef struct bench bench;

/// What became of one operation's numbers in one storage type.
typedef struct {
    const char *operation, *dtype;
    size_t numbers, failures;
} bench_row;

struct bench {
    forja_device *device;
    forja_queue *queue;
    forja_device *other_device; /// for the "buffer of another device" fault
    forja_buffer *other_buffer;

    const char *only; /// the one operation to check; NULL: all
    size_t checks;    /// operations checked so far

    const char *case_name;
    /// Buffers of the current case, freed at its end.
    forja_buffer *buffers[32];
    size_t buffer_count;
    /// Outputs of the current case, read back at its end.
    struct {
        forja_span span;
        uint64_t count;
        forja_dtype dtype;
    } outputs[8];
    size_t output_count;

    float *values; /// everything read back so far
    float *slacks; /// how far another device may be from each value, beside its size
    const char **names;
    size_t *rows_of_values; /// each value's place in `rows`
    size_t value_count, value_capacity;
    bench_row rows[64];
    size_t row_count, row; /// and the one under test
    size_t failures, faults;

    /// Where set, runs in place of the checks of `bench_check`.
    void (*instead)(bench *b, const operation *op, const void *args);
};

/// `thread_count` is for the host device; `opencl_index` < 0 takes the host.
void bench_open(bench *b, uint32_t thread_count, long opencl_index);
void bench_close(bench *b);

/// Starts a case: what follows belongs to it until `bench_check`.
void bench_begin(bench *b, const char *name);

/// A tensor of `count` numbers in (−1, 1) that depend on the case alone; it ends where its buffer
/// ends, so that one element too many is seen, and starts at an odd offset.
forja_span bench_input(bench *b, uint64_t count, forja_dtype dtype);
/// Integers: `value[i]` for i in 0 ..< count.
forja_span bench_integers(bench *b, uint64_t count, const int32_t *values);
/// Given floats.
forja_span bench_floats(bench *b, uint64_t count, const float *values);
/// A tensor full of NaN, read back by `bench_check`.
forja_span bench_output(bench *b, uint64_t count, forja_dtype dtype);
/// Marks an input that the operation changes in place.
void bench_watch(bench *b, forja_span span, uint64_t count, forja_dtype dtype);

/// An operation with its arguments' layout, so that each span can be spoilt in turn.
struct operation {
    const char *name;
    forja_status (*call)(forja_queue *queue, const void *args);
    size_t args_size;
    size_t dtype_offset; /// SIZE_MAX: none
    size_t span_offsets[12];
    size_t span_count;
};

/// Whether `bench_check` will check `op` or only end its case: see `only`.
bool bench_wants(const bench *b, const operation *op);

/// Runs every fault (NULL queue and arguments, each present span out of range or of another device,
/// a wrong dtype), each of which must be refused with a message, and a zeroed struct, which must not
/// crash; then the call itself, which must succeed and leave finite numbers. Ends the case.
void bench_check(bench *b, const operation *op, const void *args);

/// Every operation over small ragged shapes.
void run_cases(bench *b);

/// `smoke fuzz host|opencl SECONDS SEED`: every operation with damaged arguments (fuzz.c).
int fuzz_main(int argc, char **argv);
