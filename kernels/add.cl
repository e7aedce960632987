// forja_add: y = a + b over `count` elements; y may be a or b.
//
// Launch    one work-group per BLOCK elements
// Twin      cpu/add.c
ROW_KERNEL void forja_add(__global const storage_t *a, ulong a_offset, __global const storage_t *b,
                          ulong b_offset, __global storage_t *y, ulong y_offset, ulong count) {
    a += a_offset;
    b += b_offset;
    y += y_offset;
    ulong start = get_group_id(0) * (ulong)BLOCK, end = min(count, start + BLOCK);
    FOR_LANE(i, start, end)
        store_v(load_v(a + i, end - i) + load_v(b + i, end - i), y + i, end - i);
}
