#include "tiles.body.h"

/// Sixteen lanes of one row of a tile: the steps of an epilogue, then the stores. `n` of them count.
GK_INLINE void GK_V(finish_lanes)(
    v16 *v, size_t n, size_t row, size_t column, const gk_epilogue *e) {
    v16 w;
    if (e->bias != NULL) {
        if (n == LANES) load16(&w, e->bias + column); else load_part(&w, e->bias + column, n);
        *v += w;
    }
    if (e->kept.base != NULL) store_view(&e->kept, row, column, v, n);
    switch (e->activation) {
    case GK_QUICK_GELU: quick_gelu16(v); break;
    case GK_GELU: gelu16(v); break;
    case GK_GELU_TANH: gelu_tanh16(v); break;
    default: break;
    }
    if (e->slope.base != NULL) {
        load_view(&w, &e->slope, row, column, n);
        switch (e->slope_activation) {
        case GK_QUICK_GELU: quick_gelu_slope16(&w); break;
        case GK_GELU: gelu_slope16(&w); break;
        case GK_GELU_TANH: gelu_tanh_slope16(&w); break;
        default: break;
        }
        *v *= w;
    }
    if (e->residual != NULL) {
        const float *p = e->residual + row * e->residual_stride + column;
        if (n == LANES) load16(&w, p); else load_part(&w, p, n);
        *v += w;
    }
    store_view(&e->y, row, column, v, n);
    if (e->copy.base != NULL) store_view(&e->copy, row, column, v, n);
}

static void GK_V(finish_tile)(
    const float *tile, size_t rows, size_t row, size_t column, size_t columns,
    const product *job) {
    const gk_epilogue *e = job->epilogue;
    const gk_packed *packed = job->packed;
    for (size_t i = 0; i < rows; i++) {
        for (size_t at = 0; at < columns; at += LANES) {
            const size_t n = columns - at < LANES ? columns - at : LANES;
            v16 v;
            if (packed->element == GK_S8) {
                i16 sum = *(const i16_loose *)(const void *)(tile + i * GK_PANEL + at);
                i16 offset = {0};
                v16 scale = {0};
                memcpy(&offset, packed->sums + column + at, n * sizeof(int32_t));
                memcpy(&scale, packed->scales + column + at, n * sizeof(float));
                v = __builtin_convertvector(sum - offset, v16) * scale * job->x_scales[row + i];
            } else {
                load16(&v, tile + i * GK_PANEL + at);
            }
            GK_V(finish_lanes)(&v, n, row + i, column + at, e);
        }
    }
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
    const size_t group = group_bytes(packed->element);
    gk_tile *tile_of = GK_V(tile_for)(packed->element);
    _Alignas(64) float tile[GK_TILE_ROWS * GK_PANEL];
    for (size_t panel = first_panel; panel < last_panel; panel++) {
        const char *weights =
            (const char *)packed->data + panel * job->depth * GK_PANEL * group;
        const size_t column = panel * GK_PANEL;
        const size_t columns = packed->outputs - column < GK_PANEL ? packed->outputs - column : GK_PANEL;
        // Tiles of nearly equal height: a last one of a single row would waste most of its time.
        size_t row = first_row;
        for (size_t t = 1; t <= tiles; t++) {
            const size_t end = first_row + rows * t / tiles;
            tile_of(
                end - row, (const char *)job->x + row * job->x_row * group, job->x_row, 1, weights,
                GK_PANEL, job->depth, tile, GK_PANEL, 0);
            GK_V(finish_tile)(tile, end - row, row, column, columns, job);
            row = end;
        }
    }
}

static void GK_V(multiply)(gk_seat *seat, const product *job) {
    const size_t blocks = (job->rows + job->row_block - 1) / job->row_block;
    gk_seat_run(seat, blocks * job->panel_chunks, GK_V(product_chunk), (void *)job);
}
