// libpng behind calls that return instead of jumping, and the integer loops of the image resize.
//
// libpng reports errors with longjmp, which must never cross a Swift frame. Every function here
// sets its own jump target, so the only thing a caller sees is a status and a message.
#pragma once
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// Longest message copied out, with its terminating zero.
#define IMAGE_MESSAGE_SIZE 160

/// What a PNG says before its pixels, and the layout in which they will be delivered.
typedef struct {
    uint32_t width, height;
    uint8_t bit_depth;   // as stored: 1, 2, 4, 8 or 16
    uint8_t color_type;  // as stored: 0 grey, 2 RGB, 3 palette, 4 grey + alpha, 6 RGBA
    uint8_t channels;    // delivered: 1 to 4
    uint8_t sample_size; // delivered: 1 byte, or 2 (host order) for 16-bit grey only
    uint8_t has_transparent_color;
    uint16_t transparent_color[3]; // tRNS of grey ([0]) and RGB images, as stored
    uint16_t palette_count, palette_alpha_count;
    uint8_t palette[256 * 3];
    uint8_t palette_alpha[256];
} image_png_header;

typedef struct image_png_reader image_png_reader;

/// Reads everything up to the pixels. `bytes` must outlive the reader.
///
/// Images wider or higher than `max_width` × `max_height` are refused before anything is
/// allocated for them; no ancillary chunk larger than `max_chunk` bytes is ever held.
/// Returns NULL and fills `message` when the file is no PNG, is damaged, or memory is short.
image_png_reader *image_png_open(
    const uint8_t *bytes, size_t count, uint32_t max_width, uint32_t max_height, size_t max_chunk,
    image_png_header *header, char message[IMAGE_MESSAGE_SIZE]);

/// Decodes all pixels: rows of width × channels × sample_size bytes, without padding between them.
///
/// `capacity` must be exactly the size of all rows. Returns 0, or -1 with `message`; `pixels` may
/// then hold anything. May be called once for a reader.
int image_png_read(
    image_png_reader *reader, uint8_t *pixels, size_t capacity, char message[IMAGE_MESSAGE_SIZE]);

void image_png_close(image_png_reader *reader);

/// Encodes 8-bit grey (1 channel), RGB (3) or RGBA (4) rows.
///
/// On success returns 0 and a buffer to be given back with `image_free`.
int image_png_write(
    const uint8_t *pixels, uint32_t width, uint32_t height, int channels, uint8_t **bytes,
    size_t *count, char message[IMAGE_MESSAGE_SIZE]);

void image_free(void *bytes);

/// One direction of a separable resize: output i is the sum of weights[i * stride + t] *
/// input[starts[i] + t] for t in 0 ..< counts[i], in 22-bit fixed point.
typedef struct {
    const int32_t *starts, *counts, *weights;
    size_t stride; // weights kept for an output, at least the largest count
    size_t outputs;
} image_taps;

/// Horizontal pass over `rows` rows of interleaved bytes.
///
/// Only the input columns `first_column ..< first_column + columns` are read; the starts are
/// absolute columns within them. `scratch` holds 4 * columns values.
void image_resample_rows(
    const uint8_t *input, size_t input_row_bytes, size_t rows, size_t channels,
    size_t first_column, size_t columns, image_taps taps, int32_t *scratch, uint8_t *output);

/// Vertical pass: `starts` are rows of `input`; `row_bytes` is the size of a row on both sides.
void image_resample_columns(
    const uint8_t *input, size_t row_bytes, image_taps taps, uint8_t *output);

/// Widens IEEE half-precision values exactly. `input` needs no alignment.
void image_widen_half(const void *input, size_t count, float *output);

/// Widens bfloat16 values exactly. `input` needs no alignment.
void image_widen_bfloat(const void *input, size_t count, float *output);

/// The index of the first value that is NaN or infinite, or `count`.
size_t image_first_not_finite(const float *values, size_t count);

#ifdef __cplusplus
}
#endif
