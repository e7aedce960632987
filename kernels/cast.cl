// destination = (to) source between f32, bf16 and f16, rounding to nearest even; all go through
// f32.
//
// Options   -DLOAD=load_f32_v (or bf16, f16), -DSTORE=store_…, -DFROM_T and -DTO_T their element
//           types
// Launch    one work-group per BLOCK elements
// Tail      as common.cl: part vectors with LANES = 1
// Twin      cpu/cast.c
//
// Half is converted in integer code: it needs no half type, and no subnormal float that a device
// may flush.

static inline float_v widen_f16_v(ushort_v x) {
    uint_v bits = convert_uint_v(x), magnitude = bits & 0x7fffu;
    float_v subnormal = convert_float_v(magnitude) * 0x1p-24f;
    uint_v normal = (magnitude << 13) + (112u << 23);
    uint_v special = (magnitude << 13) | 0x7f800000u;
    special = magnitude > 0x7c00u ? special | 0x400000u : special; // NaN becomes quiet
    uint_v result = magnitude < 0x400u ? as_uint_v(subnormal) : normal;
    result = magnitude >= 0x7c00u ? special : result;
    return as_float_v(result | (bits & 0x8000u) << 16);
}

static inline ushort_v narrow_f16_v(float_v x) {
    uint_v bits = as_uint_v(x), sign = (bits >> 16) & 0x8000u;
    bits &= 0x7fffffffu;
    uint_v normal = ((bits + 0xfffu + ((bits >> 13) & 1u)) >> 13) - (112u << 10);
    // Below 2^-14 a half counts in 2^-24, which is the last place of a float in [0.5, 1).
    uint_v small = as_uint_v(as_float_v(bits) + 0.5f) - 0x3f000000u;
    uint_v result = bits < 0x38800000u ? small : normal;
    result = bits >= 0x477ff000u ? (uint_v)(0x7c00u) : result;
    uint_v nan = ((bits >> 13) & 0x3ffu) | 0x7e00u;
    result = bits > 0x7f800000u ? nan : result;
    return convert_ushort_v(result | sign);
}

DEFINE_MEMORY(f16_v, ushort, ushort_v, widen_f16_v, narrow_f16_v)

ROW_KERNEL void forja_cast(__global const FROM_T *source, ulong source_offset,
                           __global TO_T *destination, ulong destination_offset, ulong count) {
    source += source_offset;
    destination += destination_offset;
    ulong start = get_group_id(0) * (ulong)BLOCK, end = min(count, start + BLOCK);
    FOR_LANE(i, start, end)
        STORE(LOAD(source + i, end - i), destination + i, end - i);
}
