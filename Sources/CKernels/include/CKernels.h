#pragma once

#include <stddef.h>
#include <stdint.h>

#include "CDigest.h"

// Vectorised loops over fp32, each compiled for baseline, AVX2 and AVX-512 and chosen at run time
// (x86-64 with glibc; elsewhere once, for the target).
//
// Conventions. Matrices are row-major; a `stride` counts floats from one row to the next. Each row
// is computed alone and in a fixed order of operations: a row's result depends neither on the
// other rows nor on its address. `restrict` on a parameter means that it must not overlap another
// one; where none stands, input and output may be the same memory, but may not half overlap.

#ifdef __cplusplus
extern "C" {
#endif

// --- Layer norm ----------------------------------------------------------------------------------

/// y = (x − mean) / √(variance + eps) · gain + bias for each row. `mean` and `rstd` receive one value
/// a row when they are not NULL; the backward reads them.
void gk_layer_norm(
    const float *x, size_t x_stride, const float *gain, const float *bias, float eps, size_t rows,
    size_t width, float *y, size_t y_stride, float *mean, float *rstd);

/// dx (+)= the gradient of the layer norm's input. Reads the forward's x, mean and rstd. Adds to dx
/// when `accumulate` is not 0, as at the fork of a residual connection.
void gk_layer_norm_backward(
    const float *dy, size_t dy_stride, const float *x, size_t x_stride, const float *gain,
    const float *mean, const float *rstd, size_t rows, size_t width, float *dx, size_t dx_stride,
    int accumulate);

// --- Softmax, in place ---------------------------------------------------------------------------

/// Every row becomes its softmax. A row that holds only −∞ becomes NaN.
void gk_softmax(float *x, size_t stride, size_t rows, size_t columns);

/// Row r becomes the softmax of its first min(first + r + 1, columns) values, followed by zeros: the
/// causal mask, for queries that start at position `first`.
void gk_softmax_causal(float *x, size_t stride, size_t rows, size_t columns, size_t first);

/// dp becomes the gradient of the scores: p ⊙ (dp − Σ p·dp) in each row. Masked positions have p = 0
/// and so get 0: it serves the causal softmax too.
void gk_softmax_backward(
    const float *restrict p, size_t p_stride, float *restrict dp, size_t dp_stride, size_t rows,
    size_t columns);

// --- Activations -------------------------------------------------------------------------------

/// y = x · σ(1.702 x), OpenAI's approximation of GELU.
void gk_quick_gelu(const float *x, float *y, size_t count);
/// y = x · Φ(x), by the error function.
void gk_gelu(const float *x, float *y, size_t count);
/// y = x/2 · (1 + tanh(√(2/π) · (x + 0.044715 x³))).
void gk_gelu_tanh(const float *x, float *y, size_t count);

/// dx = dy · activation′(x). Reads the forward's input.
void gk_quick_gelu_backward(const float *dy, const float *x, float *dx, size_t count);
void gk_gelu_backward(const float *dy, const float *x, float *dx, size_t count);
void gk_gelu_tanh_backward(const float *dy, const float *x, float *dx, size_t count);

/// y = eˣ; relative error below 2⁻²³, gradual underflow, +∞ saturates to the largest finite values.
void gk_exp(const float *x, float *y, size_t count);
/// y = erf(x), absolute error below 2⁻²³.
void gk_erf(const float *x, float *y, size_t count);

// --- Rows -----------------------------------------------------------------------------------------

/// Every row of y becomes `bias`, or zeros when it is NULL.
void gk_fill_rows(
    const float *bias, size_t rows, size_t width, float *y, size_t y_stride);
/// y = x + bias for each row; `bias` may be NULL for a copy.
void gk_add_bias(
    const float *x, size_t x_stride, const float *bias, size_t rows, size_t width, float *y,
    size_t y_stride);
/// y = a + b.
void gk_add(const float *a, const float *b, float *y, size_t count);
/// y = scale · x.
void gk_scale(const float *x, float scale, float *y, size_t count);
/// Σ a·b, in 16 partial sums.
float gk_dot(const float *a, const float *b, size_t count);
/// Σ x², in 16 partial sums.
float gk_sum_of_squares(const float *x, size_t count);

// --- Exact widening --------------------------------------------------------------------------------

/// IEEE half precision to fp32: subnormals, infinities and NaN included. No alignment is needed.
void gk_widen_f16(const void *x, float *y, size_t count);
/// bfloat16 to fp32. No alignment is needed.
void gk_widen_bf16(const void *x, float *y, size_t count);

#ifdef __cplusplus
}
#endif
