/// Calls every operation with arguments that a seed damages: a status and a message, never a crash.
///
/// Each case of cases.c gives valid arguments; a few of their words are replaced by zero, by limits of
/// their type or by small numbers, and buffers by absent, foreign or short ones. A call that is refused
/// must say why; one that is accepted must stay inside its buffers, which end where tensors end so that
/// the address sanitizer sees the first byte too many. Operands never overlap: the headers say where
/// they may, and elsewhere nobody looks.
#define _GNU_SOURCE
#include "bench.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/// What the operation table does not say: bytes that hold a bool, where other values than 0 and 1 would
/// be undefined before the engine sees them, and the workspace query of the operations that have one.
typedef struct trait {
    const char *name;
    size_t flag_offset; /// a second flag, where there is one, follows at once
    uint64_t (*workspace)(const forja_device *device, const void *args);
} trait;

#define WORKSPACE(function, type)                                                    \
    static uint64_t workspace_##function(const forja_device *device, const void *args) { \
        return forja_##function##_workspace_bytes(device, (const type *)args);       \
    }
WORKSPACE(matmul, forja_matmul_args)
WORKSPACE(attention_forward, forja_attention_args)
WORKSPACE(attention_backward, forja_attention_backward_args)
WORKSPACE(rmsnorm_backward, forja_rmsnorm_backward_args)

static const trait traits[] = {
    {"matmul", offsetof(forja_matmul_args, accumulate), workspace_matmul},
    {"attention_forward", SIZE_MAX, workspace_attention_forward},
    {"attention_backward", SIZE_MAX, workspace_attention_backward},
    {"rmsnorm_backward", offsetof(forja_rmsnorm_backward_args, accumulate_dx),
     workspace_rmsnorm_backward},
    {"embedding_backward", offsetof(forja_embedding_backward_args, accumulate), NULL},
    {"rope", offsetof(forja_rope_args, inverse), NULL},
    {"sum", offsetof(forja_sum_args, accumulate), NULL},
};

static trait trait_of(const operation *op) {
    for (size_t i = 0; i < sizeof(traits) / sizeof(traits[0]); i++)
        if (strcmp(traits[i].name, op->name) == 0)
            return traits[i];
    return (trait){op->name, SIZE_MAX, NULL};
}

static uint64_t state;    /// of the random numbers
static uint64_t calls, accepted;
static double deadline;   /// seconds of CLOCK_MONOTONIC
static forja_buffer *short_buffer; /// 2 bytes
/// The current call, for the alarm that ends a hang.
static char description[160];

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/// SplitMix64 (Steele, Lea and Flood, 2014).
static uint64_t draw(uint64_t below) {
    state += 0x9e3779b97f4a7c15u;
    uint64_t z = state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) % below;
}

static uint64_t draw_number(uint64_t old) {
    const unsigned shift = (unsigned)draw(64);
    switch (draw(8)) {
    case 0: return 0;
    case 1: return UINT64_MAX - draw(3);
    case 2: return UINT64_C(1) << shift;
    case 3: return (UINT64_C(1) << shift) - 1 - draw(2);
    case 4: return old + 1;
    case 5: return old - 1;
    case 6: return old * (2 + draw(7));
    default: return draw(80);
    }
}

static void on_alarm(int signal) {
    (void)signal;
    static const char text[] = "FAILED: a call did not return in time: ";
    (void)!write(STDERR_FILENO, text, sizeof(text) - 1);
    (void)!write(STDERR_FILENO, description, strlen(description));
    (void)!write(STDERR_FILENO, "\n", 1);
    _exit(1);
}

static void damage_span(bench *b, const operation *op, unsigned char *args) {
    forja_span span;
    unsigned char *place = args + op->span_offsets[draw(op->span_count)];
    memcpy(&span, place, sizeof(span));
    switch (draw(4)) {
    case 0: span.buffer = NULL; break;
    case 1: span.buffer = b->other_buffer; break;
    case 2: span.buffer = short_buffer; break;
    default: span.offset = draw_number(span.offset);
    }
    memcpy(place, &span, sizeof(span));
}

/// Replaces four or eight bytes that are neither a buffer nor a flag.
static void damage_word(const operation *op, size_t flag_offset, unsigned char *args) {
    const size_t size = draw(2) ? 4 : 8;
    const size_t offset = draw(op->args_size / size) * size;
    for (size_t i = 0; i < op->span_count; i++)
        if (offset < op->span_offsets[i] + sizeof(void *) && op->span_offsets[i] < offset + size)
            return;
    if (flag_offset != SIZE_MAX && offset < flag_offset + 2 && flag_offset < offset + size) {
        args[flag_offset] ^= 1;
        return;
    }
    uint64_t old = 0;
    memcpy(&old, args + offset, size); // little-endian, as every device the engine runs on
    old = draw_number(old);
    memcpy(args + offset, &old, size);
}

