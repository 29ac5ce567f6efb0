// Compiles GK_BODY once for each instruction set, under names of its own; include it after defining
// GK_BODY. Functions in a body are named GK_V(name); GK_DISPATCH(name) is the best of them that this
// machine, or the level that was asked for, allows.
//
// The compiler's own `target_clones` would do the same, but could not be told in a test to take
// another version than the machine's best.

#include "level.h"

#if defined(__x86_64__)

#define GK_V(name) name##_avx512
#define GK_TILE_ROWS 14
#pragma clang attribute push(                                                                    \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,fma"))), apply_to = function)
#include GK_BODY
#pragma clang attribute pop
#undef GK_V
#undef GK_TILE_ROWS

#define GK_V(name) name##_avx2
#define GK_TILE_ROWS 3
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#include GK_BODY
#pragma clang attribute pop
#undef GK_V
#undef GK_TILE_ROWS

#define GK_DISPATCH(name)                                                                        \
    (gk_level_now() >= GK_LEVEL_AVX512                                                           \
         ? name##_avx512                                                                         \
         : gk_level_now() == GK_LEVEL_AVX2 ? name##_avx2 : name##_portable)

#else
#define GK_DISPATCH(name) name##_portable
#endif

#define GK_V(name) name##_portable
#define GK_TILE_ROWS 2
#include GK_BODY
#undef GK_V
#undef GK_TILE_ROWS
