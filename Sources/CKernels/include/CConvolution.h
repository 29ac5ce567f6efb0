#pragma once

#include <stddef.h>
#include <stdint.h>

#include "CKernels.h"
#include "CTeam.h"

// Convolutions of pictures with packed weights.
//
// A value is one sum in the order of the window (its rows, in each its pixels, in each the channels):
// how a picture is cut into tiles and who computes which leaves every bit as it is.

/// See CProducts.h, which includes this header's includer and may therefore come after it.
typedef struct gk_packed gk_packed;

/// A picture whose pixels' channels lie side by side, within a border of zeros one pixel wide:
/// [height + 2, width + 2, channels].
typedef struct {
    /// The first number of the border's first pixel.
    void *base;
    /// Without the border.
    size_t height, width;
    /// Numbers a pixel; even for GK_BF16.
    size_t channels;
    /// GK_F32 or GK_BF16.
    int element;
} gk_plane;

/// Bytes of a plane; memory for one needs 64 more, which vectors of its last pixels may read.
size_t gk_plane_bytes(size_t height, size_t width, size_t channels, int element);

/// Makes the border zeros; what is written into a plane never touches it.
void gk_clear_border(const gk_plane *plane);

/// What a window reads for the output at (y, x): `rows` × `columns` pixels from
/// (step · y + top, step · x + left) on. They must lie in the plane or its border.
///
/// Outputs are written at (spread · y + down, spread · x + right): several windows with a spread of 2
/// fill one picture, as a convolution behind an enlargement does.
typedef struct {
    size_t rows, columns, step;
    ptrdiff_t top, left;
    size_t spread, down, right;
} gk_window;

/// What happens to a sum before it is stored, in this order. NULL leaves a step out.
typedef struct {
    /// [outputs]
    const float *bias;
    /// A picture like y, added; may be y itself.
    const gk_plane *residual;
    /// Whether numbers below zero become zero; NaN stays.
    int rectify;
    /// [height, width, ⌈channels / 16⌉] of y. With `rectify` it receives a bit a value: whether the
    /// value passed.
    uint16_t *signs;
    /// Zeroes values whose bit is not set: the rectifier's backward.
    const uint16_t *mask;
} gk_convolution_epilogue;

/// y = epilogue(windows of x · packedᵀ): `height` × `width` outputs.
///
/// - packed: inputs are rows · columns · x.channels numbers in a window's order; outputs are at most
///   y.channels. Channels of y behind them are left alone.
/// - y: must not overlap x.
void gk_convolve(
    gk_seat *seat, const gk_packed *packed, const gk_plane *x, const gk_window *window,
    size_t height, size_t width, const gk_convolution_epilogue *epilogue, const gk_plane *y);
