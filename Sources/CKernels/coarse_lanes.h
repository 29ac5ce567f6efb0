#pragma once

#include "lanes.h"

// Activations, their slopes and the exponential for results that are stored as bfloat16s, whose own
// rounding is 2⁻⁹: relative errors stay below 2⁻¹¹, for about half of the exact ones' instructions.

/// v = 2ᵛ, relative error below 2⁻¹³; at the ends it stays at 2⁻¹²⁶ and 2¹²⁶. NaN stays NaN.
GK_INLINE void coarse_exp2(v16 *v) {
    const v16 most = (v16){0} + 126.0f, least = (v16){0} - 126.0f;
    v16 x = *v;
    i16 over = x > most, under = x < least;
    select16(&x, &over, &most, &x);
    select16(&x, &under, &least, &x);
    // Adding 1.5·2²³ leaves the nearest integer in the lowest bits.
    const float magic = 12582912.0f;
    v16 shifted = x + magic;
    v16 f = x - (shifted - magic);
    // Minimax on |f| ≤ 1/2, relative error 7.5e-5.
    v16 p = f * 0x1.c3f762p-5f + 0x1.f0de1cp-3f;
    p = p * f + 0x1.62f31ap-1f;
    p = p * f + 0x1.fff692p-1f;
    *v = (v16)((i16)p + ((i16)shifted << 23));
}

/// The standard normal distribution's upper tail beyond |x| and e^(−x²/2). With t = 1/(1 + 0.3|x|), the
/// tail is that exponential times a polynomial in t (the form of Abramowitz and Stegun 7.1.26, fitted
/// to the relative error: 2.4e-4).
#define COARSE_TAIL(reciprocal, x, tail, density)                                                \
    do {                                                                                         \
        v16 t = (v16)((i16)(x)&0x7FFFFFFF) * 0.3f + 1.0f;                                        \
        reciprocal(&t);                                                                          \
        density = (x) * (x) * -0.721347520f;                                                     \
        coarse_exp2(&density);                                                                   \
        tail = t * 0.20884494f + 0.03558743f;                                                    \
        tail = tail * t + 0.13747833f;                                                           \
        tail = tail * t + 0.11820436f;                                                           \
        tail = tail * t * density;                                                               \
    } while (0)
