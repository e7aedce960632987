/// Eight questions to a driver that decide which kernels a GPU can have. Each probe runs in a child process of
/// its own (main.c), so a driver that crashes or hangs costs one answer.
#pragma once

#include "../../Sources/CForja/opencl/kernel_sources.h"
#include "../../Sources/CForja/opencl/loader.h"

/// The device under test, opened for one probe.
typedef struct session {
    const forja__opencl_api *cl;
    cl_device_id device;
    cl_context context;
    cl_command_queue queue;
    /// 90 for 9.0; 0 where the device does not answer NVIDIA's query for it.
    cl_uint compute_capability;
} session;

typedef enum verdict { PASSED, FAILED, NOT_APPLICABLE } verdict;

/// A probe's answer. `seen` is one line; `detail` may be many: build logs, extensions.
typedef struct answer {
    verdict verdict;
    char seen[1024];
    char detail[16384];
} answer;

typedef struct probe {
    const char *name, *title;
    /// Asked only of NVIDIA devices from this compute capability on (0: of any device), and where it is set up to
    /// the second.
    cl_uint least_capability, greatest_capability;
    void (*ask)(answer *, session *);
} probe;

extern const probe probes[8];

void ask_device_facts(answer *, session *);      // P1
void ask_mma(answer *, session *);               // P2
void ask_mma_for_sm_90a(answer *, session *);    // P3
void ask_wgmma_module(answer *, session *);      // P4
void ask_edited_ptx(answer *, session *);        // P5
void ask_local_memory(answer *, session *);      // P6
void ask_bulk_copy(answer *, session *);         // P7
void ask_kernel_resources(answer *, session *);  // P8

// ── session.c ────────────────────────────────────────────────────────────────────────────────────

/// The device with a number in the order in which platforms list them; -1: the first GPU, else the first of any
/// kind. False, with the reason in `why`, when there is none.
bool session_open(session *out, int number, char *why, size_t why_size);

/// A text property of the device; "" when it has none. Cut to fit.
void device_text(const session *, cl_device_info, char *out, size_t size);
cl_ulong device_number(const session *, cl_device_info); // of 8 bytes
cl_uint device_count(const session *, cl_device_info);   // of 4

/// Sets the verdict and the line.
[[gnu::format(printf, 3, 4)]] void say(answer *, verdict, const char *format, ...);
/// "CL_INVALID_VALUE (-30)", from a ring of four.
const char *code_text(cl_int code);

/// Builds a program; NULL with the verdict FAILED, the code and the log's first line in `seen` and the log in
/// `detail`. `what` begins the line.
cl_program build_source(answer *, const session *, const char *what, const char *text,
                        const char *options);
cl_program build_binary(answer *, const session *, const char *what, const void *bytes,
                        size_t size);
/// The program's binary, NUL-terminated; the caller frees it. NULL when the driver gives none.
char *program_binary(const session *, cl_program, size_t *size);
/// The build log; "" when there is none. The caller frees it.
char *program_log(const session *, cl_program);

/// Runs a kernel once with `arguments`, in one work-group of `items` work-items, and waits for it. `call` names
/// the call that failed.
typedef struct argument {
    size_t size;
    const void *value;
} argument;
cl_int run_kernel(const session *, cl_program, const char *kernel, const argument *arguments,
                  size_t count, size_t items, const char **call);

cl_mem buffer_with(const session *, const void *bytes, size_t size);
bool buffer_read(const session *, cl_mem, void *bytes, size_t size);
