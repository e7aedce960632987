// Prepended to every kernel file: storage types and their conversions.
//
// storage_t is what tensors are made of in memory: float, or with -DSTORAGE_BF16 the upper half of a
// float in a ushort. OpenCL C has no bf16 type, so loads widen and stores round to nearest even here.
// Sums are float32 everywhere.

inline float bf16_to_float(ushort x) { return as_float((uint)x << 16); }

inline ushort float_to_bf16(float x) {
    uint bits = as_uint(x);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return (ushort)((bits >> 16) | 0x40u); // NaN stays NaN, and quiet
    return (ushort)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

#ifdef STORAGE_BF16
typedef ushort storage_t;
inline float storage_load(ushort x) { return bf16_to_float(x); }
inline ushort storage_store(float x) { return float_to_bf16(x); }
#else
typedef float storage_t;
inline float storage_load(float x) { return x; }
inline float storage_store(float x) { return x; }
#endif
