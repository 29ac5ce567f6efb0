// Each function of sixteen lanes becomes a loop; the tail runs through the same sixteen lanes, so
// that a value's result does not depend on its place.

#define MAP(name, lanes_of)                                                    \
    void GK_V(name)(const float *x, float *y, size_t count) {              \
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
    void GK_V(name)(const float *dy, const float *x, float *dx, size_t count) {          \
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

MAP(gk_exp, exp16)
MAP(gk_erf, erf16)
MAP(gk_quick_gelu, quick_gelu16)
MAP(gk_gelu, gelu16)
MAP(gk_gelu_tanh, gelu_tanh16)
MAP_BACKWARD(gk_quick_gelu_backward, quick_gelu_slope16)
MAP_BACKWARD(gk_gelu_backward, gelu_slope16)
MAP_BACKWARD(gk_gelu_tanh_backward, gelu_tanh_slope16)

#undef MAP
#undef MAP_BACKWARD
