#pragma once

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

/// The nearest bfloat16s, ties to even, in the low halves of the lanes; NaN stays NaN.
GK_INLINE void narrow_bf16_lanes(i16 *out, const v16 *v) {
    i16 bits = (i16)*v;
    i16 odd = (bits >> 16) & 1;
    i16 rounded = (bits + odd + 0x7FFF) >> 16;
    i16 quiet = (bits >> 16) | 0x40;
    i16 is_nan = (bits & 0x7FFFFFFF) > 0x7F800000;
    *out = ((quiet & is_nan) | (rounded & ~is_nan)) & 0xFFFF;
}

GK_INLINE void load_bf16(v16 *v, const uint16_t *p) { widen_bf16_lanes(v, (const h16_loose *)p); }

GK_INLINE void store_bf16(uint16_t *p, const v16 *v) {
    i16 bits;
    narrow_bf16_lanes(&bits, v);
    *(h16_loose *)p = __builtin_convertvector(bits, h16);
}

/// The first `n` < 16 values, zeros after them.
GK_INLINE void load_bf16_part(v16 *v, const uint16_t *p, size_t n) {
    uint16_t lanes[LANES] = {0};
    memcpy(lanes, p, n * sizeof(uint16_t));
    load_bf16(v, lanes);
}

GK_INLINE void store_bf16_part(uint16_t *p, const v16 *v, size_t n) {
    uint16_t lanes[LANES];
    store_bf16(lanes, v);
    memcpy(p, lanes, n * sizeof(uint16_t));
}