static void fuzz_operation(bench *b, const operation *op, const void *args) {
    const trait t = trait_of(op);
    unsigned char *damaged = malloc(op->args_size);
    for (int round = 0; round < 40 && now() < deadline; round++) {
        const uint64_t start = state;
        memcpy(damaged, args, op->args_size);
        for (uint64_t i = 0, count = 1 + draw(3); i < count; i++)
            if (draw(3) == 0)
                damage_span(b, op, damaged);
            else
                damage_word(op, t.flag_offset, damaged);
        snprintf(description, sizeof(description), "%s [%s], state %llu", op->name, b->case_name,
                 (unsigned long long)start);
        if (getenv("FUZZ_TRACE"))
            fprintf(stderr, "%s\n", description);
        alarm(20);
        calls++;
        if (t.workspace)
            (void)t.workspace(b->device, damaged);
        const forja_status status = op->call(b->queue, damaged);
        if (status == FORJA_OK)
            accepted++;
        else if (forja_last_error()[0] == '\0') {
            fprintf(stderr, "FAILED %s: refused without a message\n", description);
            b->failures++;
        }
        if (forja_queue_finish(b->queue) != FORJA_OK) {
            fprintf(stderr, "FAILED %s: %s\n", description, forja_last_error());
            b->failures++;
        }
        alarm(0);
    }
    free(damaged);
}

/// Copies, fills and allocations with drawn sizes. Host memory is 64 bytes: a size that is accepted
/// must be one of a buffer of 64 bytes.
static void fuzz_objects(bench *b) {
    unsigned char bytes[64] = {0};
    forja_buffer *buffer = NULL, *twin = NULL;
    if (forja_buffer_create(&buffer, b->device, sizeof(bytes)) != FORJA_OK ||
        forja_buffer_create(&twin, b->device, sizeof(bytes)) != FORJA_OK) {
        b->failures++;
        return;
    }
    forja_buffer *const choices[] = {buffer, twin, b->other_buffer, NULL};
    for (int round = 0; round < 200; round++) {
        forja_buffer *from = choices[draw(4)], *to = choices[draw(4)];
        const uint64_t offset = draw_number(32), other = draw_number(0), size = draw_number(16);
        snprintf(description, sizeof(description), "objects, offsets %llu and %llu, size %llu",
                 (unsigned long long)offset, (unsigned long long)other, (unsigned long long)size);
        alarm(20);
        calls++;
        forja_status status = FORJA_OK;
        switch (draw(8)) {
        // Ranges of a foreign buffer may be valid and longer than `bytes`.
        case 0:
            if (from != b->other_buffer)
                status = forja_buffer_write(b->queue, from, offset, bytes, size);
            break;
        case 1:
            if (from != b->other_buffer)
                status = forja_buffer_read(b->queue, bytes, from, offset, size);
            break;
        case 2: status = forja_buffer_fill(b->queue, to, offset, size, 0x5a); break;
        case 3: status = forja_buffer_copy(b->queue, to, offset, from, other, size); break;
        case 4: {
            forja_buffer *made = NULL;
            // Up to 1 MiB, or more than any machine has.
            const uint64_t wanted = draw(2) ? draw(1 << 20) : UINT64_MAX - draw(1 << 20);
            status = forja_buffer_create(&made, b->device, wanted);
            forja_buffer_free(made);
            break;
        }
        case 5:
            status = forja_queue_reserve_workspace(
                b->queue, draw(2) ? draw(1 << 20) : UINT64_MAX - draw(1 << 20));
            break;
        case 6: {
            forja_staging *made = NULL;
            const uint64_t wanted = draw(2) ? draw(1 << 20) : UINT64_MAX - draw(1 << 20);
            status = forja_staging_create(&made, b->device, wanted);
            forja_staging_free(made);
            break;
        }
        default: {
            forja_device_info info;
            status = forja_opencl_device_query(&info, (size_t)draw_number(1 << 16) | 1 << 16);
        }
        }
        if (status == FORJA_OK)
            accepted++;
        else if (forja_last_error()[0] == '\0') {
            fprintf(stderr, "FAILED %s: refused without a message\n", description);
            b->failures++;
        }
        alarm(0);
    }
    forja_buffer_free(twin);
    forja_buffer_free(buffer);
}

int fuzz_main(int argc, char **argv) {
    const bool on_opencl = argc > 2 && strcmp(argv[2], "opencl") == 0;
    if (argc != 5 || (!on_opencl && strcmp(argv[2], "host") != 0)) {
        fprintf(stderr, "usage: %s fuzz host|opencl SECONDS SEED\n", argv[0]);
        return 64;
    }
    if (on_opencl && forja_opencl_device_count() == 0) {
        fprintf(stderr, "no OpenCL device: %s\n", forja_opencl_status());
        return 77;
    }
    state = strtoull(argv[4], NULL, 10);
    deadline = now() + strtod(argv[3], NULL);
    signal(SIGALRM, on_alarm);
    bench b;
    bench_open(&b, 2, on_opencl ? 0 : -1);
    b.instead = fuzz_operation;
    if (forja_buffer_create(&short_buffer, b.device, 2) != FORJA_OK)
        return 1;
    do {
        fuzz_objects(&b);
        run_cases(&b);
    } while (now() < deadline);
    forja_buffer_free(short_buffer);
    printf("%llu calls with damaged arguments on %s, seed %s: %llu accepted, %zu failures\n",
           (unsigned long long)calls, argv[2], argv[4], (unsigned long long)accepted, b.failures);
    const size_t failures = b.failures;
    bench_close(&b);
    return failures == 0 ? 0 : 1;
}
