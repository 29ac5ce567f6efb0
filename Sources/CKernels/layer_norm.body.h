#include "coarse.body.h"

void GK_V(gk_layer_norm)(
    const float *x, size_t x_stride, const float *gain, const float *bias, float eps, size_t rows,
    size_t width, gk_view y, float *mean, float *rstd) {
    const size_t whole = width - width % LANES, rest = width % LANES;
    for (size_t row = 0; row < rows; row++) {
        const float *in = x + row * x_stride;
        float *out = y.element == GK_F32 ? (float *)y.base + row * y.stride : NULL;
        uint16_t *half = y.element == GK_BF16 ? (uint16_t *)y.base + row * y.stride : NULL;
        v16 v, w, b, sum = {0};
        for (size_t i = 0; i < whole; i += LANES) {
            load16(&v, in + i);
            sum += v;
        }
        if (rest > 0) {
            load_part(&v, in + whole, rest);
            sum += v;
        }
        const float m = sum_lanes(&sum) / (float)width;

        // A second pass over the row: the difference of squares would lose the variance of a row
        // whose mean is large.
        v16 squares = {0};
        for (size_t i = 0; i < whole; i += LANES) {
            load16(&v, in + i);
            v -= m;
            squares += v * v;
        }
        if (rest > 0) {
            load_part(&v, in + whole, rest);
            v -= m;
            keep_lanes(&v, rest);
            squares += v * v;
        }
        const float r = 1.0f / __builtin_sqrtf(sum_lanes(&squares) / (float)width + eps);

        for (size_t i = 0; i < whole; i += LANES) {
            load16(&v, in + i);
            load16(&w, gain + i);
            load16(&b, bias + i);
            v = (v - m) * r * w + b;
            if (half == NULL) store16(out + i, &v); else GK_V(store_halves)(half + i, &v, LANES);
        }
        if (rest > 0) {
            load_part(&v, in + whole, rest);
            load_part(&w, gain + whole, rest);
            load_part(&b, bias + whole, rest);
            v = (v - m) * r * w + b;
            if (half == NULL) store_part(out + whole, &v, rest);
            else GK_V(store_halves)(half + whole, &v, rest);
        }
        if (mean != NULL) mean[row] = m;
        if (rstd != NULL) rstd[row] = r;
    }
}

// With x̂ = (x − mean)·rstd and g = dy·gain: dx = rstd · (g − mean(g) − x̂ · mean(g·x̂)).
void GK_V(gk_layer_norm_backward)(
    const float *dy, size_t dy_stride, const float *x, size_t x_stride, const float *gain,
    const float *mean, const float *rstd, size_t rows, size_t width, float *dx, size_t dx_stride,
    int accumulate, gk_view copy) {
    const size_t whole = width - width % LANES, rest = width % LANES;
    for (size_t row = 0; row < rows; row++) {
        const float *d = dy + row * dy_stride, *in = x + row * x_stride;
        float *out = dx + row * dx_stride;
        float *second = copy.element == GK_F32 && copy.base != NULL
            ? (float *)copy.base + row * copy.stride : NULL;
        uint16_t *half = copy.element == GK_BF16 && copy.base != NULL
            ? (uint16_t *)copy.base + row * copy.stride : NULL;
        const float m = mean[row], r = rstd[row];
        v16 v, g, w, old = {0}, sum = {0}, product = {0};
        for (size_t i = 0; i < whole; i += LANES) {
            load16(&g, d + i);
            load16(&w, gain + i);
            load16(&v, in + i);
            g *= w;
            sum += g;
            product += g * ((v - m) * r);
        }
        if (rest > 0) {
            // The gradient's padding is zero, and with it every term of both sums.
            load_part(&g, d + whole, rest);
            load_part(&w, gain + whole, rest);
            load_part(&v, in + whole, rest);
            g *= w;
            sum += g;
            product += g * ((v - m) * r);
        }
        const float mean_g = sum_lanes(&sum) / (float)width;
        const float mean_gx = sum_lanes(&product) / (float)width;

        for (size_t i = 0; i < whole; i += LANES) {
            load16(&g, d + i);
            load16(&w, gain + i);
            load16(&v, in + i);
            if (accumulate) load16(&old, out + i);
            v = old + (g * w - mean_g - (v - m) * r * mean_gx) * r;
            store16(out + i, &v);
            if (half != NULL) GK_V(store_halves)(half + i, &v, LANES);
            if (second != NULL) store16(second + i, &v);
        }
        if (rest > 0) {
            load_part(&g, d + whole, rest);
            load_part(&w, gain + whole, rest);
            load_part(&v, in + whole, rest);
            if (accumulate) load_part(&old, out + whole, rest);
            v = old + (g * w - mean_g - (v - m) * r * mean_gx) * r;
            store_part(out + whole, &v, rest);
            if (half != NULL) GK_V(store_halves)(half + whole, &v, rest);
            if (second != NULL) store_part(second + whole, &v, rest);
        }
    }
}
