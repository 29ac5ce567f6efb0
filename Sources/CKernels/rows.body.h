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

void GK_V(gk_scale)(const float *x, float scale, float *y, size_t count) {
    const size_t rest = count % LANES, whole = count - rest;
    v16 v;
    for (size_t i = 0; i < whole; i += LANES) {
        load16(&v, x + i);
        v *= scale;
        store16(y + i, &v);
    }
    for (size_t i = whole; i < count; i++) y[i] = x[i] * scale;
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

GK_INLINE void GK_V(keep_largest)(v16 *top, const v16 *v) {
    v16 magnitude = (v16)((i16)*v & 0x7FFFFFFF);
    i16 greater = magnitude > *top;
    select16(top, &greater, &magnitude, top);
}

GK_INLINE void GK_V(to_bytes)(b16 *bytes, const v16 *v, float factor) {
    // Adding 1.5·2²³ rounds to the nearest integer, which the low bits then hold.
    const float magic = 12582912.0f;
    v16 rounded = *v * factor + magic;
    *bytes = __builtin_convertvector((i16)rounded - 0x4B400000 + 128, b16);
}

GK_INLINE void GK_V(quantize_row)(
    const void *row, size_t width, uint8_t *out, float *scale, const int element) {
    const size_t rest = width % LANES, whole = width - rest;
    v16 v, top = {0}, other = {0};
    size_t i = 0;
    // Two largest at once: one would wait for itself.
    for (; i + 2 * LANES <= whole; i += 2 * LANES) {
        GK_V(load_number)(&v, row, i, LANES, element);
        GK_V(keep_largest)(&top, &v);
        GK_V(load_number)(&v, row, i + LANES, LANES, element);
        GK_V(keep_largest)(&other, &v);
    }
    for (; i < width; i += LANES) {
        GK_V(load_number)(&v, row, i, i < whole ? LANES : rest, element);
        GK_V(keep_largest)(&top, &v);
    }
    GK_V(keep_largest)(&top, &other);
    const float largest = max_lanes(&top);
    const float factor = largest > 0 ? 127.0f / largest : 0.0f;
    b16 bytes;
    for (i = 0; i < whole; i += LANES) {
        GK_V(load_number)(&v, row, i, LANES, element);
        GK_V(to_bytes)(&bytes, &v, factor);
        *(b16_loose *)(out + i) = bytes;
    }
    if (rest > 0) {
        GK_V(load_number)(&v, row, whole, rest, element);
        GK_V(to_bytes)(&bytes, &v, factor);
        memcpy(out + whole, &bytes, rest);
    }
    *scale = largest / 127.0f;
}

// The byte dot product wants one factor without a sign, hence the 128.
void GK_V(quantize_rows)(
    gk_view x, size_t rows, size_t width, uint8_t *y, size_t y_stride, float *scales) {
    for (size_t row = 0; row < rows; row++) {
        uint8_t *out = y + row * y_stride;
        if (x.element == GK_F32)
            GK_V(quantize_row)(
                (const float *)x.base + row * x.stride, width, out, scales + row, GK_F32);
        else
            GK_V(quantize_row)(
                (const uint16_t *)x.base + row * x.stride, width, out, scales + row, GK_BF16);
        memset(out + width, 128, y_stride - width);
    }
}
