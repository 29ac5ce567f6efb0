#include "CProducts.h"

#include "activation_lanes.h"
#include "coarse_lanes.h"
#include "packed_layout.h"
#include "view_lanes.h"

/// Of a block of the left factor's rows: its size that should stay in the second-level cache, and how
/// many rows it has at least and at most whatever they take.
#define BLOCK_BYTES ((size_t)512 << 10)
#define LEAST_ROWS 112
#define MOST_ROWS 448
/// How far ahead in a panel a lone tile fetches.
#define AHEAD_BYTES ((size_t)8192)

/// A product on its way, cut into chunks of panels and rows.
typedef struct {
    const gk_packed *packed;
    const void *x;
    /// Groups from one row of x to the next.
    size_t x_row;
    const gk_row_scale *x_scales;
    size_t rows, depth, panels;
    size_t row_block, panels_per_chunk, panel_chunks;
    /// Threads that take chunks in turn, as far as is known at the start.
    size_t sharers;
    const gk_epilogue *epilogue;
} product;

#define GK_BODY_STORES_HALVES
#define GK_BODY "products.body.h"
#include "variants.h"

void gk_multiply(
    gk_seat *seat, const gk_packed *packed, const void *x, size_t x_stride,
    const gk_row_scale *x_scales, size_t rows, const gk_epilogue *epilogue) {
    if (rows == 0 || packed->outputs == 0) return;
    product job = {
        .packed = packed, .x = x, .x_row = x_stride / group_size(packed->element),
        .x_scales = x_scales, .rows = rows, .depth = gk_depth(packed->element, packed->inputs),
        .panels = panel_count(packed->outputs), .epilogue = epilogue,
    };
    GK_DISPATCH(multiply)(seat, &job);
}
