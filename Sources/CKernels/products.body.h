#include "coarse.body.h"
#include "tiles.body.h"

/// `n` ≤ 16 numbers, zeros after them.
GK_INLINE void GK_V(load_some)(v16 *v, const float *p, size_t n) {
    if (n == LANES) load16(v, p); else load_part(v, p, n);
}

/// Sixteen lanes of one row of a tile, `n` of which count: the steps of an epilogue behind the bias,
/// then the stores. `coarse` for results in bfloat16s.
GK_INLINE void GK_V(finish_lanes)(
    v16 *v, size_t n, size_t row, size_t column, const gk_epilogue *e, const int coarse) {
    v16 w;
    if (e->kept.base != NULL) GK_V(store_view)(&e->kept, row, column, v, n);
    switch (e->activation) {
    case GK_QUICK_GELU: if (coarse) GK_V(coarse_quick_gelu)(v); else quick_gelu16(v); break;
    case GK_GELU: if (coarse) GK_V(coarse_gelu)(v); else gelu16(v); break;
    case GK_GELU_TANH: if (coarse) GK_V(coarse_gelu_tanh)(v); else gelu_tanh16(v); break;
    default: break;
    }
    if (e->slope.base != NULL) {
        load_view(&w, &e->slope, row, column, n);
        switch (e->slope_activation) {
        case GK_QUICK_GELU:
            if (coarse) GK_V(coarse_quick_gelu_slope)(&w); else quick_gelu_slope16(&w);
            break;
        case GK_GELU: if (coarse) GK_V(coarse_gelu_slope)(&w); else gelu_slope16(&w); break;
        case GK_GELU_TANH:
            if (coarse) GK_V(coarse_gelu_tanh_slope)(&w); else gelu_tanh_slope16(&w);
            break;
        default: break;
        }
        *v *= w;
    }
    if (e->residual != NULL) {
        GK_V(load_some)(&w, e->residual + row * e->residual_stride + column, n);
        *v += w;
    }
    GK_V(store_view)(&e->y, row, column, v, n);
    if (e->copy.base != NULL) GK_V(store_view)(&e->copy, row, column, v, n);
}

/// `vectors` times sixteen columns of a tile, all of a row before the next: rows may lie a multiple of the
/// first-level cache's ways apart, and their lines would not wait for a second visit. `n` of the last
/// sixteen exist.
GK_INLINE void GK_V(finish_columns)(
    const float *tile, size_t rows, size_t row, size_t column, const size_t vectors, size_t n,
    const product *job, const int coarse) {
    const gk_epilogue *e = job->epilogue;
    const gk_packed *packed = job->packed;
    const int bytes = packed->element == GK_S8;
    v16 v, bias[2] = {{0}, {0}}, scale[2] = {{0}, {0}}, sums[2] = {{0}, {0}};
#pragma clang loop unroll(full)
    for (size_t i = 0; i < vectors; i++) {
        const size_t at = column + i * LANES, count = i + 1 < vectors ? LANES : n;
        if (e->bias != NULL) GK_V(load_some)(&bias[i], e->bias + at, count);
        if (bytes) {
            GK_V(load_some)(&scale[i], packed->scales + at, count);
            GK_V(load_some)(&sums[i], (const float *)(const void *)(packed->sums + at), count);
        }
    }
    for (size_t r = 0; r < rows; r++) {
#pragma clang loop unroll(full)
        for (size_t i = 0; i < vectors; i++) {
            load16(&v, tile + r * GK_PANEL + i * LANES);
            if (bytes) {
                const gk_row_scale x = job->x_scales[row + r];
                v = __builtin_convertvector((i16)v - (i16)sums[i] * x.zero, v16) * scale[i]
                    * x.scale;
            }
            if (e->bias != NULL) v += bias[i];
            GK_V(finish_lanes)(
                &v, i + 1 < vectors ? LANES : n, row + r, column + i * LANES, e, coarse);
        }
    }
}

static void GK_V(finish_tile)(
    const float *tile, size_t rows, size_t row, size_t column, size_t columns,
    const product *job) {
    const int coarse = job->epilogue->y.element == GK_BF16;
    // Whole panels apart, so that nothing in their loop asks how many lanes count.
    if (columns == GK_PANEL && coarse)
        GK_V(finish_columns)(tile, rows, row, column, 2, LANES, job, 1);
    else if (columns == GK_PANEL)
        GK_V(finish_columns)(tile, rows, row, column, 2, LANES, job, 0);
    else if (columns > LANES)
        GK_V(finish_columns)(tile, rows, row, column, 2, columns - LANES, job, coarse);
    else
        GK_V(finish_columns)(tile, rows, row, column, 1, columns, job, coarse);
}

