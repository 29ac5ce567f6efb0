#include "CConvolution.h"
#include "CProducts.h"

#include "activation_lanes.h"
#include "coarse_lanes.h"
#include "packed_layout.h"
#include "view_lanes.h"

/// Tiles of one output row that take turns with the same rows of weights, which then stay in the
/// first-level cache.
#define TURN_TILES 4
/// About how many multiply-adds a chunk of output rows has: some hundred microseconds.
#define CHUNK_WORK ((size_t)16 << 20)

/// A convolution on its way, cut into chunks of output rows.
typedef struct {
    const gk_packed *packed;
    const gk_plane *x, *y;
    const gk_window *window;
    size_t height, width, rows_per_chunk;
    const gk_convolution_epilogue *epilogue;
} convolution;

static inline size_t number_bytes(int element) { return element == GK_F32 ? 4 : 2; }

/// The first number of a pixel; −1 and height or width are the border.
static inline char *pixel(const gk_plane *plane, ptrdiff_t y, ptrdiff_t x) {
    const size_t index = (size_t)(y + 1) * (plane->width + 2) + (size_t)(x + 1);
    return (char *)plane->base + index * plane->channels * number_bytes(plane->element);
}

#define GK_BODY_STORES_HALVES
#define GK_BODY "convolution.body.h"
#include "variants.h"

size_t gk_plane_bytes(size_t height, size_t width, size_t channels, int element) {
    return (height + 2) * (width + 2) * channels * number_bytes(element);
}

void gk_clear_border(const gk_plane *plane) {
    const size_t bytes = plane->channels * number_bytes(plane->element);
    const ptrdiff_t height = (ptrdiff_t)plane->height, width = (ptrdiff_t)plane->width;
    memset(pixel(plane, -1, -1), 0, (plane->width + 2) * bytes);
    memset(pixel(plane, height, -1), 0, (plane->width + 2) * bytes);
    for (ptrdiff_t y = 0; y < height; y++) {
        memset(pixel(plane, y, -1), 0, bytes);
        memset(pixel(plane, y, width), 0, bytes);
    }
}

void gk_convolve(
    gk_seat *seat, const gk_packed *packed, const gk_plane *x, const gk_window *window,
    size_t height, size_t width, const gk_convolution_epilogue *epilogue, const gk_plane *y) {
    if (height == 0 || width == 0 || packed->outputs == 0) return;
    const size_t row_work = width * packed->inputs * panel_count(packed->outputs) * GK_PANEL;
    const size_t rows = CHUNK_WORK / row_work + 1;
    convolution job = {
        .packed = packed, .x = x, .y = y, .window = window, .height = height, .width = width,
        .rows_per_chunk = rows < height ? rows : height, .epilogue = epilogue,
    };
    gk_seat_run(
        seat, (height + job.rows_per_chunk - 1) / job.rows_per_chunk, GK_DISPATCH(convolve_chunk),
        &job);
}
