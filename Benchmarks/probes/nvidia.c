// P2 to P5 and P7: NVIDIA's inline PTX, and PTX as a program's binary.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "probe.h"

static const char bulk_copy_text[] = {
#embed "../../kernels/nv_bulk_copy_probe.cl" suffix(, )
    0};

static char *source(answer *a, forja__source which) {
    char *text = NULL;
    if (forja__kernel_source(&text, which) != FORJA_OK)
        say(a, FAILED, "%s", forja_last_error());
    return text;
}

/// ".version 8.7, .target sm_90, texmode_independent" of a PTX text.
static void describe_ptx(const char *ptx, char *out, size_t size) {
    const char *version = strstr(ptx, ".version"), *target = strstr(ptx, ".target");
    if (!version || !target) {
        snprintf(out, size, "the binary is not PTX text");
        return;
    }
    snprintf(out, size, "%.*s, %.*s", (int)strcspn(version, "\n"), version,
             (int)strcspn(target, "\n"), target);
}

/// Runs nv_mma_probe.cl's kernel: the number it leaves, 2 where all is right.
static bool run_mma(answer *a, const session *s, cl_program program, const char *what) {
    float values[4] = {1, 1, 1, 1};
    cl_mem memory = buffer_with(s, values, sizeof values);
    const argument arguments[] = {{sizeof memory, &memory}};
    const char *call;
    const cl_int code = run_kernel(s, program, "probe", arguments, 1, 32, &call);
    const bool is_read = code == CL_SUCCESS && buffer_read(s, memory, values, sizeof values);
    if (memory)
        s->cl->clReleaseMemObject(memory);
    if (code != CL_SUCCESS)
        say(a, FAILED, "%s: %s gives %s", what, call, code_text(code));
    else if (!is_read || values[0] != 2.0f)
        say(a, FAILED, "%s: runs and gives %g, not 2", what, (double)values[0]);
    return code == CL_SUCCESS && is_read && values[0] == 2.0f;
}

/// Builds nv_mma_probe.cl with `options`, and returns the program where it runs and is right. `*ptx`, which the
/// caller frees, is its binary; its header is in `header`.
static cl_program mma_program(answer *a, const session *s, const char *options, char **ptx,
                              char *header, size_t header_size) {
    *ptx = NULL;
    char *text = source(a, FORJA__SOURCE_NV_MMA_PROBE);
    if (!text)
        return NULL;
    cl_program program = build_source(a, s, "nv_mma_probe.cl", text, options);
    free(text);
    if (!program)
        return NULL;
    size_t size;
    *ptx = program_binary(s, program, &size);
    describe_ptx(*ptx ? *ptx : "", header, header_size);
    snprintf(a->detail, sizeof a->detail, "%s", *ptx ? *ptx : "");
    if (!run_mma(a, s, program, "mma.sync, ldmatrix and cp.async")) {
        s->cl->clReleaseProgram(program);
        return NULL;
    }
    return program;
}

// ── P2, P3, P5 ───────────────────────────────────────────────────────────────────────────────────

void ask_mma(answer *a, session *s) {
    char header[256], *ptx;
    cl_program program = mma_program(a, s, "-cl-std=CL1.2", &ptx, header, sizeof header);
    if (program) {
        say(a, PASSED, "mma.sync, ldmatrix and cp.async give the right sums; %s", header);
        s->cl->clReleaseProgram(program);
    }
    free(ptx);
}

void ask_mma_for_sm_90a(answer *a, session *s) {
    char header[256], *ptx;
    cl_program program =
        mma_program(a, s, "-cl-std=CL1.2 -cl-nv-arch sm_90a", &ptx, header, sizeof header);
    if (program) {
        const bool is_target = strstr(header, "sm_90a") != NULL;
        say(a, is_target ? PASSED : FAILED, "-cl-nv-arch sm_90a is %s; %s",
            is_target ? "honoured" : "taken and ignored", header);
        s->cl->clReleaseProgram(program);
    }
    free(ptx);
}

void ask_edited_ptx(answer *a, session *s) {
    char header[256], *ptx;
    cl_program program = mma_program(a, s, "-cl-std=CL1.2", &ptx, header, sizeof header);
    if (program)
        s->cl->clReleaseProgram(program);
    char *target = program && ptx ? strstr(ptx, ".target sm_90") : NULL;
    if (!program) {
        free(ptx);
        return;
    }
    const size_t length = strlen(".target sm_90");
    if (!target || target[length] == 'a') {
        say(a, FAILED, "the driver's binary has no \".target sm_90\" to edit; %s", header);
        free(ptx);
        return;
    }
    char *edited = calloc(strlen(ptx) + 2, 1);
    if (edited) {
        const size_t before = (size_t)(target - ptx) + length;
        memcpy(edited, ptx, before);
        edited[before] = 'a';
        strcpy(edited + before + 1, ptx + before);
        program = build_binary(a, s, "the driver's PTX for sm_90a", edited, strlen(edited) + 1);
        if (program && run_mma(a, s, program, "the driver's PTX for sm_90a"))
            say(a, PASSED, "the driver's PTX with sm_90 made sm_90a loads and gives the right sums");
        if (program)
            s->cl->clReleaseProgram(program);
    }
    free(edited);
    free(ptx);
}

