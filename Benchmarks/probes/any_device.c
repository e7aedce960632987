// P1, P6 and P8: what any OpenCL device can be asked.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../Sources/CForja/opencl/nv_mma.h"
#include "probe.h"

static const char local_memory_text[] = {
#embed "../../kernels/local_memory_probe.cl" suffix(, )
    0};

// ── P1 ───────────────────────────────────────────────────────────────────────────────────────────

static bool has_extension(const char *extensions, const char *name) {
    const size_t length = strlen(name);
    for (const char *at = extensions; (at = strstr(at, name)); at += length)
        if ((at == extensions || at[-1] == ' ') && (at[length] == ' ' || at[length] == '\0'))
            return true;
    return false;
}

void ask_device_facts(answer *a, session *s) {
    char name[256], driver[128], version[128], language[128], extensions[12288];
    device_text(s, CL_DEVICE_NAME, name, sizeof name);
    device_text(s, CL_DRIVER_VERSION, driver, sizeof driver);
    device_text(s, CL_DEVICE_VERSION, version, sizeof version);
    device_text(s, CL_DEVICE_OPENCL_C_VERSION, language, sizeof language);
    device_text(s, CL_DEVICE_EXTENSIONS, extensions, sizeof extensions);
    const double mebibyte = 1 << 20;
    char capability[32] = "";
    if (s->compute_capability)
        snprintf(capability, sizeof capability, ", compute capability %u.%u",
                 s->compute_capability / 10, s->compute_capability % 10);
    const bool has_half = has_extension(extensions, "cl_khr_fp16");
    const bool has_groups = has_extension(extensions, "cl_khr_subgroups");
    say(a, PASSED,
        "%s, driver %s, %s, %s%s; %u compute units, %.0f MiB, one buffer up to %.0f MiB, "
        "%.0f KiB of local memory, work-groups up to %zu; half %s, sub-groups %s",
        name, driver, version, language, capability,
        device_count(s, CL_DEVICE_MAX_COMPUTE_UNITS),
        (double)device_number(s, CL_DEVICE_GLOBAL_MEM_SIZE) / mebibyte,
        (double)device_number(s, CL_DEVICE_MAX_MEM_ALLOC_SIZE) / mebibyte,
        (double)device_number(s, CL_DEVICE_LOCAL_MEM_SIZE) / 1024,
        (size_t)device_number(s, CL_DEVICE_MAX_WORK_GROUP_SIZE),
        has_half ? "yes" : "not advertised", has_groups ? "yes" : "not advertised");
    snprintf(a->detail, sizeof a->detail, "%s", extensions);
}

// ── P6 ───────────────────────────────────────────────────────────────────────────────────────────

enum { LOCAL_ITEMS = 64 };

/// Runs the kernel with `bytes` of local memory as an argument: NULL when the result is right, else what was not.
static const char *try_local_memory(const session *s, cl_program program, cl_uint bytes,
                                    cl_int *code) {
    const cl_uint count = bytes / sizeof(cl_uint);
    cl_uint sums[LOCAL_ITEMS] = {0};
    cl_mem out = buffer_with(s, sums, sizeof sums);
    const argument arguments[] = {
        {sizeof out, &out}, {bytes, NULL}, {sizeof count, &count}};
    const char *call;
    *code = run_kernel(s, program, "local_memory_probe", arguments, 3, LOCAL_ITEMS, &call);
    const bool is_read = *code == CL_SUCCESS && buffer_read(s, out, sums, sizeof sums);
    if (out)
        s->cl->clReleaseMemObject(out);
    if (*code != CL_SUCCESS)
        return call;
    // Item i sums the words that item 63 − i wrote.
    for (cl_uint i = 0; i < LOCAL_ITEMS; i++) {
        cl_uint expected = 0;
        for (cl_uint at = LOCAL_ITEMS - 1 - i; at < count; at += LOCAL_ITEMS)
            expected += at * 2654435761u;
        if (!is_read || sums[i] != expected)
            return "the sums";
    }
    return NULL;
}

