#include "half_lanes.h"

#define GK_BODY "widen.body.h"
#include "variants.h"

void gk_widen_f16(const void *x, float *y, size_t count) { GK_DISPATCH(gk_widen_f16)(x, y, count); }
void gk_widen_bf16(const void *x, float *y, size_t count) {
    GK_DISPATCH(gk_widen_bf16)(x, y, count);
}
void gk_narrow_bf16(const float *x, uint16_t *y, size_t count) {
    GK_DISPATCH(gk_narrow_bf16)(x, y, count);
}
