// Launches kernels/peak.cl.
#include <stdio.h>

#include "opencl.h"

enum { GPU_CHAINS = 8, GPU_GROUP = 64 };

forja_status forja__opencl_multiply_add(forja_queue *queue, const forja_multiply_add_args *args) {
    static const char name[] = "forja_multiply_add";
    const bool is_cpu = forja__opencl_is_cpu(queue->device);
    const uint32_t vec = is_cpu ? forja__opencl_vector_width(queue->device) : 1;
    // AVX-512 has 32 vector registers, narrower x86 has 16.
    const uint32_t chains = !is_cpu ? GPU_CHAINS : vec == 16 ? 20 : 10;
    char options[48];
    snprintf(options, sizeof options, "-DVEC=%u -DCHAINS=%u", vec, chains);
    cl_kernel kernel;
    FORJA__TRY(forja__kernel_get(&kernel, queue->device, FORJA__SOURCE_PEAK, options, name));
    const uint64_t most = forja__opencl_max_work_group(queue->device);
    const size_t local[1] = {is_cpu ? 1 : most < GPU_GROUP ? most : GPU_GROUP};
    const uint64_t per_group = (uint64_t)chains * vec * local[0];
    const uint64_t groups = args->count / per_group + (args->count % per_group != 0);
    const size_t global[1] = {groups * local[0]};
    return FORJA__LAUNCH(queue, kernel, name, 1, global, local, FORJA__ARG_SPAN(args->out),
                         FORJA__ARG(args->count), FORJA__ARG(args->steps),
                         FORJA__ARG(args->factor), FORJA__ARG(args->addend));
}
