#include "coarse.body.h"
#include "tiles.body.h"

/// A bit a lane: whether it is set.
GK_INLINE uint16_t GK_V(lane_bits)(const i16 *lanes) {
#if GK_HAS_AVX512
    return (uint16_t)_mm512_movepi32_mask((__m512i)*lanes);
#else
    uint16_t bits = 0;
    for (size_t l = 0; l < LANES; l++) bits |= (uint16_t)(((*lanes)[l] & 1) << l);
    return bits;
#endif
}

/// Zeroes lanes whose bit is not set.
GK_INLINE void GK_V(keep_bits)(v16 *v, uint16_t bits) {
#if GK_HAS_AVX512
    *v = (v16)_mm512_maskz_mov_ps((__mmask16)bits, (__m512)*v);
#else
    const i16 powers = {1,   2,   4,    8,    16,   32,   64,    128,
                        256, 512, 1024, 2048, 4096, 8192, 16384, 32768};
    const i16 set = (((i16){0} + (int32_t)bits) & powers) != 0;
    *v = (v16)((i16)*v & set);
#endif
}

/// Up to sixteen of one output's channels from `column` on, `n` of which count.
GK_INLINE void GK_V(finish_channels)(
    v16 *v, size_t n, ptrdiff_t y, ptrdiff_t x, size_t column, const convolution *job) {
    const gk_convolution_epilogue *e = job->epilogue;
    const gk_plane *plane = job->y;
    v16 w;
    if (e->bias != NULL) {
        if (n == LANES) load16(&w, e->bias + column); else load_part(&w, e->bias + column, n);
        *v += w;
    }
    if (e->residual != NULL) {
        const gk_view from = {pixel(e->residual, y, x), 0, e->residual->element};
        load_view(&w, &from, 0, column, n);
        *v += w;
    }
    const size_t bits = (plane->channels + LANES - 1) / LANES;
    const size_t at = ((size_t)y * plane->width + (size_t)x) * bits + column / LANES;
    if (e->rectify) {
        // Not "above zero": a NaN must stay one.
        const i16 passed = ~(*v <= (v16){0});
        *v = (v16)((i16)*v & passed);
        if (e->signs != NULL) e->signs[at] = GK_V(lane_bits)(&passed);
    }
    if (e->mask != NULL) GK_V(keep_bits)(v, e->mask[at]);
    const gk_view to = {pixel(plane, y, x), 0, plane->element};
    GK_V(store_view)(&to, 0, column, v, n);
}

/// One panel of one output row's tiles from `first` on.
static void GK_V(convolve_turn)(
    const convolution *job, gk_tile *tile_of, size_t y, size_t first, size_t tiles_end,
    size_t tiles, size_t panel) {
    const gk_packed *packed = job->packed;
    const gk_window *w = job->window;
    const size_t size = group_size(packed->element);
    const size_t pixel_groups = job->x->channels / size, depth = w->columns * pixel_groups;
    const char *weights = (const char *)packed->data
        + panel * gk_depth(packed->element, packed->inputs) * GK_PANEL * GROUP_BYTES;
    const size_t column = panel * GK_PANEL;
    const size_t columns = packed->outputs - column < GK_PANEL ? packed->outputs - column : GK_PANEL;
    _Alignas(64) float sums[TURN_TILES][GK_TILE_ROWS * GK_PANEL];
    for (size_t r = 0; r < w->rows; r++) {
        const ptrdiff_t row = (ptrdiff_t)(w->step * y + r) + w->top;
        for (size_t t = first; t < tiles_end; t++) {
            const size_t from = job->width * t / tiles, to = job->width * (t + 1) / tiles;
            tile_of(
                to - from, pixel(job->x, row, (ptrdiff_t)(w->step * from) + w->left),
                w->step * pixel_groups, 1, weights, GK_PANEL, depth, sums[t - first], GK_PANEL,
                r > 0, weights, 0);
        }
        weights += depth * GK_PANEL * GROUP_BYTES;
    }
    for (size_t t = first; t < tiles_end; t++) {
        const size_t from = job->width * t / tiles, to = job->width * (t + 1) / tiles;
        for (size_t x = from; x < to; x++) {
            const float *tile = sums[t - first] + (x - from) * GK_PANEL;
            for (size_t c = 0; c < columns; c += LANES) {
                v16 v;
                load16(&v, tile + c);
                GK_V(finish_channels)(
                    &v, columns - c < LANES ? columns - c : LANES,
                    (ptrdiff_t)(w->spread * y + w->down), (ptrdiff_t)(w->spread * x + w->right),
                    column + c, job);
            }
        }
    }
}

/// Some output rows.
static void GK_V(convolve_chunk)(void *context, size_t chunk, size_t slot) {
    (void)slot;
    const convolution *job = context;
    const size_t first_row = chunk * job->rows_per_chunk;
    const size_t last_row = first_row + job->rows_per_chunk < job->height
        ? first_row + job->rows_per_chunk : job->height;
    const size_t tiles = (job->width + GK_TILE_ROWS - 1) / GK_TILE_ROWS;
    const size_t panels = panel_count(job->packed->outputs);
    gk_tile *tile_of = GK_V(tile_for)(job->packed->element);
    for (size_t y = first_row; y < last_row; y++)
        for (size_t t = 0; t < tiles; t += TURN_TILES)
            for (size_t panel = 0; panel < panels; panel++)
                GK_V(convolve_turn)(
                    job, tile_of, y, t, t + TURN_TILES < tiles ? t + TURN_TILES : tiles, tiles,
                    panel);
}
