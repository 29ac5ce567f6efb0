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

/// The row's largest magnitude becomes ±127; 128 is added, as the byte dot product wants one factor
/// without a sign. Returns the scale: x ≈ scale · (y − 128).
float GK_V(gk_quantize_row)(const float *x, uint8_t *y, size_t count) {
    const size_t rest = count % LANES, whole = count - rest;
    v16 v, top = {0};
    i16 greater;
    for (size_t i = 0; i < whole; i += LANES) {
        load16(&v, x + i);
        v = (v16)((i16)v & 0x7FFFFFFF);
        greater = v > top;
        select16(&top, &greater, &v, &top);
    }
    if (rest > 0) {
        load_part(&v, x + whole, rest);
        v = (v16)((i16)v & 0x7FFFFFFF);
        greater = v > top;
        select16(&top, &greater, &v, &top);
    }
    const float largest = max_lanes(&top);
    const float factor = largest > 0 ? 127.0f / largest : 0.0f;
    // Adding 1.5·2²³ rounds to the nearest integer, which the low bits then hold.
    const float magic = 12582912.0f;
    for (size_t i = 0; i < count; i += LANES) {
        const size_t n = count - i < LANES ? count - i : LANES;
        if (n == LANES) load16(&v, x + i); else load_part(&v, x + i, n);
        v = v * factor + magic;
        i16 q = (i16)v - 0x4B400000 + 128;
        b16 bytes = __builtin_convertvector(q, b16);
        memcpy(y + i, &bytes, n);
    }
    return largest / 127.0f;
}
