#include "CProducts.h"

#include "activation_lanes.h"
#include "coarse_lanes.h"
#include "packed_layout.h"
#include "view_lanes.h"

/// A product on its way, cut into chunks of panels and rows.
typedef struct {
    const gk_packed *packed;
    const void *x;
    /// Groups from one row of x to the next.
    size_t x_row;
    const float *x_scales;
    size_t rows, depth, panels;
    size_t row_block, panels_per_chunk, panel_chunks;
    const gk_epilogue *epilogue;
} product;

#define GK_BODY_STORES_HALVES
#define GK_BODY "products.body.h"
#include "variants.h"

void gk_multiply(
    gk_seat *seat, const gk_packed *packed, const void *x, size_t x_stride, const float *x_scales,
    size_t rows, const gk_epilogue *epilogue) {
    if (rows == 0 || packed->outputs == 0) return;
    product job = {
        .packed = packed, .x = x, .x_row = x_stride / group_size(packed->element),
        .x_scales = x_scales, .rows = rows, .depth = gk_depth(packed->element, packed->inputs),
        .panels = panel_count(packed->outputs), .epilogue = epilogue,
    };
    // The left factor's rows of a block are read once a panel: they should stay in the second-level
    // cache. A chunk is some ten microseconds of work.
    const size_t row_bytes = job.depth * GROUP_BYTES;
    const size_t fitting = (512 << 10) / row_bytes;
    job.row_block = fitting < 112 ? 112 : fitting > 448 ? 448 : fitting;
    if (job.row_block > rows) job.row_block = rows;
    const size_t panel_work = job.row_block * job.depth;
    job.panels_per_chunk = 1 + (16 << 10) / panel_work;
    if (job.panels_per_chunk > job.panels) job.panels_per_chunk = job.panels;
    job.panel_chunks = (job.panels + job.panels_per_chunk - 1) / job.panels_per_chunk;
    GK_DISPATCH(multiply)(seat, &job);
}
