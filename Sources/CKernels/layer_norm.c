#include "coarse_lanes.h"
#include "half_lanes.h"

#define GK_BODY_STORES_HALVES
#define GK_BODY "layer_norm.body.h"
#include "variants.h"

/// Rows in a chunk: some microseconds of work.
#define CHUNK_ROWS 16

typedef struct {
    const float *dy, *x, *gain, *bias, *mean_in, *rstd_in;
    size_t dy_stride, x_stride, rows, width, dx_stride;
    float eps;
    gk_view y;
    float *mean, *rstd, *dx;
    int accumulate;
} norm_job;

static gk_view view_from(gk_view view, size_t row) {
    if (view.base != NULL)
        view.base = (char *)view.base + row * view.stride * (view.element == GK_F32 ? 4 : 2);
    return view;
}

static void forward_chunk(void *context, size_t chunk, size_t slot) {
    (void)slot;
    const norm_job *job = context;
    const size_t row = chunk * CHUNK_ROWS;
    const size_t rows = job->rows - row < CHUNK_ROWS ? job->rows - row : CHUNK_ROWS;
    GK_DISPATCH(gk_layer_norm)
    (job->x + row * job->x_stride, job->x_stride, job->gain, job->bias, job->eps, rows, job->width,
     view_from(job->y, row), job->mean == NULL ? NULL : job->mean + row,
     job->rstd == NULL ? NULL : job->rstd + row);
}

void gk_layer_norm(
    gk_seat *seat, const float *x, size_t x_stride, const float *gain, const float *bias, float eps,
    size_t rows, size_t width, gk_view y, float *mean, float *rstd) {
    norm_job job = {
        .x = x, .x_stride = x_stride, .gain = gain, .bias = bias, .eps = eps, .rows = rows,
        .width = width, .y = y, .mean = mean, .rstd = rstd,
    };
    gk_seat_run(seat, (rows + CHUNK_ROWS - 1) / CHUNK_ROWS, forward_chunk, &job);
}

static void backward_chunk(void *context, size_t chunk, size_t slot) {
    (void)slot;
    const norm_job *job = context;
    const size_t row = chunk * CHUNK_ROWS;
    const size_t rows = job->rows - row < CHUNK_ROWS ? job->rows - row : CHUNK_ROWS;
    GK_DISPATCH(gk_layer_norm_backward)
    (job->dy + row * job->dy_stride, job->dy_stride, job->x + row * job->x_stride, job->x_stride,
     job->gain, job->mean_in + row, job->rstd_in + row, rows, job->width,
     job->dx + row * job->dx_stride, job->dx_stride, job->accumulate, view_from(job->y, row));
}

void gk_layer_norm_backward(
    gk_seat *seat, const float *dy, size_t dy_stride, const float *x, size_t x_stride,
    const float *gain, const float *mean, const float *rstd, size_t rows, size_t width, float *dx,
    size_t dx_stride, int accumulate, gk_view copy) {
    norm_job job = {
        .dy = dy, .dy_stride = dy_stride, .x = x, .x_stride = x_stride, .gain = gain,
        .mean_in = mean, .rstd_in = rstd, .rows = rows, .width = width, .dx = dx,
        .dx_stride = dx_stride, .accumulate = accumulate, .y = copy,
    };
    gk_seat_run(seat, (rows + CHUNK_ROWS - 1) / CHUNK_ROWS, backward_chunk, &job);
}
