/// x[i], the values of input `first + i` for sixteen outputs from `output` on; zeros where there are
/// none.
GK_INLINE void GK_V(load_square)(
    v16 *x, const float *w, size_t output_stride, size_t input_stride, size_t inputs,
    size_t outputs, size_t first, size_t output) {
    const size_t columns = inputs - first < LANES ? inputs - first : LANES;
    const size_t rows = output >= outputs ? 0
        : outputs - output < LANES        ? outputs - output : LANES;
    const float *from = w + output * output_stride + first * input_stride;
    if (input_stride == 1 && rows == LANES && columns == LANES) {
#pragma clang loop unroll(full)
        for (size_t i = 0; i < LANES; i++) load16(&x[i], from + i * output_stride);
        transpose16(x);
    } else if (output_stride == 1 && rows == LANES && columns == LANES) {
#pragma clang loop unroll(full)
        for (size_t i = 0; i < LANES; i++) load16(&x[i], from + i * input_stride);
    } else {
        for (size_t i = 0; i < LANES; i++) {
            float lanes[LANES] = {0};
            for (size_t l = 0; l < rows && i < columns; l++)
                lanes[l] = from[l * output_stride + i * input_stride];
            load16(&x[i], lanes);
        }
    }
}

// A product and an addition that must stay two roundings, hence no contraction.
GK_INLINE void GK_V(to_bytes)(i16 *out, const v16 *x, const v16 *factor) {
#pragma clang fp contract(off)
    const float magic = 12582912.0f;
    const v16 most = (v16){0} + 127.0f, least = (v16){0} - 127.0f;
    v16 v = *x * *factor;
    i16 over = v > most, under = v < least;
    select16(&v, &over, &most, &v);
    select16(&v, &under, &least, &v);
    *out = (i16)(v + magic) - 0x4B400000;
}

/// Sixteen inputs of sixteen outputs, packed: `out` is where the first group of the first output goes.
/// `factor` and `sums` are for bytes alone.
GK_INLINE void GK_V(store_square)(
    const v16 *x, size_t groups, int element, float *out, const v16 *factor, i16 *sums) {
    i16_loose *to = (i16_loose *)(void *)out;
    // Full, or the last of its panel: the compiler unrolls the full one.
#define GROUPS(most, body)                                                                       \
    if (groups == most) {                                                                        \
        _Pragma("clang loop unroll(full)") for (size_t g = 0; g < most; g++) { body }            \
    } else {                                                                                     \
        for (size_t g = 0; g < groups; g++) { body }                                             \
    }
    const size_t step = GK_PANEL / LANES;
    if (element == GK_F32) {
        GROUPS(16, to[g * step] = (i16)x[g];)
    } else if (element == GK_BF16) {
        GROUPS(8, i16 low; i16 high; narrow_bf16_lanes(&low, &x[2 * g]);
               narrow_bf16_lanes(&high, &x[2 * g + 1]); to[g * step] = low | high << 16;)
    } else {
        GROUPS(4, i16 q[4]; for (int b = 0; b < 4; b++) {
            GK_V(to_bytes)(&q[b], &x[4 * g + b], factor);
            *sums += q[b];
        } to[g * step] = (q[0] & 0xFF) | (q[1] & 0xFF) << 8 | (q[2] & 0xFF) << 16 | q[3] << 24;)
    }
#undef GROUPS
}

/// The largest magnitudes of sixteen outputs.
GK_INLINE void GK_V(largest_weights)(
    v16 *top, const float *w, size_t output_stride, size_t input_stride, size_t inputs,
    size_t outputs, size_t output) {
    *top = (v16){0};
    for (size_t first = 0; first < inputs; first += LANES) {
        v16 x[LANES];
        GK_V(load_square)
        (x, w, output_stride, input_stride, inputs, outputs, first, output);
        for (size_t i = 0; i < LANES; i++) {
            v16 magnitude = (v16)((i16)x[i] & 0x7FFFFFFF);
            i16 greater = magnitude > *top;
            select16(top, &greater, &magnitude, top);
        }
    }
}

void GK_V(pack)(
    const float *w, size_t output_stride, size_t input_stride, size_t inputs, size_t outputs,
    int element, void *data, float *scales, int32_t *sums) {
    const size_t size = group_size(element), depth = gk_depth(element, inputs);
    const size_t square = LANES / size, panels = panel_count(outputs);
    // Where inputs lie far apart, some panels at once read whole runs of each; where outputs do, one
    // panel's are streams enough.
    const size_t at_once = input_stride == 1 ? 1 : AT_ONCE;
    for (size_t panel = 0; panel < panels; panel += at_once) {
        const size_t end = panel + at_once < panels ? panel + at_once : panels;
        const size_t halves = (end - panel) * (GK_PANEL / LANES);
        v16 factors[AT_ONCE * (GK_PANEL / LANES)];
        i16 totals[AT_ONCE * (GK_PANEL / LANES)];
        for (size_t half = 0; half < halves && element == GK_S8; half++) {
            const size_t output = panel * GK_PANEL + half * LANES;
            GK_V(largest_weights)
            (&factors[half], w, output_stride, input_stride, inputs, outputs, output);
            totals[half] = (i16){0};
            for (size_t l = 0; l < LANES; l++) {
                const float scale = factors[half][l] / 127.0f;
                // A scale whose reciprocal would overflow stands for nothing but zeros.
                factors[half][l] = scale >= 0x1p-126f ? 1.0f / scale : 0.0f;
                if (output + l < outputs) scales[output + l] = scale;
            }
        }
        for (size_t first = 0; first < depth; first += square) {
            const size_t groups = depth - first < square ? depth - first : square;
            for (size_t half = 0; half < halves; half++) {
                v16 x[LANES];
                GK_V(load_square)
                (x, w, output_stride, input_stride, inputs, outputs, first * size,
                 panel * GK_PANEL + half * LANES);
                float *out = (float *)data + (panel + half / 2) * depth * GK_PANEL
                    + first * GK_PANEL + half % 2 * LANES;
                GK_V(store_square)(x, groups, element, out, &factors[half], &totals[half]);
            }
        }
        for (size_t half = 0; half < halves && element == GK_S8; half++) {
            const size_t output = panel * GK_PANEL + half * LANES;
            for (size_t l = 0; l < LANES && output + l < outputs; l++)
                sums[output + l] = totals[half][l];
        }
    }
}