void ask_local_memory(answer *a, session *s) {
    cl_program program =
        build_source(a, s, "the kernel", local_memory_text, "-cl-std=CL1.2");
    if (!program)
        return;
    static const cl_uint kilobytes[] = {32, 64, 100, 200};
    char seen[512] = "";
    bool all = true;
    for (int i = 0; i < 4; i++) {
        cl_int code;
        const char *wrong = try_local_memory(s, program, kilobytes[i] << 10, &code);
        char part[128];
        if (!wrong)
            snprintf(part, sizeof part, "%s%u KiB right", i ? ", " : "", kilobytes[i]);
        else if (code == CL_SUCCESS)
            snprintf(part, sizeof part, "%s%u KiB wrong sums", i ? ", " : "", kilobytes[i]);
        else
            snprintf(part, sizeof part, "%s%u KiB %s gives %s", i ? ", " : "", kilobytes[i], wrong,
                     code_text(code));
        strncat(seen, part, sizeof seen - strlen(seen) - 1);
        all = all && !wrong;
    }
    say(a, all ? PASSED : FAILED, "the device says %llu KiB; as an argument: %s",
        (unsigned long long)device_number(s, CL_DEVICE_LOCAL_MEM_SIZE) >> 10, seen);
    s->cl->clReleaseProgram(program);
}

// ── P8 ───────────────────────────────────────────────────────────────────────────────────────────

/// The largest tile of the tensor-core product on NVIDIA, P6's kernel elsewhere.
static cl_program build_measured(answer *a, const session *s, const char **kernel,
                                 char what[128]) {
    if (s->compute_capability < 80) {
        *kernel = "local_memory_probe";
        snprintf(what, 128, "local_memory_probe");
        return build_source(a, s, what, local_memory_text, "-cl-std=CL1.2");
    }
    const forja__matmul_nv_mma_tile *tile = &forja__matmul_nv_mma_tiles[0];
    const forja__matmul_nv_mma_shape shape = {
        .layout = FORJA_MATMUL_NN, .output_is_bf16 = true, .is_aligned = true, .c_has_pairs = true};
    char tile_options[FORJA__NV_MMA_OPTION_BYTES], options[FORJA__NV_MMA_OPTION_BYTES + 64];
    forja__matmul_nv_mma_options(tile_options, tile, shape);
    snprintf(options, sizeof options, "-cl-std=CL1.2 -cl-nv-verbose %s", tile_options);
    char *text = NULL;
    *kernel = "forja_matmul_nv_mma";
    snprintf(what, 128, "forja_matmul_nv_mma %s", tile->name);
    if (forja__kernel_source(&text, FORJA__SOURCE_MATMUL_NV_MMA) != FORJA_OK) {
        say(a, FAILED, "%s", forja_last_error());
        return NULL;
    }
    cl_program program = build_source(a, s, what, text, options);
    free(text);
    return program;
}

void ask_kernel_resources(answer *a, session *s) {
    const char *name;
    char what[128];
    cl_program program = build_measured(a, s, &name, what);
    if (!program)
        return;
    cl_int code;
    cl_kernel kernel = s->cl->clCreateKernel(program, name, &code);
    if (code != CL_SUCCESS) {
        say(a, FAILED, "%s: clCreateKernel gives %s", what, code_text(code));
        return;
    }
    cl_ulong private_bytes = 0, local_bytes = 0;
    size_t greatest_group = 0;
    const cl_int codes[] = {
        s->cl->clGetKernelWorkGroupInfo(kernel, s->device, CL_KERNEL_PRIVATE_MEM_SIZE,
                                        sizeof private_bytes, &private_bytes, NULL),
        s->cl->clGetKernelWorkGroupInfo(kernel, s->device, CL_KERNEL_LOCAL_MEM_SIZE,
                                        sizeof local_bytes, &local_bytes, NULL),
        s->cl->clGetKernelWorkGroupInfo(kernel, s->device, CL_KERNEL_WORK_GROUP_SIZE,
                                        sizeof greatest_group, &greatest_group, NULL)};
    for (int i = 0; i < 3; i++)
        if (codes[i] != CL_SUCCESS) {
            say(a, FAILED, "%s: clGetKernelWorkGroupInfo gives %s", what, code_text(codes[i]));
            return;
        }
    char *log = program_log(s, program);
    snprintf(a->detail, sizeof a->detail, "%s", log ? log : "");
    // ptxas: "Used 220 registers, ..."; "0 bytes spill stores, 0 bytes spill loads".
    const char *registers = log ? strstr(log, "Used ") : NULL;
    const bool has_log = registers != NULL;
    say(a, private_bytes == 0 || s->compute_capability < 80 ? PASSED : FAILED,
        "%s: private memory %llu bytes, local %llu, work-groups up to %zu; log %s%.*s", what,
        (unsigned long long)private_bytes, (unsigned long long)local_bytes, greatest_group,
        has_log ? "says " : "without a count of registers",
        has_log ? (int)strcspn(registers, "\n") : 0, has_log ? registers : "");
    free(log);
    s->cl->clReleaseKernel(kernel);
    s->cl->clReleaseProgram(program);
}
