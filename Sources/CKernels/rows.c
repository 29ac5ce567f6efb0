#include "CKernels.h"
#include "lanes.h"

void gk_fill_rows(const float *bias, size_t rows, size_t width, float *y, size_t y_stride) {
    for (size_t row = 0; row < rows; row++) {
        if (bias != NULL)
            memcpy(y + row * y_stride, bias, width * sizeof(float));
        else
            memset(y + row * y_stride, 0, width * sizeof(float));
    }
}

GK_KERNEL void gk_add(const float *a, const float *b, float *y, size_t count) {
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

void gk_add_bias(
    const float *x, size_t x_stride, const float *bias, size_t rows, size_t width, float *y,
    size_t y_stride) {
    for (size_t row = 0; row < rows; row++) {
        if (bias != NULL)
            gk_add(x + row * x_stride, bias, y + row * y_stride, width);
        else
            memmove(y + row * y_stride, x + row * x_stride, width * sizeof(float));
    }
}

GK_KERNEL void gk_scale(const float *x, float scale, float *y, size_t count) {
    const size_t rest = count % LANES, whole = count - rest;
    v16 v;
    for (size_t i = 0; i < whole; i += LANES) {
        load16(&v, x + i);
        v *= scale;
        store16(y + i, &v);
    }
    for (size_t i = whole; i < count; i++) y[i] = x[i] * scale;
}

GK_KERNEL float gk_dot(const float *a, const float *b, size_t count) {
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

float gk_sum_of_squares(const float *x, size_t count) { return gk_dot(x, x, count); }
