#define WIDEN(name, lanes_of)                                                  \
    void GK_V(name)(const void *x, float *y, size_t count) {               \
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

/// bfloat16s nearest to x.
void GK_V(gk_narrow_bf16)(const float *x, uint16_t *y, size_t count) {
    const size_t rest = count % LANES, whole = count - rest;
    v16 v;
    for (size_t i = 0; i < whole; i += LANES) {
        load16(&v, x + i);
        store_bf16(y + i, &v);
    }
    if (rest > 0) {
        load_part(&v, x + whole, rest);
        store_bf16_part(y + whole, &v, rest);
    }
}

#undef WIDEN
