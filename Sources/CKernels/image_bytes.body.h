/// Columns of up to sixteen rows to vectors; rows that are missing repeat the last one.
static void GK_V(rows_to_lanes)(
    const uint8_t *input, size_t stride, size_t rows, size_t width, b16 *lanes) {
    for (size_t x = 0; x < width; x += LANES) {
        const size_t n = width - x < LANES ? width - x : LANES;
        b16 m[LANES];
        for (size_t r = 0; r < LANES; r++) {
            const uint8_t *in = input + (r < rows ? r : rows - 1) * stride + x;
            if (n == LANES) {
                m[r] = *(const b16_loose *)in;
            } else {
                m[r] = (b16){0};
                memcpy(&m[r], in, n);
            }
        }
        TRANSPOSE(b16, m);
        for (size_t i = 0; i < LANES; i++) lanes[x + i] = m[i];
    }
}

static void GK_V(lanes_to_rows)(
    const b16 *lanes, size_t rows, size_t width, uint8_t *output, size_t stride) {
    for (size_t x = 0; x < width; x += LANES) {
        const size_t n = width - x < LANES ? width - x : LANES;
        b16 m[LANES];
        for (size_t i = 0; i < LANES; i++) m[i] = lanes[x + i];
        TRANSPOSE(b16, m);
        for (size_t r = 0; r < rows; r++) {
            uint8_t *out = output + r * stride + x;
            if (n == LANES)
                *(b16_loose *)out = m[r];
            else
                memcpy(out, &m[r], n);
        }
    }
}

GK_INLINE void GK_V(sums_along)(
    const b16 *input, size_t first_column, size_t channels, gk_byte_taps taps, b16 *output) {
    for (size_t i = 0; i < taps.outputs; i++) {
        const int32_t *weights = taps.weights + i * taps.stride;
        const b16 *in = input + ((size_t)taps.starts[i] - first_column) * channels;
        const size_t count = (size_t)taps.counts[i];
        i16 sums[4];
        for (size_t c = 0; c < channels; c++) sums[c] = (i16){0} + FRACTION_HALF;
        for (size_t t = 0; t < count; t++)
            for (size_t c = 0; c < channels; c++)
                sums[c] += __builtin_convertvector(in[t * channels + c], i16) * weights[t];
        for (size_t c = 0; c < channels; c++) clip16(&output[i * channels + c], &sums[c]);
    }
}

void GK_V(gk_resize_bytes_along)(
    const uint8_t *input, size_t row_bytes, size_t rows, size_t channels, size_t first_column,
    size_t columns, gk_byte_taps taps, b16 *lanes, uint8_t *output) {
    const size_t output_bytes = taps.outputs * channels;
    b16 *sums = lanes + columns * channels + LANES;
    for (size_t row = 0; row < rows; row += LANES) {
        const size_t n = rows - row < LANES ? rows - row : LANES;
        GK_V(rows_to_lanes)(
            input + row * row_bytes + first_column * channels, row_bytes, n, columns * channels,
            lanes);
        switch (channels) {
        case 1: GK_V(sums_along)(lanes, first_column, 1, taps, sums); break;
        case 2: GK_V(sums_along)(lanes, first_column, 2, taps, sums); break;
        case 3: GK_V(sums_along)(lanes, first_column, 3, taps, sums); break;
        default: GK_V(sums_along)(lanes, first_column, 4, taps, sums);
        }
        GK_V(lanes_to_rows)(sums, n, output_bytes, output + row * output_bytes, output_bytes);
    }
}

/// `n` sums side by side, sixteen a vector.
GK_INLINE void GK_V(sums_across)(
    const uint8_t *input, size_t row_bytes, const int32_t *weights, size_t count, size_t n,
    uint8_t *output) {
    i16 sums[4];
    for (size_t k = 0; k < n; k++) sums[k] = (i16){0} + FRACTION_HALF;
    for (size_t t = 0; t < count; t++)
        for (size_t k = 0; k < n; k++) {
            const b16 bytes = *(const b16_loose *)(input + t * row_bytes + k * LANES);
            sums[k] += __builtin_convertvector(bytes, i16) * weights[t];
        }
    for (size_t k = 0; k < n; k++) {
        b16 bytes;
        clip16(&bytes, &sums[k]);
        *(b16_loose *)(output + k * LANES) = bytes;
    }
}

void GK_V(gk_resize_bytes_across)(
    const uint8_t *input, size_t row_bytes, gk_byte_taps taps, uint8_t *output) {
    for (size_t i = 0; i < taps.outputs; i++) {
        const int32_t *weights = taps.weights + i * taps.stride;
        const uint8_t *in = input + (size_t)taps.starts[i] * row_bytes;
        const size_t count = (size_t)taps.counts[i];
        uint8_t *out = output + i * row_bytes;
        size_t x = 0;
        for (; x + 4 * LANES <= row_bytes; x += 4 * LANES)
            GK_V(sums_across)(in + x, row_bytes, weights, count, 4, out + x);
        for (; x + LANES <= row_bytes; x += LANES)
            GK_V(sums_across)(in + x, row_bytes, weights, count, 1, out + x);
        for (; x < row_bytes; x++) {
            int32_t sum = FRACTION_HALF;
            for (size_t t = 0; t < count; t++) sum += in[t * row_bytes + x] * weights[t];
            sum >>= FRACTION_BITS;
            out[x] = (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
        }
    }
}

/// colour · alpha / 255, rounded: exact for every pair of bytes, in 16 bits.
GK_INLINE uint8_t GK_V(times)(uint8_t color, uint8_t alpha) {
    const uint16_t product = (uint16_t)(color * alpha + 128);
    return (uint8_t)((uint16_t)(product + (product >> 8)) >> 8);
}

void GK_V(gk_over_white)(const uint8_t *restrict rgba, size_t pixels, uint8_t *restrict rgb) {
    for (size_t p = 0; p < pixels; p++) {
        const uint8_t alpha = rgba[4 * p + 3];
        rgb[3 * p] = 255 - GK_V(times)(255 - rgba[4 * p], alpha);
        rgb[3 * p + 1] = 255 - GK_V(times)(255 - rgba[4 * p + 1], alpha);
        rgb[3 * p + 2] = 255 - GK_V(times)(255 - rgba[4 * p + 2], alpha);
    }
}

void GK_V(gk_premultiply)(const uint8_t *restrict rgba, size_t pixels, uint8_t *restrict output) {
    for (size_t p = 0; p < pixels; p++) {
        const uint8_t alpha = rgba[4 * p + 3];
        output[4 * p] = GK_V(times)(rgba[4 * p], alpha);
        output[4 * p + 1] = GK_V(times)(rgba[4 * p + 1], alpha);
        output[4 * p + 2] = GK_V(times)(rgba[4 * p + 2], alpha);
        output[4 * p + 3] = alpha;
    }
}
