#pragma once

#include "lanes.h"

// Sixteen rows of an image side by side: lane r of vector x holds what row r has in column x. A sum
// along the rows then runs over whole vectors, in the same order for every row.

typedef uint8_t b16_loose __attribute__((vector_size(16), aligned(1), may_alias));

#define INTERLEAVED_LOW 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define INTERLEAVED_HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31

// Four rounds of interleaving the first half of the vectors with the second are a transposition.
#define TRANSPOSE(type, m)                                                                       \
    do {                                                                                         \
        type half_done[LANES];                                                                   \
        for (int round = 0; round < 2; round++) {                                                \
            for (int i = 0; i < LANES / 2; i++) {                                                \
                half_done[2 * i] =                                                               \
                    __builtin_shufflevector((m)[i], (m)[i + LANES / 2], INTERLEAVED_LOW);        \
                half_done[2 * i + 1] =                                                           \
                    __builtin_shufflevector((m)[i], (m)[i + LANES / 2], INTERLEAVED_HIGH);       \
            }                                                                                    \
            for (int i = 0; i < LANES / 2; i++) {                                                \
                (m)[2 * i] = __builtin_shufflevector(                                            \
                    half_done[i], half_done[i + LANES / 2], INTERLEAVED_LOW);                    \
                (m)[2 * i + 1] = __builtin_shufflevector(                                        \
                    half_done[i], half_done[i + LANES / 2], INTERLEAVED_HIGH);                   \
            }                                                                                    \
        }                                                                                        \
    } while (0)

/// 22 bits after the point: 32 less the 8 of a pixel, less two for what a filter overshoots.
#define FRACTION_BITS 22
#define FRACTION_HALF (1 << (FRACTION_BITS - 1))

GK_INLINE void clip16(b16 *bytes, const i16 *sum) {
    i16 whole = *sum >> FRACTION_BITS;
    whole &= ~(whole < 0);
    const i16 over = whole > 255;
    whole = (over & 255) | (~over & whole);
    *bytes = __builtin_convertvector(whole, b16);
}
