#pragma once

#include <stddef.h>
#include <stdint.h>

/// Bytes that may be read, but are not used, behind the coded rows and behind the row above.
#define FILTER_SLACK 16

/// Undoes PNG's row filters (PNG specification, section 9).
///
/// `coded` holds `rows` times a filter's number and `width` pixels of `size` bytes (1 to 4); `output`
/// receives the pixels without gaps. `above` is the row before the first, all zeros at the top.
/// Returns 0, or -1 for a filter that does not exist; `output` may then hold anything.
int image_png_unfilter(
    const uint8_t *coded, size_t rows, size_t width, size_t size, const uint8_t *above,
    uint8_t *output);
