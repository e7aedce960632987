// forja_cache_append: cache[b, position[b] + t, :] = source[b, t, :]
//
// Legend    B batch, T rows appended, S capacity, W width
// Launch    global (W, T, B), any local size
// Tail      rows that fall outside 0 ..< S are dropped
// Precision copied bit for bit
// Twin      cpu/cache.c
__kernel void forja_cache_append(__global const storage_t *source, ulong source_at,
                                 __global storage_t *cache, ulong cache_at,
                                 __global const int *position, ulong position_at, uint S, uint W,
                                 ulong source_row) {
    const uint w = get_global_id(0), t = get_global_id(1), b = get_global_id(2);
    const long row = (long)position[position_at + b] + t;
    if (row >= 0 && row < (long)S)
        cache[cache_at + ((ulong)b * S + row) * W + w] =
            source[source_at + ((ulong)b * get_global_size(1) + t) * source_row + w];
}
