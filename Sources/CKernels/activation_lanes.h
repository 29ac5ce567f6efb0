#pragma once

#include "lanes.h"

// Activations and their slopes over sixteen lanes, in place.

GK_INLINE void quick_gelu16(v16 *v) {
    v16 s = *v * 1.702f;
    sigmoid16(&s);
    *v *= s;
}

GK_INLINE void quick_gelu_slope16(v16 *v) {
    v16 s = *v * 1.702f, rest;
    sigmoid_and_rest16(&s, &rest);
    *v = s + *v * 1.702f * s * rest;
}

/// v = Φ(v), the standard normal distribution.
GK_INLINE void normal16(v16 *v) {
    v16 e = *v * 0.707106781f;
    erf16(&e);
    *v = 0.5f + 0.5f * e;
}

GK_INLINE void gelu16(v16 *v) {
    v16 phi = *v;
    normal16(&phi);
    *v *= phi;
}

GK_INLINE void gelu_slope16(v16 *v) {
    v16 phi = *v, density = *v * *v * -0.5f;
    normal16(&phi);
    exp16(&density);
    *v = phi + *v * density * 0.398942280f;
}

// (1 + tanh u)/2 = σ(2u), which keeps its digits where tanh u nears −1. Below, 2u is formed at once:
// 2·√(2/π) = 1.59576912.
GK_INLINE void gelu_tanh16(v16 *v) {
    v16 s = *v * (1.59576912f + *v * *v * (1.59576912f * 0.044715f));
    sigmoid16(&s);
    *v *= s;
}

GK_INLINE void gelu_tanh_slope16(v16 *v) {
    v16 square = *v * *v, rest;
    v16 s = *v * (1.59576912f + square * (1.59576912f * 0.044715f));
    v16 inner = 1.59576912f + square * (3.0f * 1.59576912f * 0.044715f);
    sigmoid_and_rest16(&s, &rest);
    *v = s + *v * inner * s * rest;
}
