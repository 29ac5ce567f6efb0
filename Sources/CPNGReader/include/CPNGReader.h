// libpng behind calls that return instead of jumping, and plain rows decoded on zlib alone.
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

#ifdef __cplusplus
}
#endif