// ── P4 ───────────────────────────────────────────────────────────────────────────────────────────

enum { M = 64, N = 8, K = 16 };

/// Integers from -2 to 2, exact in bf16 and in their sums.
static int integer_at(uint32_t place) { return (int)(place * 2654435761u >> 16) % 5 - 2; }

static uint16_t bf16_of(int integer) {
    const float value = (float)integer;
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (uint16_t)(bits >> 16);
}

/// C[64,8] = A[64,16] · B[8,16]ᵀ by forja_matmul_nv_wgmma_nt_f32.
static void multiply(answer *a, const session *s, cl_program program) {
    uint16_t left[M * K], right[N * K];
    float result[M * N];
    for (uint32_t i = 0; i < M * K; i++)
        left[i] = bf16_of(integer_at(i));
    for (uint32_t i = 0; i < N * K; i++)
        right[i] = bf16_of(integer_at(M * K + i));
    memset(result, 0xff, sizeof result);
    cl_mem a_memory = buffer_with(s, left, sizeof left);
    cl_mem b_memory = buffer_with(s, right, sizeof right);
    cl_mem c_memory = buffer_with(s, result, sizeof result);
    const cl_ulong zero = 0, k = K, n = N, m = M;
    const cl_float alpha = 1;
    const cl_int accumulate = 0;
    const argument arguments[] = {
        {sizeof a_memory, &a_memory}, {sizeof zero, &zero}, {sizeof k, &k}, {sizeof zero, &zero},
        {sizeof b_memory, &b_memory}, {sizeof zero, &zero}, {sizeof k, &k}, {sizeof zero, &zero},
        {sizeof c_memory, &c_memory}, {sizeof zero, &zero}, {sizeof n, &n}, {sizeof zero, &zero},
        {sizeof m, &m}, {sizeof n, &n}, {sizeof k, &k}, {sizeof alpha, &alpha},
        {sizeof accumulate, &accumulate}};
    const char *call;
    const cl_int code = run_kernel(s, program, "forja_matmul_nv_wgmma_nt_f32", arguments,
                                   sizeof arguments / sizeof arguments[0], 256, &call);
    if (code != CL_SUCCESS) {
        say(a, FAILED, "our sm_90a PTX is loaded; %s gives %s", call, code_text(code));
        return;
    }
    buffer_read(s, c_memory, result, sizeof result);
    uint32_t wrong = 0, first = 0;
    for (uint32_t place = 0; place < M * N; place++) {
        int sum = 0;
        for (uint32_t i = 0; i < K; i++)
            sum += integer_at(place / N * K + i) * integer_at(M * K + place % N * K + i);
        if (result[place] != (float)sum && wrong++ == 0)
            first = place;
    }
    if (wrong)
        say(a, FAILED, "our sm_90a PTX runs; %u of %d sums are wrong, the first C[%u, %u] = %g",
            wrong, M * N, first / N, first % N, (double)result[first]);
    else
        say(a, PASSED, "our sm_90a PTX loads as a binary; wgmma of 64x8x16 gives all %d sums right",
            M * N);
}

void ask_wgmma_module(answer *a, session *s) {
    char *ptx = source(a, FORJA__SOURCE_MATMUL_NV_WGMMA);
    if (!ptx)
        return;
    cl_program program = build_binary(a, s, "our sm_90a PTX", ptx, strlen(ptx) + 1);
    free(ptx);
    if (program) {
        multiply(a, s, program);
        s->cl->clReleaseProgram(program);
    }
}

// ── P7 ───────────────────────────────────────────────────────────────────────────────────────────

void ask_bulk_copy(answer *a, session *s) {
    enum { WORDS = 1024, ITEMS = 128 };
    cl_program program =
        build_source(a, s, "nv_bulk_copy_probe.cl", bulk_copy_text, "-cl-std=CL1.2");
    if (!program)
        return;
    cl_uint from[WORDS], to[WORDS] = {0};
    for (cl_uint i = 0; i < WORDS; i++)
        from[i] = i * 2654435761u;
    cl_mem source_memory = buffer_with(s, from, sizeof from);
    cl_mem result_memory = buffer_with(s, to, sizeof to);
    const argument arguments[] = {{sizeof source_memory, &source_memory},
                                  {sizeof result_memory, &result_memory}};
    const char *call;
    const cl_int code =
        run_kernel(s, program, "nv_bulk_copy_probe", arguments, 2, ITEMS, &call);
    if (code != CL_SUCCESS) {
        say(a, FAILED, "%s gives %s", call, code_text(code));
        return;
    }
    buffer_read(s, result_memory, to, sizeof to);
    cl_uint wrong = 0;
    for (cl_uint i = 0; i < WORDS; i++)
        wrong += to[i] != from[WORDS - 1 - i];
    if (wrong)
        say(a, FAILED, "%u of %d words are wrong", wrong, WORDS);
    else
        say(a, PASSED, "cp.async.bulk of 4 KiB behind an mbarrier brings every word");
}
