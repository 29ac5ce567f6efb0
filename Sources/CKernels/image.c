#include "image_lanes.h"

#include "CKernels.h"

#define GK_BODY "image_bytes.body.h"
#include "variants.h"
#undef GK_BODY
#undef GK_DISPATCH
#define GK_BODY "image_planes.body.h"
#include "variants.h"

// Scratch memory comes aligned as the caller has it; vectors want their own alignment.
static void *aligned(void *memory) {
    return (void *)(((uintptr_t)memory + sizeof(v16) - 1) & ~(uintptr_t)(sizeof(v16) - 1));
}

size_t gk_resize_scratch(size_t columns, size_t outputs, size_t channels) {
    return ((columns + outputs) * channels + 2 * LANES) * sizeof(b16) + sizeof(v16);
}

void gk_resize_bytes_along(
    const uint8_t *input, size_t input_row_bytes, size_t rows, size_t channels, size_t first_column,
    size_t columns, gk_byte_taps taps, uint8_t *scratch, uint8_t *output) {
    GK_DISPATCH(gk_resize_bytes_along)(
        input, input_row_bytes, rows, channels, first_column, columns, taps, aligned(scratch),
        output);
}

void gk_resize_bytes_across(
    const uint8_t *input, size_t row_bytes, gk_byte_taps taps, uint8_t *output) {
    GK_DISPATCH(gk_resize_bytes_across)(input, row_bytes, taps, output);
}

void gk_resize_across(
    const float *input, size_t input_stride, size_t width, gk_float_taps taps, float *output,
    size_t output_stride) {
    GK_DISPATCH(gk_resize_across)(input, input_stride, width, taps, output, output_stride);
}

size_t gk_resize_along_scratch(size_t columns, size_t outputs) {
    return (columns + outputs + 3 * LANES) * LANES;
}

void gk_resize_along(
    const float *input, size_t input_stride, size_t rows, size_t first_column, size_t columns,
    gk_float_taps taps, float gain, float bias, float *scratch, float *output,
    size_t output_stride) {
    GK_DISPATCH(gk_resize_along)(
        input, input_stride, rows, first_column, columns, taps, gain, bias, aligned(scratch), output,
        output_stride);
}

void gk_unit_planes(const uint8_t *input, size_t pixels, size_t channels, float *output) {
    GK_DISPATCH(gk_unit_planes)(input, pixels, channels, output);
}

void gk_over_white(const uint8_t *rgba, size_t pixels, uint8_t *rgb) {
    GK_DISPATCH(gk_over_white)(rgba, pixels, rgb);
}

void gk_premultiply(const uint8_t *rgba, size_t pixels, uint8_t *output) {
    GK_DISPATCH(gk_premultiply)(rgba, pixels, output);
}

size_t gk_first_not_finite(const float *values, size_t count) {
    return GK_DISPATCH(gk_first_not_finite)(values, count);
}
