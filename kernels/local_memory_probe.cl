// How much local memory a kernel's argument may have. For Benchmarks/probes; no part of the engine.
//
// Launch    one work-group of 64; `words` holds `count` words
// Writes    out[i], the sum of the words that item 63 − i wrote, modulo 2^32
__kernel void local_memory_probe(__global uint *out, __local uint *words, uint count) {
    const uint item = get_local_id(0), items = get_local_size(0);
    for (uint i = item; i < count; i += items)
        words[i] = i * 2654435761u;
    barrier(CLK_LOCAL_MEM_FENCE);
    uint sum = 0;
    for (uint i = items - 1 - item; i < count; i += items)
        sum += words[i];
    out[item] = sum;
}