/// Some panels of some rows.
static void GK_V(product_chunk)(void *context, size_t chunk, size_t slot) {
    (void)slot;
    const product *job = context;
    const gk_packed *packed = job->packed;
    const size_t first_row = chunk / job->panel_chunks * job->row_block;
    const size_t last_row =
        first_row + job->row_block < job->rows ? first_row + job->row_block : job->rows;
    const size_t first_panel = chunk % job->panel_chunks * job->panels_per_chunk;
    const size_t last_panel = first_panel + job->panels_per_chunk < job->panels
        ? first_panel + job->panels_per_chunk : job->panels;
    const size_t rows = last_row - first_row;
    const size_t tiles = (rows + GK_TILE_ROWS - 1) / GK_TILE_ROWS;
    gk_tile *tile_of = GK_V(tile_for)(packed->element);
    _Alignas(64) float tile[GK_TILE_ROWS * GK_PANEL];
    for (size_t panel = first_panel; panel < last_panel; panel++) {
        const char *weights =
            (const char *)packed->data + panel * job->depth * GK_PANEL * GROUP_BYTES;
        const size_t column = panel * GK_PANEL;
        const size_t columns = packed->outputs - column < GK_PANEL ? packed->outputs - column : GK_PANEL;
        // Several tiles share the fetching of the panel that this thread takes next, so that its first
        // tile does not wait for memory while the others would leave it idle. A single one is always
        // waiting, and fetches its own panel a little ahead.
        const size_t next_panel = panel + 1 < last_panel
            ? panel + 1 : first_panel + job->sharers * job->panels_per_chunk;
        const char *ahead = weights + AHEAD_BYTES;
        size_t step = GK_PANEL * GROUP_BYTES;
        if (tiles > 1) {
            step = next_panel < job->panels ? GK_PANEL * GROUP_BYTES / tiles : 0;
            ahead = (const char *)packed->data
                + (step == 0 ? panel : next_panel) * job->depth * GK_PANEL * GROUP_BYTES;
        }
        // Tiles of nearly equal height: a last one of a single row would waste most of its time.
        size_t row = first_row;
        for (size_t t = 1; t <= tiles; t++) {
            const size_t end = first_row + rows * t / tiles;
            tile_of(
                end - row, (const char *)job->x + row * job->x_row * GROUP_BYTES, job->x_row, 1,
                weights, GK_PANEL, job->depth, tile, GK_PANEL, 0, ahead, step);
            ahead += step * job->depth;
            GK_V(finish_tile)(tile, end - row, row, column, columns, job);
            row = end;
        }
    }
}

static void GK_V(multiply)(gk_seat *seat, product *job) {
    // The left factor's rows of a block are read once a panel: they should stay in the second-level
    // cache. Blocks are whole tiles, nearly equally many in each, so that none has a row to itself.
    const size_t fitting = BLOCK_BYTES / (job->depth * GROUP_BYTES);
    const size_t wanted =
        fitting < LEAST_ROWS ? LEAST_ROWS : fitting > MOST_ROWS ? MOST_ROWS : fitting;
    const size_t most = (wanted + GK_TILE_ROWS - 1) / GK_TILE_ROWS;
    const size_t tiles = (job->rows + GK_TILE_ROWS - 1) / GK_TILE_ROWS;
    const size_t cuts = (tiles + most - 1) / most;
    job->row_block = (tiles + cuts - 1) / cuts * GK_TILE_ROWS;
    const size_t blocks = (job->rows + job->row_block - 1) / job->row_block;
    // A chunk is some ten microseconds of work.
    const size_t rows = job->row_block < job->rows ? job->row_block : job->rows;
    job->panels_per_chunk = 1 + (16 << 10) / (rows * job->depth);
    if (job->panels_per_chunk > job->panels) job->panels_per_chunk = job->panels;
    job->panel_chunks = (job->panels + job->panels_per_chunk - 1) / job->panels_per_chunk;
    job->sharers = gk_seat_sharers(seat);
    gk_seat_run(seat, blocks * job->panel_chunks, GK_V(product_chunk), (void *)job);
}
