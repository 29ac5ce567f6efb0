#include "CProducts.h"

#include "activation_lanes.h"
#include "tiles.h"
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

/// Numbers in a group, and its bytes.
static size_t group_size(int element) { return element == GK_F32 ? 1 : element == GK_BF16 ? 2 : 4; }
static size_t group_bytes(int element) {
    (void)element;
    return 4;
}

#define GK_BODY "products.body.h"
#include "variants.h"

size_t gk_depth(int element, size_t inputs) {
    const size_t size = group_size(element);
    return (inputs + size - 1) / size;
}

static size_t panel_count(size_t outputs) { return (outputs + GK_PANEL - 1) / GK_PANEL; }

size_t gk_packed_bytes(int element, size_t inputs, size_t outputs) {
    return panel_count(outputs) * gk_depth(element, inputs) * GK_PANEL * group_bytes(element);
}

static uint16_t bf16_of(float value) {
    uint16_t half;
    gk_narrow_bf16(&value, &half, 1);
    return half;
}

void gk_pack(
    const float *w, size_t output_stride, size_t input_stride, size_t inputs, size_t outputs,
    int element, void *data, float *scales, int32_t *sums) {
    const size_t size = group_size(element), depth = gk_depth(element, inputs);
    for (size_t output = 0; output < outputs && element == GK_S8; output++) {
        float largest = 0;
        for (size_t i = 0; i < inputs; i++) {
            const float magnitude =
                __builtin_fabsf(w[output * output_stride + i * input_stride]);
            if (magnitude > largest) largest = magnitude;
        }
        scales[output] = largest / 127.0f;
        sums[output] = 0;
    }
    for (size_t panel = 0; panel < panel_count(outputs); panel++) {
        char *out = (char *)data + panel * depth * GK_PANEL * group_bytes(element);
        for (size_t lane = 0; lane < GK_PANEL; lane++) {
            const size_t output = panel * GK_PANEL + lane;
            const float *row = w + output * output_stride;
            const int exists = output < outputs;
            switch (element) {
            case GK_F32: {
                float *to = (float *)out + lane;
                for (size_t i = 0; i < inputs; i++)
                    to[i * GK_PANEL] = exists ? row[i * input_stride] : 0.0f;
                break;
            }
            case GK_BF16: {
                uint16_t *to = (uint16_t *)out + lane * size;
                for (size_t i = 0; i < depth * size; i++)
                    to[i / size * GK_PANEL * size + i % size] =
                        exists && i < inputs ? bf16_of(row[i * input_stride]) : 0;
                break;
            }
            default: {
                int8_t *to = (int8_t *)out + lane * size;
                const float factor =
                    exists && scales[output] > 0 ? 1.0f / scales[output] : 0.0f;
                int32_t sum = 0;
                for (size_t i = 0; i < depth * size; i++) {
                    int32_t q = 0;
                    if (exists && i < inputs) {
                        q = (int32_t)__builtin_rintf(row[i * input_stride] * factor);
                        q = q > 127 ? 127 : q < -127 ? -127 : q;
                    }
                    sum += q;
                    to[i / size * GK_PANEL * size + i % size] = (int8_t)q;
                }
                if (exists) sums[output] = 128 * sum;
                break;
            }
            }
        }
    }
}

void gk_unpack(const gk_packed *packed, float *w, size_t output_stride, size_t input_stride) {
    const size_t size = group_size(packed->element);
    const size_t depth = gk_depth(packed->element, packed->inputs);
    for (size_t output = 0; output < packed->outputs; output++) {
        const char *panel = (const char *)packed->data
            + output / GK_PANEL * depth * GK_PANEL * group_bytes(packed->element);
        const size_t lane = output % GK_PANEL;
        for (size_t i = 0; i < packed->inputs; i++) {
            const size_t at = (i / size * GK_PANEL + lane) * size + i % size;
            float value = 0;
            switch (packed->element) {
            case GK_F32: value = ((const float *)panel)[at]; break;
            case GK_BF16: gk_widen_bf16((const uint16_t *)panel + at, &value, 1); break;
            default: value = (float)((const int8_t *)panel)[at] * packed->scales[output]; break;
            }
            w[output * output_stride + i * input_stride] = value;
        }
    }
}

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
    const size_t row_bytes = job.depth * group_bytes(packed->element);
    const size_t fitting = (512 << 10) / row_bytes;
    job.row_block = fitting < 112 ? 112 : fitting > 448 ? 448 : fitting;
    if (job.row_block > rows) job.row_block = rows;
    const size_t panel_work = job.row_block * job.depth;
    job.panels_per_chunk = 1 + (16 << 10) / panel_work;
    if (job.panels_per_chunk > job.panels) job.panels_per_chunk = job.panels;
    job.panel_chunks = (job.panels + job.panels_per_chunk - 1) / job.panels_per_chunk;
    GK_DISPATCH(multiply)(seat, &job);
}
