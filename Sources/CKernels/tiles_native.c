#include "tiles.h"

#if defined(__x86_64__)
#include <immintrin.h>

// The same loops as in tiles.body.h, on the instructions for dot products of pairs and of fours.

#define ROWS GK_MOST_TILE_ROWS

#define TILE(name, target_list, vector, zero, load, store, broadcast, dot)                       \
    __attribute__((target(target_list), always_inline)) static inline void name##_of(            \
        const size_t rows, const int32_t *a, size_t a_row, size_t a_depth, const int32_t *b,     \
        size_t b_depth, size_t depth, float *c, size_t c_row, int accumulate,                    \
        const char *ahead, size_t ahead_step) {                                                  \
        vector left[ROWS], right[ROWS];                                                          \
        _Pragma("clang loop unroll(full)") for (size_t i = 0; i < rows; i++) {                   \
            left[i] = zero;                                                                      \
            right[i] = zero;                                                                     \
            if (accumulate) {                                                                    \
                left[i] = load(c + i * c_row);                                                   \
                right[i] = load(c + i * c_row + LANES);                                          \
            }                                                                                    \
        }                                                                                        \
        for (size_t k = 0; k < depth; k++) {                                                     \
            const __m512i b0 = _mm512_loadu_si512(b), b1 = _mm512_loadu_si512(b + LANES);        \
            GK_FETCH_AHEAD                                                                       \
            _Pragma("clang loop unroll(full)") for (size_t i = 0; i < rows; i++) {               \
                const __m512i x = _mm512_set1_epi32(a[i * a_row]);                               \
                left[i] = dot(left[i], x, b0);                                                   \
                right[i] = dot(right[i], x, b1);                                                 \
            }                                                                                    \
            a += a_depth;                                                                        \
            b += b_depth;                                                                        \
        }                                                                                        \
        _Pragma("clang loop unroll(full)") for (size_t i = 0; i < rows; i++) {                   \
            store(c + i * c_row, left[i]);                                                       \
            store(c + i * c_row + LANES, right[i]);                                              \
        }                                                                                        \
    }                                                                                            \
    __attribute__((target(target_list))) void name(                                              \
        size_t rows, const void *a, size_t a_row, size_t a_depth, const void *b,                 \
        size_t b_depth, size_t depth, float *c, size_t c_row, int accumulate,                    \
        const char *ahead, size_t ahead_step) {                                                  \
        GK_ROWS_SWITCH(14, rows, name##_CALL)                                                    \
    }

#define gk_tile_bf16_native_CALL(n)                                                              \
    gk_tile_bf16_native_of(                                                                      \
        n, a, a_row, a_depth, b, b_depth, depth, c, c_row, accumulate, ahead, ahead_step)
#define gk_tile_s8_native_CALL(n)                                                                \
    gk_tile_s8_native_of(                                                                        \
        n, a, a_row, a_depth, b, b_depth, depth, c, c_row, accumulate, ahead, ahead_step)

#define DOT_PAIRS(sum, x, y) _mm512_dpbf16_ps(sum, (__m512bh)(x), (__m512bh)(y))
#define DOT_BYTES(sum, x, y) _mm512_dpbusd_epi32(sum, x, y)

TILE(
    gk_tile_bf16_native, "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,fma", __m512,
    _mm512_setzero_ps(), _mm512_loadu_ps, _mm512_storeu_ps, , DOT_PAIRS)
TILE(
    gk_tile_s8_native, "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma", __m512i,
    _mm512_setzero_si512(), _mm512_loadu_si512, _mm512_storeu_si512, , DOT_BYTES)
#endif
