#include "CKernels.h"
#include "lanes.h"

/// One row of `columns` > 0 values becomes its softmax.
GK_INLINE void softmax_row(float *x, size_t columns) {
    const size_t whole = columns - columns % LANES, rest = columns % LANES;
    v16 v, top = (v16){} - __builtin_inff();
    i16 greater;
    for (size_t i = 0; i < whole; i += LANES) {
        load16(&v, x + i);
        greater = v > top;
        select16(&top, &greater, &v, &top);
    }
    float max = max_lanes(&top);
    for (size_t i = whole; i < columns; i++) max = x[i] > max ? x[i] : max;

    v16 sum = {0};
    for (size_t i = 0; i < whole; i += LANES) {
        load16(&v, x + i);
        v -= max;
        exp16(&v);
        sum += v;
        store16(x + i, &v);
    }
    if (rest > 0) {
        load_part(&v, x + whole, rest);
        v -= max;
        exp16(&v);
        keep_lanes(&v, rest);
        sum += v;
        store_part(x + whole, &v, rest);
    }
    const float scale = 1.0f / sum_lanes(&sum);
    for (size_t i = 0; i < whole; i += LANES) {
        load16(&v, x + i);
        v *= scale;
        store16(x + i, &v);
    }
    for (size_t i = whole; i < columns; i++) x[i] *= scale;
}

GK_KERNEL void gk_softmax(float *x, size_t stride, size_t rows, size_t columns) {
    if (columns == 0) return;
    for (size_t row = 0; row < rows; row++) softmax_row(x + row * stride, columns);
}

GK_KERNEL void gk_softmax_causal(
    float *x, size_t stride, size_t rows, size_t columns, size_t first) {
    for (size_t row = 0; row < rows; row++) {
        size_t seen = first + row + 1;
        if (seen > columns) seen = columns;
        if (seen == 0) continue;
        softmax_row(x + row * stride, seen);
        memset(x + row * stride + seen, 0, (columns - seen) * sizeof(float));
    }
}

GK_KERNEL void gk_softmax_backward(
    const float *restrict p, size_t p_stride, float *restrict dp, size_t dp_stride, size_t rows,
    size_t columns) {
    const size_t whole = columns - columns % LANES, rest = columns % LANES;
    for (size_t row = 0; row < rows; row++) {
        const float *in = p + row * p_stride;
        float *d = dp + row * dp_stride;
        v16 v, g, sum = {0};
        for (size_t i = 0; i < whole; i += LANES) {
            load16(&v, in + i);
            load16(&g, d + i);
            sum += v * g;
        }
        if (rest > 0) {
            load_part(&v, in + whole, rest);
            load_part(&g, d + whole, rest);
            sum += v * g;
        }
        const float total = sum_lanes(&sum);
        for (size_t i = 0; i < whole; i += LANES) {
            load16(&v, in + i);
            load16(&g, d + i);
            v *= g - total;
            store16(d + i, &v);
        }
        if (rest > 0) {
            load_part(&v, in + whole, rest);
            load_part(&g, d + whole, rest);
            v *= g - total;
            store_part(d + whole, &v, rest);
        }
    }
}
