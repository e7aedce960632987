#include "instruction_set.h"

#include <stdlib.h>
#include <string.h>

static forja__instruction_set widest(void) {
#if defined(__x86_64__)
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
        return FORJA__GENERIC;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        return FORJA__AVX512;
    return FORJA__AVX2;
#else
    return FORJA__GENERIC;
#endif
}

forja__instruction_set forja__host_instruction_set(void) {
    const forja__instruction_set best = widest();
    const char *forced = getenv("FORJA_CPU");
    if (forced && strcmp(forced, "generic") == 0)
        return FORJA__GENERIC;
    if (forced && strcmp(forced, "avx2") == 0 && best > FORJA__AVX2)
        return FORJA__AVX2;
    return best;
}
