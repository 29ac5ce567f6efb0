#pragma once

#include <stddef.h>
#include <stdint.h>

#include "CImage.h"
#include "CMemory.h"
#include "CTeam.h"

// Vectorised loops, each compiled for any x86-64, for AVX2 and for AVX-512 and chosen at run time
// (on other processors once, for the target); and what is built of them: products with packed
// weights and attention, spread over a team of threads.
//
// Conventions. Matrices are row-major; a `stride` counts floats from one row to the next. Each row
// is computed alone and in a fixed order of operations: a row's result depends neither on the
// other rows nor on its address. `restrict` on a parameter means that it must not overlap another
// one; where none stands, input and output may be the same memory, but may not half overlap.

#ifdef __cplusplus
extern "C" {
#endif

// --- Instruction sets ------------------------------------------------------------------------------

enum {
    GK_LEVEL_PORTABLE = 0,
    /// AVX2 and FMA.
    GK_LEVEL_AVX2 = 1,
    /// AVX-512 F, BW, DQ and VL.
    GK_LEVEL_AVX512 = 2,
    /// And dot products of bfloat16s (AVX512_BF16), of bytes (AVX512_VNNI), or both.
    GK_LEVEL_AVX512_DOT = 3,
};

/// What a number in a matrix is.
enum { GK_F32 = 0, GK_BF16 = 1, GK_S8 = 2 };

/// The level in force: the machine's highest, unless another one was set, or is named by
/// GUIDANCED_INSTRUCTIONS (portable, avx2, avx512) in the environment.
int gk_level(void);
/// The highest level of this machine.
int gk_highest_level(void);
/// Puts a level in force for the whole process; below 0 means the highest. Results keep their
/// meaning, not their last bits. Returns 0, and changes nothing, when the machine does not have it.
int gk_set_level(int level);
/// Whether products of this element run on instructions made for them at the level in force.
int gk_level_has_dots(int element);

/// Operations a second (a multiply-add is two) that the calling thread reaches in registers, with the
/// instructions that products of this element use at the level in force; takes `duration` seconds.
double gk_peak(int element, double duration);

// --- Matrices that need not be fp32 ------------------------------------------------------------------

/// Rows of numbers, `stride` numbers from one to the next. A base of NULL means that there is none.
typedef struct {
    void *base;
    size_t stride;
    /// GK_F32 or GK_BF16.
    int element;
} gk_view;

// --- Layer norm ----------------------------------------------------------------------------------

/// y = (x − mean) / √(variance + eps) · gain + bias for each row. `mean` and `rstd` receive one value
/// a row when they are not NULL; the backward reads them.
void gk_layer_norm(
    gk_seat *seat, const float *x, size_t x_stride, const float *gain, const float *bias, float eps,
    size_t rows, size_t width, gk_view y, float *mean, float *rstd);

/// dx (+)= the gradient of the layer norm's input. Reads the forward's x, mean and rstd. Adds to dx
/// when `accumulate` is not 0, as at the fork of a residual connection. `copy` receives dx once
/// more, for a product to read, unless it is NULL.
void gk_layer_norm_backward(
    gk_seat *seat, const float *dy, size_t dy_stride, const float *x, size_t x_stride,
    const float *gain, const float *mean, const float *rstd, size_t rows, size_t width, float *dx,
    size_t dx_stride, int accumulate, gk_view copy);

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
/// Σ a·b, in 16 partial sums.
float gk_dot(const float *a, const float *b, size_t count);

// --- Conversions --------------------------------------------------------------------------------

/// IEEE half precision to fp32: subnormals, infinities and NaN included. No alignment is needed.
void gk_widen_f16(const void *x, float *y, size_t count);
/// bfloat16 to fp32. No alignment is needed.
void gk_widen_bf16(const void *x, float *y, size_t count);
/// fp32 to the nearest bfloat16, ties to even; NaN stays NaN.
void gk_narrow_bf16(const float *x, uint16_t *y, size_t count);
/// What the bytes of a row stand for: (byte − zero) · scale; `zero` is from 0 to 254.
typedef struct {
    float scale;
    int32_t zero;
} gk_row_scale;

/// Each row becomes y = x / scale + zero, rounded: the row's least number (or 0) is byte 0, its
/// greatest (or 0) byte 254 or 255, and 0 itself is `zero` exactly. Columns from `width` up to
/// `y_stride` become `zero`. The same bytes on every instruction set. x must be finite.
void gk_quantize_rows(
    gk_seat *seat, gk_view x, size_t rows, size_t width, uint8_t *y, size_t y_stride,
    gk_row_scale *scales);

#ifdef __cplusplus
}
#endif

#include "CAttention.h"
#include "CProducts.h"
#include "CConvolution.h"
