#include "CPNGReader.h"

#include <string.h>

// Picks the widest version that the processor has, at run time.
#if defined(__x86_64__) && defined(__linux__)
#define MULTIVERSIONED __attribute__((target_clones("arch=haswell", "default")))
#else
#define MULTIVERSIONED
#endif

// 22 bits after the point: 32 less the 8 of a pixel, less two for what a filter overshoots.
#define FRACTION_BITS 22
#define HALF (1 << (FRACTION_BITS - 1))

static inline uint8_t clip(int32_t value) {
    int32_t whole = value >> FRACTION_BITS;
    return whole < 0 ? 0 : whole > 255 ? 255 : (uint8_t)whole;
}

typedef int32_t lanes4 __attribute__((vector_size(16)));

// Two pixels of four lanes a step; sums are exact integers, so their order is free.
MULTIVERSIONED
static void rows_of_four(
    const int32_t *pixels, size_t first_column, size_t channels, image_taps taps,
    uint8_t *output) {
    for (size_t i = 0; i < taps.outputs; i++) {
        const int32_t *weights = taps.weights + i * taps.stride;
        const int32_t *input = pixels + 4 * ((size_t)taps.starts[i] - first_column);
        size_t count = (size_t)taps.counts[i];
        lanes4 even = {HALF, HALF, HALF, HALF};
        lanes4 odd = {0, 0, 0, 0};
        size_t t = 0;
        for (; t + 2 <= count; t += 2) {
            lanes4 a, b;
            memcpy(&a, input + 4 * t, sizeof a);
            memcpy(&b, input + 4 * t + 4, sizeof b);
            even += a * weights[t];
            odd += b * weights[t + 1];
        }
        if (t < count) {
            lanes4 a;
            memcpy(&a, input + 4 * t, sizeof a);
            even += a * weights[t];
        }
        even += odd;
        for (size_t c = 0; c < channels; c++) output[i * channels + c] = clip(even[c]);
    }
}

MULTIVERSIONED
static void rows_of_one(
    const int32_t *pixels, size_t first_column, image_taps taps, uint8_t *output) {
    for (size_t i = 0; i < taps.outputs; i++) {
        const int32_t *weights = taps.weights + i * taps.stride;
        const int32_t *input = pixels + ((size_t)taps.starts[i] - first_column);
        size_t count = (size_t)taps.counts[i];
        int32_t sum = HALF;
        for (size_t t = 0; t < count; t++) sum += input[t] * weights[t];
        output[i] = clip(sum);
    }
}

MULTIVERSIONED
static void widen(const uint8_t *input, size_t columns, size_t channels, int32_t *output) {
    switch (channels) {
    case 1:
        for (size_t x = 0; x < columns; x++) output[x] = input[x];
        break;
    case 2:
        for (size_t x = 0; x < columns; x++) {
            output[4 * x] = input[2 * x];
            output[4 * x + 1] = input[2 * x + 1];
            output[4 * x + 2] = 0;
            output[4 * x + 3] = 0;
        }
        break;
    case 3:
        for (size_t x = 0; x < columns; x++) {
            output[4 * x] = input[3 * x];
            output[4 * x + 1] = input[3 * x + 1];
            output[4 * x + 2] = input[3 * x + 2];
            output[4 * x + 3] = 0;
        }
        break;
    default:
        for (size_t x = 0; x < 4 * columns; x++) output[x] = input[x];
    }
}

void image_resample_rows(
    const uint8_t *input, size_t input_row_bytes, size_t rows, size_t channels,
    size_t first_column, size_t columns, image_taps taps, int32_t *scratch, uint8_t *output) {
    for (size_t row = 0; row < rows; row++) {
        widen(input + row * input_row_bytes + first_column * channels, columns, channels, scratch);
        uint8_t *out = output + row * taps.outputs * channels;
        if (channels == 1) {
            rows_of_one(scratch, first_column, taps, out);
        } else {
            rows_of_four(scratch, first_column, channels, taps, out);
        }
    }
}

// Columns that share their sums in registers and the first cache level.
#define BLOCK 512

MULTIVERSIONED
void image_resample_columns(
    const uint8_t *input, size_t row_bytes, image_taps taps, uint8_t *output) {
    int32_t sums[BLOCK];
    for (size_t i = 0; i < taps.outputs; i++) {
        const int32_t *weights = taps.weights + i * taps.stride;
        const uint8_t *first = input + (size_t)taps.starts[i] * row_bytes;
        size_t count = (size_t)taps.counts[i];
        for (size_t block = 0; block < row_bytes; block += BLOCK) {
            size_t width = row_bytes - block < BLOCK ? row_bytes - block : BLOCK;
            for (size_t x = 0; x < width; x++) sums[x] = HALF;
            for (size_t t = 0; t < count; t++) {
                const uint8_t *row = first + t * row_bytes + block;
                int32_t weight = weights[t];
                for (size_t x = 0; x < width; x++) sums[x] += row[x] * weight;
            }
            uint8_t *out = output + i * row_bytes + block;
            for (size_t x = 0; x < width; x++) out[x] = clip(sums[x]);
        }
    }
}

MULTIVERSIONED
void image_widen_half(const void *input, size_t count, float *output) {
    const uint8_t *bytes = input;
    for (size_t i = 0; i < count; i++) {
        uint16_t half;
        memcpy(&half, bytes + 2 * i, sizeof half);
        // The exponent and fraction moved into place are the value scaled by 2^-112; the product
        // is exact, subnormals included. Infinity and NaN then need the top exponent.
        uint32_t magnitude = (uint32_t)(half & 0x7FFF) << 13;
        uint32_t sign = (uint32_t)(half & 0x8000) << 16;
        float scaled;
        memcpy(&scaled, &magnitude, sizeof scaled);
        scaled *= 0x1p112f;
        uint32_t bits;
        memcpy(&bits, &scaled, sizeof bits);
        bits = magnitude >= 0x0F800000 ? magnitude | 0x7F800000 : bits;
        bits |= sign;
        memcpy(output + i, &bits, sizeof bits);
    }
}

MULTIVERSIONED
void image_widen_bfloat(const void *input, size_t count, float *output) {
    const uint8_t *bytes = input;
    for (size_t i = 0; i < count; i++) {
        uint16_t top;
        memcpy(&top, bytes + 2 * i, sizeof top);
        uint32_t bits = (uint32_t)top << 16;
        memcpy(output + i, &bits, sizeof bits);
    }
}

MULTIVERSIONED
size_t image_first_not_finite(const float *values, size_t count) {
    const uint32_t top = 0x7F800000;
    for (size_t block = 0; block < count; block += BLOCK) {
        size_t end = count - block < BLOCK ? count : block + BLOCK;
        uint32_t found = 0;
        for (size_t i = block; i < end; i++) {
            uint32_t bits;
            memcpy(&bits, values + i, sizeof bits);
            found |= (bits & top) == top;
        }
        if (!found) continue;
        for (size_t i = block; i < end; i++) {
            uint32_t bits;
            memcpy(&bits, values + i, sizeof bits);
            if ((bits & top) == top) return i;
        }
    }
    return count;
}
