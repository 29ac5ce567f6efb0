// Compiles GK_BODY once for each instruction set, under names of its own; include it after defining
// GK_BODY. Functions in a body are named GK_V(name); GK_DISPATCH(name) is the best of them that this
// machine, or the level that was asked for, allows. With GK_BODY_STORES_HALVES defined there is one
// more, for machines with instructions for bfloat16s.
//
// The compiler's own `target_clones` would do the same, but could not be told in a test to take
// another version than the machine's best.

#include "level.h"

#if defined(__x86_64__)
#include <immintrin.h>

#if defined(GK_BODY_STORES_HALVES)
#define GK_V(name) name##_bf16
#define GK_TILE_ROWS 14
#define GK_HAS_AVX512 1
#define GK_HAS_NATIVE_BF16 1
#pragma clang attribute push(                                                                    \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,fma"))),                \
    apply_to = function)
#include GK_BODY
#pragma clang attribute pop
#undef GK_V
#undef GK_TILE_ROWS
#undef GK_HAS_AVX512
#undef GK_HAS_NATIVE_BF16
#define GK_DISPATCH(name)                                                                        \
    (gk_has_bf16_dot() ? name##_bf16                                                             \
     : gk_level_now() >= GK_LEVEL_AVX512                                                         \
         ? name##_avx512                                                                         \
         : gk_level_now() == GK_LEVEL_AVX2 ? name##_avx2 : name##_portable)
#else
#define GK_DISPATCH(name)                                                                        \
    (gk_level_now() >= GK_LEVEL_AVX512                                                           \
         ? name##_avx512                                                                         \
         : gk_level_now() == GK_LEVEL_AVX2 ? name##_avx2 : name##_portable)
#endif

#define GK_HAS_NATIVE_BF16 0
#define GK_V(name) name##_avx512
#define GK_TILE_ROWS 14
#define GK_HAS_AVX512 1
#pragma clang attribute push(                                                                    \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,fma"))), apply_to = function)
#include GK_BODY
#pragma clang attribute pop
#undef GK_V
#undef GK_TILE_ROWS
#undef GK_HAS_AVX512

#define GK_HAS_AVX512 0
#define GK_V(name) name##_avx2
#define GK_TILE_ROWS 3
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#include GK_BODY
#pragma clang attribute pop
#undef GK_V
#undef GK_TILE_ROWS
#undef GK_HAS_AVX512
#undef GK_HAS_NATIVE_BF16

#else
#define GK_DISPATCH(name) name##_portable
#endif

#define GK_HAS_NATIVE_BF16 0
#define GK_HAS_AVX512 0
#define GK_V(name) name##_portable
#define GK_TILE_ROWS 2
#include GK_BODY
#undef GK_V
#undef GK_TILE_ROWS
#undef GK_HAS_AVX512
#undef GK_HAS_NATIVE_BF16
