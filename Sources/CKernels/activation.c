#include "CKernels.h"
#include "lanes.h"

// Each function of sixteen lanes becomes a loop; the tail runs through the same sixteen lanes, so
// that a value's result does not depend on its place.

#define MAP(name, lanes_of)                                                    \
    GK_KERNEL void name(const float *x, float *y, size_t count) {              \
        const size_t rest = count % LANES, whole = count - rest;               \
        v16 v;                                                                 \
        for (size_t i = 0; i < whole; i += LANES) {                            \
            load16(&v, x + i);                                                 \
            lanes_of(&v);                                                      \
            store16(y + i, &v);                                                \
        }                                                                      \
        if (rest > 0) {                                                        \
            load_part(&v, x + whole, rest);                                    \
            lanes_of(&v);                                                      \
            store_part(y + whole, &v, rest);                                   \
        }                                                                      \
    }

#define MAP_BACKWARD(name, slope_of)                                                         \
    GK_KERNEL void name(const float *dy, const float *x, float *dx, size_t count) {          \
        const size_t rest = count % LANES, whole = count - rest;                             \
        v16 v, d;                                                                            \
        for (size_t i = 0; i < whole; i += LANES) {                                          \
            load16(&v, x + i);                                                               \
            load16(&d, dy + i);                                                              \
            slope_of(&v);                                                                    \
            d *= v;                                                                          \
            store16(dx + i, &d);                                                             \
        }                                                                                    \
        if (rest > 0) {                                                                      \
            load_part(&v, x + whole, rest);                                                  \
            load_part(&d, dy + whole, rest);                                                 \
            slope_of(&v);                                                                    \
            d *= v;                                                                          \
            store_part(dx + whole, &d, rest);                                                \
        }                                                                                    \
    }

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

MAP(gk_exp, exp16)
MAP(gk_erf, erf16)
MAP(gk_quick_gelu, quick_gelu16)
MAP(gk_gelu, gelu16)
MAP(gk_gelu_tanh, gelu_tanh16)
MAP_BACKWARD(gk_quick_gelu_backward, quick_gelu_slope16)
MAP_BACKWARD(gk_gelu_backward, gelu_slope16)
MAP_BACKWARD(gk_gelu_tanh_backward, gelu_tanh_slope16)
