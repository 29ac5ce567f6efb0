#pragma once

#include <stddef.h>
#include <stdint.h>

// Loops over the pixels of an image on its way to a tower and of the gradient on its way back.
//
// A resize is two sparse matrices, one a direction: output i of a direction is the sum of
// weights[i · stride + t] · input[starts[i] + t] for t in 0 ..< counts[i], in this order.

/// One direction of a resize of bytes, the weights in fixed point with 22 bits after the point.
typedef struct {
    const int32_t *starts, *counts, *weights;
    /// Weights kept for an output, at least the largest count.
    size_t stride;
    size_t outputs;
} gk_byte_taps;

/// One direction of a resize of floats.
typedef struct {
    const int32_t *starts, *counts;
    const float *weights;
    size_t stride;
    size_t outputs;
} gk_float_taps;

/// Bytes of scratch memory for gk_resize_bytes_along.
size_t gk_resize_scratch(size_t columns, size_t outputs, size_t channels);

/// Horizontal pass over rows of interleaved bytes with 1 to 4 channels: sums in 32 bits, rounded half
/// up to 8 bits and clipped. Only the columns first_column ..< first_column + columns are read; the
/// starts are absolute columns within them. Rows of the output have no gaps.
void gk_resize_bytes_along(
    const uint8_t *input, size_t input_row_bytes, size_t rows, size_t channels, size_t first_column,
    size_t columns, gk_byte_taps taps, uint8_t *scratch, uint8_t *output);

/// Vertical pass: `starts` are rows of `input`, which has `row_bytes` a row on both sides.
void gk_resize_bytes_across(
    const uint8_t *input, size_t row_bytes, gk_byte_taps taps, uint8_t *output);

/// Vertical pass over floats: the first `width` of each row. Strides count floats.
void gk_resize_across(
    const float *input, size_t input_stride, size_t width, gk_float_taps taps, float *output,
    size_t output_stride);

/// Floats of scratch memory for gk_resize_along.
size_t gk_resize_along_scratch(size_t columns, size_t outputs);

/// Horizontal pass over `rows` rows of floats, `columns` of which lie from `first_column` on at
/// `input`: output = gain · sum + bias. The starts are absolute columns.
void gk_resize_along(
    const float *input, size_t input_stride, size_t rows, size_t first_column, size_t columns,
    gk_float_taps taps, float gain, float bias, float *scratch, float *output, size_t output_stride);

/// Pixels of 1 or 3 interleaved bytes as three planes of `pixels` floats, 0…255 become 0…1 (the
/// nearest float to the quotient by 255). One channel is repeated.
void gk_unit_planes(const uint8_t *input, size_t pixels, size_t channels, float *output);

/// RGBA laid over white, as RGB: 255 − (255 − colour) · alpha / 255, rounded.
void gk_over_white(const uint8_t *rgba, size_t pixels, uint8_t *rgb);

/// RGBA with the colours multiplied by alpha / 255, rounded.
void gk_premultiply(const uint8_t *rgba, size_t pixels, uint8_t *output);

/// The index of the first value that is NaN or infinite, or `count`.
size_t gk_first_not_finite(const float *values, size_t count);
