#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

// Sixteen lanes everywhere, whatever the machine's vectors hold: sums are kept in sixteen partial
// sums and folded in one order, so that a result does not depend on which clone runs, but for the
// rounding that a fused multiply-add saves.

// Contraction is allowed on purpose: a·b + c fuses where the target has the instruction, which is
// both faster and more accurate. The clones for AVX2 and AVX-512 fuse, the baseline does not; one
// machine always runs the same clone, and promises of equal bits are made for one machine.
#pragma STDC FP_CONTRACT ON

#define GK_INLINE static inline __attribute__((always_inline))
#define LANES 16

typedef float v16 __attribute__((vector_size(64)));
typedef int32_t i16 __attribute__((vector_size(64)));
// The same in memory that is only aligned to its elements.
typedef float v16_loose __attribute__((vector_size(64), aligned(4), may_alias));
typedef uint16_t h16_loose __attribute__((vector_size(32), aligned(1), may_alias));
typedef uint8_t b16 __attribute__((vector_size(16)));
// The same at any address.
typedef uint8_t b16_loose __attribute__((vector_size(16), aligned(1), may_alias));
typedef uint16_t h16 __attribute__((vector_size(32)));
typedef int32_t i16_loose __attribute__((vector_size(64), aligned(4), may_alias));

// Vectors go by pointer: passed by value, their calling convention would differ between clones.
// Everything is inlined, so the pointers vanish.

GK_INLINE void load16(v16 *v, const float *p) { *v = *(const v16_loose *)p; }
GK_INLINE void store16(float *p, const v16 *v) { *(v16_loose *)p = *v; }

/// The first `n` < 16 values, zeros after them.
GK_INLINE void load_part(v16 *v, const float *p, size_t n) {
    float lanes[LANES] = {0};
    memcpy(lanes, p, n * sizeof(float));
    load16(v, lanes);
}

GK_INLINE void store_part(float *p, const v16 *v, size_t n) {
    float lanes[LANES];
    store16(lanes, v);
    memcpy(p, lanes, n * sizeof(float));
}

/// Zeros the lanes from `n` on.
GK_INLINE void keep_lanes(v16 *v, size_t n) {
    const i16 index = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    *v = (v16)((i16)*v & (index < (int32_t)n));
}

/// `a` where the mask's lanes are set, else `b`.
GK_INLINE void select16(v16 *out, const i16 *mask, const v16 *a, const v16 *b) {
    *out = (v16)(((i16)*a & *mask) | ((i16)*b & ~*mask));
}

/// The sum of the lanes: halves first, always in this order.
GK_INLINE float sum_lanes(const v16 *v) {
    float lanes[LANES];
    store16(lanes, v);
    for (size_t half = LANES / 2; half > 0; half /= 2)
        for (size_t l = 0; l < half; l++) lanes[l] += lanes[l + half];
    return lanes[0];
}

GK_INLINE float max_lanes(const v16 *v) {
    float lanes[LANES];
    store16(lanes, v);
    for (size_t half = LANES / 2; half > 0; half /= 2)
        for (size_t l = 0; l < half; l++)
            lanes[l] = lanes[l] > lanes[l + half] ? lanes[l] : lanes[l + half];
    return lanes[0];
}

/// eˣ = p · 2ⁿ, with n in the lowest bits of `shifted` above those of 0x4B400000. Range reduction to
/// |r| ≤ ln 2 / 2 and a polynomial of degree six.
GK_INLINE void exp_parts16(const v16 *x, v16 *p, i16 *shifted) {
    // Adding 1.5·2²³ leaves the nearest integer in the lowest bits.
    const float magic = 12582912.0f;
    v16 sum = *x * 1.44269504f + magic;
    v16 n = sum - magic;
    *shifted = (i16)sum;
    // ln 2 in two parts; the first has so few bits that n times it is exact without fusion.
    v16 r = *x - n * 0.693359375f;
    r = r - n * -2.12194440e-4f;
    // Minimax on |r| ≤ ln 2 / 2 for eʳ = 1 + r + r² q(r), relative error 3e-9.
    v16 q = r * 0x1.6a24bcp-10f + 0x1.1239dcp-7f;
    q = q * r + 0x1.5558fp-5f;
    q = q * r + 0x1.555492p-3f;
    q = q * r + 0x1.fffffcp-2f;
    *p = (q * r) * r + r + 1.0f;
}

/// v = eᵛ, with 2ⁿ in two factors so that results down to the smallest subnormal come out right. NaN
/// stays NaN.
GK_INLINE void exp16(v16 *v) {
    const v16 high = (v16){} + 88.72283f, low = (v16){} - 104.0f;
    v16 x = *v, p;
    i16 over = x > high, under = x < low, shifted;
    select16(&x, &over, &high, &x);
    select16(&x, &under, &low, &x);
    exp_parts16(&x, &p, &shifted);
    i16 power = shifted - 0x4B400000;
    i16 first = power >> 1, second = power - first;
    *v = p * (v16)((first + 127) << 23) * (v16)((second + 127) << 23);
}

/// v = eᵛ for |v| ≤ 87, where one factor is enough. NaN stays NaN.
GK_INLINE void exp_near16(v16 *v) {
    v16 p;
    i16 shifted;
    exp_parts16(v, &p, &shifted);
    // The shift drops all of the magic number.
    *v = p * (v16)((shifted << 23) + (127 << 23));
}

/// v = 1 / (1 + e⁻ᵛ).
GK_INLINE void sigmoid16(v16 *v) {
    v16 e = -*v;
    exp16(&e);
    *v = 1.0f / (1.0f + e);
}

/// v = σ(v) and rest = 1 − σ(v), without the cancellation of a subtraction where σ nears 1.
GK_INLINE void sigmoid_and_rest16(v16 *v, v16 *rest) {
    v16 e = -*v;
    exp16(&e);
    *v = 1.0f / (1.0f + e);
    *rest = e * *v;
}

/// v = erf(v): an odd polynomial below 0.95, and 1 − eᵍ with g fitted to log erfc above; beyond 4 the
/// result rounds to 1. Both minimax fits, absolute errors 2e-8 and 6e-11.
GK_INLINE void erf16(v16 *v) {
    const v16 limit = (v16){} + 4.0f;
    v16 x = *v;
    v16 t = (v16)((i16)x & 0x7FFFFFFF);
    i16 beyond = t > limit, small = t < 0.95f;
    select16(&t, &beyond, &limit, &t);
    v16 s = x * x;
    v16 near = s * -5.86245608e-4f + 4.96759986e-3f;
    near = near * s + -2.67489470e-2f;
    near = near * s + 1.12813238e-1f;
    near = near * s + -3.76124464e-1f;
    near = near * s + 1.28379142e-1f;
    near = near * x + x;
    v16 g = t * -2.09113798e-5f + 4.32323807e-4f;
    g = g * t + -4.16062676e-3f;
    g = g * t + 2.50917578e-2f;
    g = g * t + -1.08237021e-1f;
    g = g * t + -6.33386282e-1f;
    g = g * t + -1.12949534f;
    g = g * t + 1.70589466e-4f;
    // g lies between −18 and 0.
    exp_near16(&g);
    g = 1.0f - g;
    g = (v16)((i16)g | ((i16)x & INT32_MIN));
    select16(v, &small, &near, &g);
}
