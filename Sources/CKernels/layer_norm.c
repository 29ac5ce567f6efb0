#include "half_lanes.h"

#define GK_BODY "layer_norm.body.h"
#include "variants.h"

void gk_layer_norm(
    const float *x, size_t x_stride, const float *gain, const float *bias, float eps, size_t rows,
    size_t width, gk_view y, float *mean, float *rstd) {
    GK_DISPATCH(gk_layer_norm)(x, x_stride, gain, bias, eps, rows, width, y, mean, rstd);
}

void gk_layer_norm_backward(
    const float *dy, size_t dy_stride, const float *x, size_t x_stride, const float *gain,
    const float *mean, const float *rstd, size_t rows, size_t width, float *dx, size_t dx_stride,
    int accumulate, gk_view copy) {
    GK_DISPATCH(gk_layer_norm_backward)
    (dy, dy_stride, x, x_stride, gain, mean, rstd, rows, width, dx, dx_stride, accumulate, copy);
}
