// forja_adamw: one update in one pass, Loshchilov and Hutter, 2019, arXiv:1711.05101 (formulas and
// the places of the scalars in include/forja_optimizer.h). Does nothing when IS_FINITE is 0.
//
// Launch    one work-group per BLOCK elements
// Writes    weight, m and v in place; the bf16 copy where the buffer is not NULL
// Twin      cpu/adamw.c
#define LEARNING_RATE 0
#define BIAS_CORRECTION1 1
#define BIAS_CORRECTION2 2
#define UPDATE_SCALE 10
#define IS_FINITE 11

ROW_KERNEL void forja_adamw(__global float *weight, ulong weight_offset, __global ushort *copy,
                            ulong copy_offset, __global const float *gradient,
                            ulong gradient_offset, __global float *m, ulong m_offset,
                            __global float *v, ulong v_offset, __global const float *scalars,
                            ulong scalars_offset, ulong count, float beta1, float beta2,
                            float epsilon, float weight_decay) {
    scalars += scalars_offset;
    if (scalars[IS_FINITE] == 0.0f)
        return;
    float rate = scalars[LEARNING_RATE], update_scale = scalars[UPDATE_SCALE];
    float decay = 1.0f - rate * weight_decay, step = rate / scalars[BIAS_CORRECTION1];
    float root_correction2 = sqrt(scalars[BIAS_CORRECTION2]);
    weight += weight_offset;
    gradient += gradient_offset;
    m += m_offset;
    v += v_offset;
    ulong start = get_group_id(0) * (ulong)BLOCK, end = min(count, start + BLOCK);
    FOR_LANE(i, start, end) {
        ulong left = end - i;
        float_v g = load_f32_v(gradient + i, left) * update_scale;
        float_v mean = load_f32_v(m + i, left) * beta1 + g * (1.0f - beta1);
        float_v square = load_f32_v(v + i, left) * beta2 + g * g * (1.0f - beta2);
        float_v w = load_f32_v(weight + i, left) * decay -
                    step * (mean / (sqrt(square) / root_correction2 + epsilon));
        store_f32_v(w, weight + i, left);
        store_f32_v(mean, m + i, left);
        store_f32_v(square, v + i, left);
        if (copy)
            store_bf16_v(w, copy + copy_offset + i, left);
    }
}
