static void GK_V(floats_to_lanes)(
    const float *input, size_t stride, size_t rows, size_t width, v16 *lanes) {
    for (size_t x = 0; x < width; x += LANES) {
        const size_t n = width - x < LANES ? width - x : LANES;
        v16 m[LANES];
        for (size_t r = 0; r < LANES; r++) {
            const float *in = input + (r < rows ? r : rows - 1) * stride + x;
            if (n == LANES)
                load16(&m[r], in);
            else
                load_part(&m[r], in, n);
        }
        TRANSPOSE(v16, m);
        for (size_t i = 0; i < LANES; i++) lanes[x + i] = m[i];
    }
}

static void GK_V(lanes_to_floats)(
    const v16 *lanes, size_t rows, size_t width, float *output, size_t stride) {
    for (size_t x = 0; x < width; x += LANES) {
        const size_t n = width - x < LANES ? width - x : LANES;
        v16 m[LANES];
        for (size_t i = 0; i < LANES; i++) m[i] = lanes[x + i];
        TRANSPOSE(v16, m);
        for (size_t r = 0; r < rows; r++) {
            float *out = output + r * stride + x;
            if (n == LANES)
                store16(out, &m[r]);
            else
                store_part(out, &m[r], n);
        }
    }
}

void GK_V(gk_resize_along)(
    const float *input, size_t input_stride, size_t rows, size_t first_column, size_t columns,
    gk_float_taps taps, float gain, float bias, v16 *lanes, float *output, size_t output_stride) {
    v16 *sums = lanes + columns + LANES;
    for (size_t row = 0; row < rows; row += LANES) {
        const size_t n = rows - row < LANES ? rows - row : LANES;
        GK_V(floats_to_lanes)(input + row * input_stride, input_stride, n, columns, lanes);
        for (size_t i = 0; i < taps.outputs; i++) {
            const float *weights = taps.weights + i * taps.stride;
            const v16 *in = lanes + ((size_t)taps.starts[i] - first_column);
            const size_t count = (size_t)taps.counts[i];
            v16 sum = {0};
            for (size_t t = 0; t < count; t++) sum += in[t] * weights[t];
            sums[i] = sum * gain + bias;
        }
        GK_V(lanes_to_floats)(
            sums, n, taps.outputs, output + row * output_stride, output_stride);
    }
}

void GK_V(gk_resize_across)(
    const float *input, size_t input_stride, size_t width, gk_float_taps taps, float *output,
    size_t output_stride) {
    for (size_t i = 0; i < taps.outputs; i++) {
        const float *weights = taps.weights + i * taps.stride;
        const float *in = input + (size_t)taps.starts[i] * input_stride;
        const size_t count = (size_t)taps.counts[i];
        float *out = output + i * output_stride;
        size_t x = 0;
        for (; x + 4 * LANES <= width; x += 4 * LANES) {
            v16 sums[4] = {{0}, {0}, {0}, {0}}, v;
            for (size_t t = 0; t < count; t++)
                for (size_t k = 0; k < 4; k++) {
                    load16(&v, in + t * input_stride + x + k * LANES);
                    sums[k] += v * weights[t];
                }
            for (size_t k = 0; k < 4; k++) store16(out + x + k * LANES, &sums[k]);
        }
        for (; x < width; x += LANES) {
            const size_t n = width - x < LANES ? width - x : LANES;
            v16 sum = {0}, v;
            for (size_t t = 0; t < count; t++) {
                if (n == LANES)
                    load16(&v, in + t * input_stride + x);
                else
                    load_part(&v, in + t * input_stride + x, n);
                sum += v * weights[t];
            }
            if (n == LANES)
                store16(out + x, &sum);
            else
                store_part(out + x, &sum, n);
        }
    }
}

void GK_V(gk_unit_planes)(
    const uint8_t *restrict input, size_t pixels, size_t channels, float *restrict output) {
    if (channels == 1) {
        for (size_t p = 0; p < pixels; p++) output[p] = (float)input[p] / 255.0f;
        memcpy(output + pixels, output, pixels * sizeof(float));
        memcpy(output + 2 * pixels, output, pixels * sizeof(float));
        return;
    }
    float *restrict green = output + pixels, *restrict blue = output + 2 * pixels;
    for (size_t p = 0; p < pixels; p++) {
        output[p] = (float)input[3 * p] / 255.0f;
        green[p] = (float)input[3 * p + 1] / 255.0f;
        blue[p] = (float)input[3 * p + 2] / 255.0f;
    }
}

/// Whether any of `count` values is NaN or infinite.
static int GK_V(has_not_finite)(const float *values, size_t count) {
    const size_t rest = count % LANES, whole = count - rest;
    const int32_t top = 0x7F800000;
    i16 found = {0};
    v16 v;
    for (size_t i = 0; i < whole; i += LANES) {
        load16(&v, values + i);
        found |= ((i16)v & top) == top;
    }
    if (rest > 0) {
        load_part(&v, values + whole, rest);
        found |= ((i16)v & top) == top;
    }
    for (size_t l = 0; l < LANES; l++)
        if (found[l] != 0) return 1;
    return 0;
}

size_t GK_V(gk_first_not_finite)(const float *values, size_t count) {
    const size_t block = 1024;
    for (size_t start = 0; start < count; start += block) {
        const size_t n = count - start < block ? count - start : block;
        if (!GK_V(has_not_finite)(values + start, n)) continue;
        for (size_t i = start; i < start + n; i++)
            if (GK_V(has_not_finite)(values + i, 1)) return i;
    }
    return count;
}
