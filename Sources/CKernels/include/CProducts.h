#pragma once

#include <stddef.h>
#include <stdint.h>

#include "CKernels.h"
#include "CTeam.h"

// Products with a matrix that is packed once and multiplied many times.
//
// A product's row depends on the same row of its left factor alone, and every value is one sum in the
// order of the inner dimension: how many rows there are, how they are cut into tiles and who computes
// which part leaves every bit as it is.

/// A matrix packed for products: `outputs` columns of results from `inputs` values a row.
///
/// Panels of 32 outputs each; in a panel, for each group of inputs (1 of fp32, 2 of bfloat16, 4 bytes)
/// the groups of its 32 outputs side by side. Missing outputs and inputs are zeros.
typedef struct gk_packed {
    int element;
    size_t inputs, outputs;
    const void *data;
    /// GK_S8 only. [outputs], what a weight's 1 stands for; and [outputs], the sums of each output's
    /// bytes, which undo the left factor's zero points.
    const float *scales;
    const int32_t *sums;
} gk_packed;

/// Bytes of a packed matrix's data, which must be aligned to 64.
size_t gk_packed_bytes(int element, size_t inputs, size_t outputs);

/// Groups along the inner dimension: `inputs` divided by 1, 2 or 4, rounded up.
size_t gk_depth(int element, size_t inputs);

/// Packs rows of weights: w[o · output_stride + i · input_stride]. Swapped strides pack the transpose.
/// For GK_S8 it fills `scales` and `sums`, otherwise they may be NULL.
void gk_pack(
    const float *w, size_t output_stride, size_t input_stride, size_t inputs, size_t outputs,
    int element, void *data, float *scales, int32_t *sums);

/// The weights that a packed matrix stands for: w [outputs, inputs] at the given strides, in fp32.
void gk_unpack(const gk_packed *packed, float *w, size_t output_stride, size_t input_stride);

enum { GK_NO_ACTIVATION = 0, GK_QUICK_GELU = 1, GK_GELU = 2, GK_GELU_TANH = 3 };

/// What happens to a product before it is stored, in this order. NULL leaves a step out.
typedef struct {
    /// [outputs]
    const float *bias;
    /// Receives the value so far, which the activation's backward will read.
    gk_view kept;
    int activation;
    /// Multiplies by the activation's slope at these values (which `kept` received).
    gk_view slope;
    int slope_activation;
    /// fp32, added; may be where y is.
    const float *residual;
    size_t residual_stride;
    gk_view y;
    /// Receives y once more in another element; NULL for none.
    gk_view copy;
} gk_epilogue;

/// y [rows, outputs] = epilogue(x [rows, inputs] · packedᵀ).
///
/// - x: of the packed matrix's element (bytes without sign for GK_S8); rows are `x_stride` numbers
///   apart and filled up to whole groups, with zeros but for GK_S8 (any byte: its weight is 0).
/// - x_scales: GK_S8 only, one a row.
void gk_multiply(
    gk_seat *seat, const gk_packed *packed, const void *x, size_t x_stride,
    const gk_row_scale *x_scales, size_t rows, const gk_epilogue *epilogue);
