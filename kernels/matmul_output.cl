// The output of every matrix product. STORAGE_BF16 is about the inputs; the output, which may
// differ, is bf16 with OUTPUT_BF16.
#ifdef OUTPUT_BF16
typedef ushort output_t;
static inline float output_load(ushort x) { return bf16_to_float(x); }
static inline ushort output_store(float x) { return float_to_bf16(x); }
#else
typedef float output_t;
static inline float output_load(float x) { return x; }
static inline float output_store(float x) { return x; }
#endif

// The end of every sum.
static inline void store_result(__global output_t *c, ulong place, float sum, float alpha,
                                int accumulate) {
    float value = accumulate ? fma(alpha, sum, output_load(c[place])) : alpha * sum;
    c[place] = output_store(value);
}
