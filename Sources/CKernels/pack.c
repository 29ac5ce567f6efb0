#include "packed_layout.h"

#include "half_lanes.h"
#include "transpose_lanes.h"

/// Panels that are packed side by side from weights whose outputs are neighbours.
#define AT_ONCE 4

#define GK_BODY "pack.body.h"
#include "variants.h"

size_t gk_depth(int element, size_t inputs) {
    const size_t size = group_size(element);
    return (inputs + size - 1) / size;
}

size_t gk_packed_bytes(int element, size_t inputs, size_t outputs) {
    return panel_count(outputs) * gk_depth(element, inputs) * GK_PANEL * GROUP_BYTES;
}

void gk_pack(
    const float *w, size_t output_stride, size_t input_stride, size_t inputs, size_t outputs,
    int element, void *data, float *scales, int32_t *sums) {
    GK_DISPATCH(pack)
    (w, output_stride, input_stride, inputs, outputs, element, data, scales, sums);
}

void gk_unpack(const gk_packed *packed, float *w, size_t output_stride, size_t input_stride) {
    const size_t size = group_size(packed->element);
    const size_t depth = gk_depth(packed->element, packed->inputs);
    for (size_t output = 0; output < packed->outputs; output++) {
        const char *panel = (const char *)packed->data
            + output / GK_PANEL * depth * GK_PANEL * GROUP_BYTES;
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
