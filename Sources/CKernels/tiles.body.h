// Tiles of fp32, bfloat16 and bytes in vectors of sixteen lanes, two to a row of a panel.

GK_INLINE void GK_V(tile_f32_of)(
    const size_t rows, const float *a, size_t a_row, size_t a_depth, const float *b,
    size_t b_depth, size_t depth, float *c, size_t c_row, int accumulate, const char *ahead,
    size_t ahead_step) {
    v16 left[GK_TILE_ROWS], right[GK_TILE_ROWS];
#pragma clang loop unroll(full)
    for (size_t i = 0; i < rows; i++) {
        left[i] = (v16){0};
        right[i] = (v16){0};
        if (accumulate) {
            load16(&left[i], c + i * c_row);
            load16(&right[i], c + i * c_row + LANES);
        }
    }
    for (size_t k = 0; k < depth; k++) {
        v16 b0, b1;
        load16(&b0, b);
        load16(&b1, b + LANES);
        GK_FETCH_AHEAD
#pragma clang loop unroll(full)
        for (size_t i = 0; i < rows; i++) {
            const float x = a[i * a_row];
            left[i] += x * b0;
            right[i] += x * b1;
        }
        a += a_depth;
        b += b_depth;
    }
#pragma clang loop unroll(full)
    for (size_t i = 0; i < rows; i++) {
        store16(c + i * c_row, &left[i]);
        store16(c + i * c_row + LANES, &right[i]);
    }
}

static void GK_V(tile_f32)(
    size_t rows, const void *a, size_t a_row, size_t a_depth, const void *b, size_t b_depth,
    size_t depth, float *c, size_t c_row, int accumulate, const char *ahead,
    size_t ahead_step) {
#define CALL(n)                                                                                  \
    GK_V(tile_f32_of)(n, a, a_row, a_depth, b, b_depth, depth, c, c_row, accumulate, ahead, ahead_step)
    GK_ROWS_SWITCH(GK_TILE_ROWS, rows, CALL)
#undef CALL
}

// Without an instruction for pairs: both halves of a pair widened to fp32, the lower first.
GK_INLINE void GK_V(tile_bf16_of)(
    const size_t rows, const int32_t *a, size_t a_row, size_t a_depth, const int32_t *b,
    size_t b_depth, size_t depth, float *c, size_t c_row, int accumulate, const char *ahead,
    size_t ahead_step) {
    v16 left[GK_TILE_ROWS], right[GK_TILE_ROWS];
#pragma clang loop unroll(full)
    for (size_t i = 0; i < rows; i++) {
        left[i] = (v16){0};
        right[i] = (v16){0};
        if (accumulate) {
            load16(&left[i], c + i * c_row);
            load16(&right[i], c + i * c_row + LANES);
        }
    }
    const i16 upper = (i16){0} + (int32_t)0xFFFF0000;
    for (size_t k = 0; k < depth; k++) {
        const i16 b0 = *(const i16_loose *)b, b1 = *(const i16_loose *)(b + LANES);
        GK_FETCH_AHEAD
        const v16 b0_low = (v16)(b0 << 16), b0_high = (v16)(b0 & upper);
        const v16 b1_low = (v16)(b1 << 16), b1_high = (v16)(b1 & upper);
#pragma clang loop unroll(full)
        for (size_t i = 0; i < rows; i++) {
            const uint32_t pair = (uint32_t)a[i * a_row];
            float low, high;
            const uint32_t low_bits = pair << 16, high_bits = pair & 0xFFFF0000u;
            memcpy(&low, &low_bits, sizeof low);
            memcpy(&high, &high_bits, sizeof high);
            left[i] += low * b0_low;
            left[i] += high * b0_high;
            right[i] += low * b1_low;
            right[i] += high * b1_high;
        }
        a += a_depth;
        b += b_depth;
    }
#pragma clang loop unroll(full)
    for (size_t i = 0; i < rows; i++) {
        store16(c + i * c_row, &left[i]);
        store16(c + i * c_row + LANES, &right[i]);
    }
}

static void GK_V(tile_bf16)(
    size_t rows, const void *a, size_t a_row, size_t a_depth, const void *b, size_t b_depth,
    size_t depth, float *c, size_t c_row, int accumulate, const char *ahead,
    size_t ahead_step) {
#define CALL(n)                                                                                  \
    GK_V(tile_bf16_of)(n, a, a_row, a_depth, b, b_depth, depth, c, c_row, accumulate, ahead, ahead_step)
    GK_ROWS_SWITCH(GK_TILE_ROWS, rows, CALL)
#undef CALL
}

// a's bytes are without sign, b's with.
GK_INLINE void GK_V(tile_s8_of)(
    const size_t rows, const int32_t *a, size_t a_row, size_t a_depth, const int32_t *b,
    size_t b_depth, size_t depth, float *c, size_t c_row, int accumulate, const char *ahead,
    size_t ahead_step) {
    i16 left[GK_TILE_ROWS], right[GK_TILE_ROWS];
#pragma clang loop unroll(full)
    for (size_t i = 0; i < rows; i++) {
        left[i] = (i16){0};
        right[i] = (i16){0};
        if (accumulate) {
            left[i] = *(const i16_loose *)(const void *)(c + i * c_row);
            right[i] = *(const i16_loose *)(const void *)(c + i * c_row + LANES);
        }
    }
    for (size_t k = 0; k < depth; k++) {
        const i16 b0 = *(const i16_loose *)b, b1 = *(const i16_loose *)(b + LANES);
        GK_FETCH_AHEAD
#pragma clang loop unroll(full)
        for (int byte = 0; byte < 4; byte++) {
            const i16 b0_byte = b0 << (24 - 8 * byte) >> 24, b1_byte = b1 << (24 - 8 * byte) >> 24;
#pragma clang loop unroll(full)
            for (size_t i = 0; i < rows; i++) {
                const int32_t x = (int32_t)((uint32_t)a[i * a_row] >> (8 * byte) & 0xFF);
                left[i] += x * b0_byte;
                right[i] += x * b1_byte;
            }
        }
        a += a_depth;
        b += b_depth;
    }
#pragma clang loop unroll(full)
    for (size_t i = 0; i < rows; i++) {
        *(i16_loose *)(void *)(c + i * c_row) = left[i];
        *(i16_loose *)(void *)(c + i * c_row + LANES) = right[i];
    }
}

static void GK_V(tile_s8)(
    size_t rows, const void *a, size_t a_row, size_t a_depth, const void *b, size_t b_depth,
    size_t depth, float *c, size_t c_row, int accumulate, const char *ahead,
    size_t ahead_step) {
#define CALL(n)                                                                                  \
    GK_V(tile_s8_of)(n, a, a_row, a_depth, b, b_depth, depth, c, c_row, accumulate, ahead, ahead_step)
    GK_ROWS_SWITCH(GK_TILE_ROWS, rows, CALL)
#undef CALL
}

/// The tile function for an element at the level in force.
static gk_tile *GK_V(tile_for)(int element) {
#if defined(__x86_64__) && GK_TILE_ROWS == GK_MOST_TILE_ROWS
    if (element == GK_BF16 && gk_has_bf16_dot()) return gk_tile_bf16_native;
    if (element == GK_S8 && gk_has_byte_dot()) return gk_tile_s8_native;
#endif
    return element == GK_F32 ? GK_V(tile_f32) : element == GK_BF16 ? GK_V(tile_bf16) : GK_V(tile_s8);
}
