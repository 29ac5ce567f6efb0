#include "view_lanes.h"

#define GK_BODY "rows.body.h"
#include "variants.h"

void gk_fill_rows(const float *bias, size_t rows, size_t width, float *y, size_t y_stride) {
    for (size_t row = 0; row < rows; row++) {
        if (bias != NULL)
            memcpy(y + row * y_stride, bias, width * sizeof(float));
        else
            memset(y + row * y_stride, 0, width * sizeof(float));
    }
}

void gk_add(const float *a, const float *b, float *y, size_t count) {
    GK_DISPATCH(gk_add)(a, b, y, count);
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

void gk_scale(const float *x, float scale, float *y, size_t count) {
    GK_DISPATCH(gk_scale)(x, scale, y, count);
}

float gk_dot(const float *a, const float *b, size_t count) {
    return GK_DISPATCH(gk_dot)(a, b, count);
}

float gk_sum_of_squares(const float *x, size_t count) { return gk_dot(x, x, count); }

void gk_quantize_rows(
    gk_view x, size_t rows, size_t width, uint8_t *y, size_t y_stride, float *scales) {
    GK_DISPATCH(gk_quantize_rows)(x, rows, width, y, y_stride, scales);
}
