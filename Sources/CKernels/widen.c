#include "CKernels.h"
#include "lanes.h"

/// The bits of sixteen halves to those of sixteen floats. Shifted into place, a half's exponent is
/// 112 too small; one multiplication by 2¹¹² mends it exactly, for subnormals too.
GK_INLINE void widen_f16_lanes(v16 *out, const h16_loose *in) {
    i16 bits = __builtin_convertvector(*in, i16);
    i16 magnitude = (bits & 0x7FFF) << 13;
    v16 finite = (v16)magnitude * 0x1p112f;
    v16 special = (v16)(magnitude | 0x7F800000);
    i16 is_special = magnitude >= 0x0F800000;
    select16(out, &is_special, &special, &finite);
    *out = (v16)((i16)*out | ((bits & 0x8000) << 16));
}

GK_INLINE void widen_bf16_lanes(v16 *out, const h16_loose *in) {
    *out = (v16)(__builtin_convertvector(*in, i16) << 16);
}

#define WIDEN(name, lanes_of)                                                  \
    GK_KERNEL void name(const void *x, float *y, size_t count) {               \
        const size_t rest = count % LANES, whole = count - rest;               \
        const uint8_t *in = x;                                                 \
        v16 v;                                                                 \
        for (size_t i = 0; i < whole; i += LANES) {                            \
            lanes_of(&v, (const h16_loose *)(in + 2 * i));                     \
            store16(y + i, &v);                                                \
        }                                                                      \
        if (rest > 0) {                                                        \
            uint16_t part[LANES] = {0};                                        \
            memcpy(part, in + 2 * whole, rest * sizeof(uint16_t));             \
            lanes_of(&v, (const h16_loose *)part);                             \
            store_part(y + whole, &v, rest);                                   \
        }                                                                      \
    }

WIDEN(gk_widen_f16, widen_f16_lanes)
WIDEN(gk_widen_bf16, widen_bf16_lanes)
