#pragma once

#include "CKernels.h"
#include "half_lanes.h"

// Up to sixteen numbers of a view's row, as fp32.

GK_INLINE void load_view(v16 *v, const gk_view *view, size_t row, size_t column, size_t n) {
    if (view->element == GK_F32) {
        const float *p = (const float *)view->base + row * view->stride + column;
        if (n == LANES) load16(v, p); else load_part(v, p, n);
    } else {
        const uint16_t *p = (const uint16_t *)view->base + row * view->stride + column;
        if (n == LANES) load_bf16(v, p); else load_bf16_part(v, p, n);
    }
}
