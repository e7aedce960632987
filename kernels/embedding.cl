// Rows of a table by id, and the ordered sum of gradient rows into the table's.
//
// Legend    table [table_rows, C] holds rows first_row, first_row + 1, … of one of total_rows rows, ids
//           [rows], C = width
// Twin      cpu/embedding.c

// forja_embedding_forward: y[n] = table[ids[n] − first_row]; 0 for an id in the whole table but not in
// these rows, NaN for one outside the whole table.
//
// Launch    ⌈rows / group_rows⌉ work-groups
ROW_KERNEL void forja_embedding_forward(__global const storage_t *table, ulong table_offset,
                                        __global const int *ids, ulong ids_offset,
                                        __global storage_t *y, ulong y_offset, ulong rows,
                                        ulong width, ulong table_rows, ulong first_row,
                                        ulong total_rows, ulong group_rows) {
    ulong first = get_group_id(0) * group_rows, last = min(rows, first + group_rows);
    for (ulong n = first; n < last; n++) {
        ulong id = (long)ids[ids_offset + n]; // a negative id is past any table
        ulong table_row = id - first_row;     // as is one before the first row
        __global storage_t *to = y + y_offset + n * width;
        if (table_row >= table_rows) {
            float_v filling = id < total_rows ? 0.0f : NAN;
            FOR_LANE(i, 0, width)
                store_v(filling, to + i, width - i);
            continue;
        }
        __global const storage_t *from = table + table_offset + table_row * width;
        FOR_LANE(i, 0, width)
            store_v(load_v(from + i, width - i), to + i, width - i);
    }
}

// forja_embedding_clear: zeros, one work-group per BLOCK elements.
ROW_KERNEL void forja_embedding_clear(__global float *d_table, ulong d_table_offset, ulong count) {
    d_table += d_table_offset;
    ulong start = get_group_id(0) * (ulong)BLOCK, end = min(count, start + BLOCK);
    FOR_LANE(i, start, end)
        store_f32_v(0.0f, d_table + i, end - i);
}

static inline void add_row(__global float *sum, __global const storage_t *dy, ulong width) {
    FOR_LANE(i, 0, width)
        store_f32_v(load_f32_v(sum + i, width - i) + load_v(dy + i, width - i), sum + i, width - i);
}

// forja_embedding_backward: d_table[v] += Σ over n with ids[n] = first_row + v of dy[n], n ascending.
#if LANES == 1
// Launch    a power of two of work-items; each owns the table rows v with v mod their count = its
//           number
ROW_KERNEL void forja_embedding_backward(__global const storage_t *dy, ulong dy_offset,
                                         __global const int *ids, ulong ids_offset,
                                         __global float *d_table, ulong d_table_offset, ulong rows,
                                         ulong width, ulong table_rows, ulong first_row) {
    uint share = get_group_id(0), mask = get_num_groups(0) - 1;
    ids += ids_offset;
    for (ulong first = 0; first < rows; first += 8) {
        // Most groups of eight hold none of this share.
        if (first + 8 <= rows && !any((vload8(0, ids + first) & (int)mask) == (int)share))
            continue;
        for (ulong n = first; n < min(rows, first + 8); n++) {
            // A negative id is past any table, as is one before the first row.
            ulong id = (ulong)(long)ids[n] - first_row;
            if (id < table_rows && ((uint)ids[n] & mask) == share)
                add_row(d_table + d_table_offset + id * width, dy + dy_offset + n * width, width);
        }
    }
}
#else
// Launch    one work-group per n. The group of an id's first occurrence owns the table row; the
//           others find an earlier one and add nothing. LANES ids are compared at a time; their
//           matches are bits in local memory, set by integer atomics, whose order does not show
#define MASK_WORDS ((LANES + 31) / 32)
ROW_KERNEL void forja_embedding_backward(__global const storage_t *dy, ulong dy_offset,
                                         __global const int *ids, ulong ids_offset,
                                         __global float *d_table, ulong d_table_offset, ulong rows,
                                         ulong width, ulong table_rows, ulong first_row) {
    __local uint matches[MASK_WORDS];
    uint lane = get_local_id(0);
    ulong own = get_group_id(0);
    ids += ids_offset;
    int id = ids[own];
    ulong table_row = (ulong)(long)id - first_row; // a negative id is past any table
    bool is_owner = table_row < table_rows;        // the same in every work-item
    __global float *sum = d_table + d_table_offset + (is_owner ? table_row * width : 0);
    for (ulong start = 0; start < rows; start += LANES) {
        if (lane < MASK_WORDS)
            matches[lane] = 0;
        barrier(CLK_LOCAL_MEM_FENCE);
        if (start + lane < rows && ids[start + lane] == id)
            atomic_or(&matches[lane / 32], 1u << lane % 32);
        barrier(CLK_LOCAL_MEM_FENCE);
        for (uint word = 0; word < MASK_WORDS; word++)
            for (uint left = matches[word]; is_owner && left != 0; left &= left - 1) {
                ulong n = start + word * 32 + (31 - clz(left & -left));
                is_owner = n >= own;
                if (is_owner)
                    add_row(sum, dy + dy_offset + n * width, width);
            }
        barrier(CLK_LOCAL_MEM_FENCE); // before the next chunk clears the mask
    }
}
#endif
