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

// The byte dot product wants one factor without a sign, hence the 128.
void GK_V(gk_quantize_rows)(
    gk_view x, size_t rows, size_t width, uint8_t *y, size_t y_stride, float *scales) {
    for (size_t row = 0; row < rows; row++) {
        v16 v, top = {0};
        for (size_t i = 0; i < width; i += LANES) {
            load_view(&v, &x, row, i, width - i < LANES ? width - i : LANES);
            v = (v16)((i16)v & 0x7FFFFFFF);
            i16 greater = v > top;
            select16(&top, &greater, &v, &top);
        }
        const float largest = max_lanes(&top);
        const float factor = largest > 0 ? 127.0f / largest : 0.0f;
        // Adding 1.5·2²³ rounds to the nearest integer, which the low bits then hold.
        const float magic = 12582912.0f;
        uint8_t *out = y + row * y_stride;
        for (size_t i = 0; i < width; i += LANES) {
            const size_t n = width - i < LANES ? width - i : LANES;
            load_view(&v, &x, row, i, n);
            v = v * factor + magic;
            b16 bytes = __builtin_convertvector((i16)v - 0x4B400000 + 128, b16);
            memcpy(out + i, &bytes, n);
        }
        memset(out + width, 128, y_stride - width);
        scales[row] = largest / 127.0f;
    }
}
