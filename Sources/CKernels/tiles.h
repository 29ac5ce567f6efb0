#pragma once

#include "level.h"
#include "lanes.h"

/// Columns of a tile, and of a packed panel.
#define GK_PANEL 32
/// Rows of the largest tile of any level.
#define GK_MOST_TILE_ROWS 14

/// One tile: c [rows, 32] (+)= Σ over depth of a · b, in groups (one fp32, two bfloat16s, four bytes).
///
/// a's rows are a_row groups apart, its groups along the depth a_depth; b's rows of 32 groups are
/// b_depth groups apart; c's rows c_row numbers. Bytes give int32 sums. c and b need no alignment.
/// Meanwhile what lies at `ahead` is fetched into the second-level cache, `ahead_step` bytes a group.
typedef void gk_tile(
    size_t rows, const void *a, size_t a_row, size_t a_depth, const void *b, size_t b_depth,
    size_t depth, float *c, size_t c_row, int accumulate, const char *ahead,
    size_t ahead_step);

#if defined(__x86_64__)
/// On the dot product instructions; only where the machine has them.
void gk_tile_bf16_native(
    size_t rows, const void *a, size_t a_row, size_t a_depth, const void *b, size_t b_depth,
    size_t depth, float *c, size_t c_row, int accumulate, const char *ahead,
    size_t ahead_step);
void gk_tile_s8_native(
    size_t rows, const void *a, size_t a_row, size_t a_depth, const void *b, size_t b_depth,
    size_t depth, float *c, size_t c_row, int accumulate, const char *ahead,
    size_t ahead_step);
#endif

// A function of a constant number of rows for each number that there can be, so that its sums stay
// in registers.
#define GK_ROWS_CASE(n, call) case n: call(n); break;
#define GK_ROWS_SWITCH_2(rows, call)                                                             \
    switch (rows) { GK_ROWS_CASE(1, call) GK_ROWS_CASE(2, call) default: break; }
#define GK_ROWS_SWITCH_3(rows, call)                                                             \
    switch (rows) { GK_ROWS_CASE(1, call) GK_ROWS_CASE(2, call) GK_ROWS_CASE(3, call)            \
        default: break; }
#define GK_ROWS_SWITCH_14(rows, call)                                                            \
    switch (rows) {                                                                              \
        GK_ROWS_CASE(1, call) GK_ROWS_CASE(2, call) GK_ROWS_CASE(3, call)                        \
        GK_ROWS_CASE(4, call) GK_ROWS_CASE(5, call) GK_ROWS_CASE(6, call)                        \
        GK_ROWS_CASE(7, call) GK_ROWS_CASE(8, call) GK_ROWS_CASE(9, call)                        \
        GK_ROWS_CASE(10, call) GK_ROWS_CASE(11, call) GK_ROWS_CASE(12, call)                     \
        GK_ROWS_CASE(13, call) GK_ROWS_CASE(14, call) default: break;                            \
    }
#define GK_ROWS_SWITCH_OF(n, rows, call) GK_ROWS_SWITCH_##n(rows, call)
#define GK_ROWS_SWITCH(n, rows, call) GK_ROWS_SWITCH_OF(n, rows, call)

/// In a tile's loop, once a group.
#define GK_FETCH_AHEAD                                                                           \
    __builtin_prefetch(ahead, 0, 2);                                                             \
    __builtin_prefetch(ahead + 64, 0, 2);                                                        \
    ahead += ahead_step;
