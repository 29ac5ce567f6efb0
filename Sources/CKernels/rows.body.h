void GK_V(gk_add)(const float *a, const float *b, float *y, size_t count) {
    const size_t rest = count % LANES, whole = count - rest;
    v16 u, v;
    for (size_t i = 0; i < whole; i += LANES) {
        load16(&u, a + i);
        load16(&v, b + i);
        u += v;
        store16(y + i, &u);
    }
    for (size_t i = whole; i < count; i++) y[i] = a[i] + b[i];
}

float GK_V(gk_dot)(const float *a, const float *b, size_t count) {
    const size_t rest = count % LANES, whole = count - rest;
    v16 u, v, sum = {0};
    for (size_t i = 0; i < whole; i += LANES) {
        load16(&u, a + i);
        load16(&v, b + i);
        sum += u * v;
    }
    if (rest > 0) {
        load_part(&u, a + whole, rest);
        load_part(&v, b + whole, rest);
        sum += u * v;
    }
    return sum_lanes(&sum);
}

/// Up to sixteen numbers of a row, of either element.
GK_INLINE void GK_V(load_number)(
    v16 *v, const void *row, size_t at, size_t n, const int element) {
    if (element == GK_F32) {
        const float *p = (const float *)row + at;
        if (n == LANES) load16(v, p); else load_part(v, p, n);
    } else {
        const uint16_t *p = (const uint16_t *)row + at;
        if (n == LANES) load_bf16(v, p); else load_bf16_part(v, p, n);
    }
}

GK_INLINE void GK_V(keep_range)(v16 *least, v16 *most, const v16 *v) {
    i16 less = *v < *least, more = *v > *most;
    select16(least, &less, v, least);
    select16(most, &more, v, most);
}

// A product and an addition that must stay two roundings, hence no contraction: the least number's
// product is then exactly what the zero point was rounded from, and no sum leaves 0 to 255.
GK_INLINE void GK_V(to_bytes)(b16 *bytes, const v16 *v, float factor, float shift) {
#pragma clang fp contract(off)
    const v16 product = *v * factor;
    *bytes = __builtin_convertvector((i16)(product + shift) - 0x4B400000, b16);
}

GK_INLINE void GK_V(quantize_row)(
    const void *row, size_t width, uint8_t *out, size_t stride, gk_row_scale *scale,
    const int element) {
#pragma clang fp contract(off)
    const size_t rest = width % LANES, whole = width - rest;
    // From zeros on: zero has a byte of its own.
    v16 v, least = {0}, most = {0}, other_least = {0}, other_most = {0};
    size_t i = 0;
    // Two ranges at once: one would wait for itself.
    for (; i + 2 * LANES <= whole; i += 2 * LANES) {
        GK_V(load_number)(&v, row, i, LANES, element);
        GK_V(keep_range)(&least, &most, &v);
        GK_V(load_number)(&v, row, i + LANES, LANES, element);
        GK_V(keep_range)(&other_least, &other_most, &v);
    }
    for (; i < width; i += LANES) {
        GK_V(load_number)(&v, row, i, i < whole ? LANES : rest, element);
        GK_V(keep_range)(&least, &most, &v);
    }
    GK_V(keep_range)(&least, &most, &other_least);
    GK_V(keep_range)(&least, &most, &other_most);
    least = -least;
    const float below = max_lanes(&least), range = below + max_lanes(&most);
    // 254 steps: both ends and the zero point are rounded, by half a step each.
    const float factor = range > 0 ? 254.0f / range : 0.0f;
    // Adding 1.5·2²³ rounds to the nearest integer, which the low bits then hold.
    const float magic = 12582912.0f, product = below * factor;
    const float shift = product + magic;
    int32_t zero;
    memcpy(&zero, &shift, sizeof zero);
    // At most 254, unless the row was not finite.
    zero = (zero - 0x4B400000) & 0xFF;
    b16 bytes;
    for (i = 0; i < whole; i += LANES) {
        GK_V(load_number)(&v, row, i, LANES, element);
        GK_V(to_bytes)(&bytes, &v, factor, shift);
        *(b16_loose *)(out + i) = bytes;
    }
    if (rest > 0) {
        GK_V(load_number)(&v, row, whole, rest, element);
        GK_V(to_bytes)(&bytes, &v, factor, shift);
        memcpy(out + whole, &bytes, rest);
    }
    *scale = (gk_row_scale){range / 254.0f, zero};
    memset(out + width, zero, stride - width);
}

// The byte dot product wants one factor without a sign, so a zero point costs nothing there.
void GK_V(quantize_rows)(
    gk_view x, size_t rows, size_t width, uint8_t *y, size_t y_stride, gk_row_scale *scales) {
    for (size_t row = 0; row < rows; row++) {
        uint8_t *out = y + row * y_stride;
        if (x.element == GK_F32)
            GK_V(quantize_row)(
                (const float *)x.base + row * x.stride, width, out, y_stride, scales + row, GK_F32);
        else
            GK_V(quantize_row)(
                (const uint16_t *)x.base + row * x.stride, width, out, y_stride, scales + row,
                GK_BF16);
    }
}
