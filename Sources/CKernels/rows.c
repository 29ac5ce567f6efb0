#include "half_lanes.h"

#define GK_BODY "rows.body.h"
#include "variants.h"

void gk_fill_rows(const float *bias, size_t rows, size_t width, float *y, size_t y_stride) {
    for (size_t row = 0; row < rows; row++) {
        if (bias != NULL)
            memcpy(y + row * y_stride, bias, width * sizeof(float));
        else
            memset(y + row * y_stride, 0, width * sizeof(float));
    }
}

void gk_add(const float *a, const float *b, float *y, size_t count) {
    GK_DISPATCH(gk_add)(a, b, y, count);
}

void gk_add_bias(
    const float *x, size_t x_stride, const float *bias, size_t rows, size_t width, float *y,
    size_t y_stride) {
    for (size_t row = 0; row < rows; row++) {
        if (bias != NULL)
            gk_add(x + row * x_stride, bias, y + row * y_stride, width);
        else
            memmove(y + row * y_stride, x + row * x_stride, width * sizeof(float));
    }
}

float gk_dot(const float *a, const float *b, size_t count) {
    return GK_DISPATCH(gk_dot)(a, b, count);
}

/// Rows in a chunk: some microseconds of work.
#define CHUNK_ROWS 8

typedef struct {
    gk_view x;
    size_t rows, width;
    uint8_t *y;
    size_t y_stride;
    gk_row_scale *scales;
} quantize_job;

static void quantize_chunk(void *context, size_t chunk, size_t slot) {
    (void)slot;
    const quantize_job *job = context;
    const size_t row = chunk * CHUNK_ROWS;
    const size_t rows = job->rows - row < CHUNK_ROWS ? job->rows - row : CHUNK_ROWS;
    gk_view x = job->x;
    x.base = (char *)x.base + row * x.stride * (x.element == GK_F32 ? 4 : 2);
    GK_DISPATCH(quantize_rows)
    (x, rows, job->width, job->y + row * job->y_stride, job->y_stride, job->scales + row);
}

void gk_quantize_rows(
    gk_seat *seat, gk_view x, size_t rows, size_t width, uint8_t *y, size_t y_stride,
    gk_row_scale *scales) {
    quantize_job job = {x, rows, width, y, y_stride, scales};
    gk_seat_run(seat, (rows + CHUNK_ROWS - 1) / CHUNK_ROWS, quantize_chunk, &job);
}
