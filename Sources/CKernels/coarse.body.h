// What stores bfloat16s, and what is computed less exactly for them. Included by bodies.

/// v = 1 / v: an estimate of relative error 2⁻¹⁴ where there is an instruction for it.
GK_INLINE void GK_V(reciprocal)(v16 *v) {
#if GK_HAS_AVX512
    *v = (v16)_mm512_rcp14_ps((__m512)*v);
#else
    *v = 1.0f / *v;
#endif
}

/// v = 1 / (1 + 2ᵛ).
GK_INLINE void GK_V(coarse_sigmoid)(v16 *v) {
    coarse_exp2(v);
    *v += 1.0f;
    GK_V(reciprocal)(v);
}

GK_INLINE void GK_V(coarse_quick_gelu)(v16 *v) {
    // −1.702 · log₂ e
    v16 s = *v * -2.45546696f;
    GK_V(coarse_sigmoid)(&s);
    *v *= s;
}

GK_INLINE void GK_V(coarse_quick_gelu_slope)(v16 *v) {
    v16 e = *v * -2.45546696f;
    coarse_exp2(&e);
    v16 s = 1.0f + e;
    GK_V(reciprocal)(&s);
    *v = s + *v * 1.702f * s * (e * s);
}

GK_INLINE void GK_V(coarse_gelu)(v16 *v) {
    v16 tail, density, x = *v;
    COARSE_TAIL(GK_V(reciprocal), x, tail, density);
    // x·Φ(x) is x or 0, less |x|·tail.
    const i16 negative = (i16)x < 0;
    v16 base = (v16)((i16)x & ~negative);
    *v = base - (v16)((i16)x & 0x7FFFFFFF) * tail;
}

GK_INLINE void GK_V(coarse_gelu_slope)(v16 *v) {
    v16 tail, density, x = *v;
    COARSE_TAIL(GK_V(reciprocal), x, tail, density);
    const i16 negative = (i16)x < 0;
    v16 rest = 1.0f - tail, phi;
    select16(&phi, &negative, &tail, &rest);
    *v = phi + x * density * 0.398942280f;
}

// As gelu_tanh16, with the argument times −log₂ e: 2·√(2/π)·log₂ e = 2.30220819.
GK_INLINE void GK_V(coarse_gelu_tanh)(v16 *v) {
    v16 s = *v * (-2.30220819f - *v * *v * (2.30220819f * 0.044715f));
    GK_V(coarse_sigmoid)(&s);
    *v *= s;
}

GK_INLINE void GK_V(coarse_gelu_tanh_slope)(v16 *v) {
    v16 square = *v * *v;
    v16 e = *v * (-2.30220819f - square * (2.30220819f * 0.044715f));
    v16 inner = 1.59576912f + square * (3.0f * 1.59576912f * 0.044715f);
    coarse_exp2(&e);
    v16 s = 1.0f + e;
    GK_V(reciprocal)(&s);
    *v = s + *v * inner * s * (e * s);
}

/// The nearest bfloat16s, ties to even; NaN stays NaN. The instruction takes subnormals for zeros.
GK_INLINE void GK_V(narrow)(h16 *out, const v16 *v) {
#if GK_HAS_NATIVE_BF16
    *out = (h16)_mm512_cvtneps_pbh((__m512)*v);
#else
    i16 bits;
    narrow_bf16_lanes(&bits, v);
    *out = __builtin_convertvector(bits, h16);
#endif
}

/// `n` ≤ 16 of them.
GK_INLINE void GK_V(store_halves)(uint16_t *p, const v16 *v, size_t n) {
    h16 halves;
    GK_V(narrow)(&halves, v);
    if (n == LANES) *(h16_loose *)p = halves; else memcpy(p, &halves, n * sizeof(uint16_t));
}

/// Up to sixteen numbers of a view's row.
GK_INLINE void GK_V(store_view)(
    const gk_view *view, size_t row, size_t column, const v16 *v, size_t n) {
    if (view->element == GK_F32) {
        float *p = (float *)view->base + row * view->stride + column;
        if (n == LANES) store16(p, v); else store_part(p, v, n);
    } else {
        GK_V(store_halves)((uint16_t *)view->base + row * view->stride + column, v, n);
    }
}
