#include "activation_lanes.h"

#define GK_BODY "activation.body.h"
#include "variants.h"

#define MAP(name)                                                                                \
    void name(const float *x, float *y, size_t count) { GK_DISPATCH(name)(x, y, count); }
#define MAP_BACKWARD(name)                                                                       \
    void name(const float *dy, const float *x, float *dx, size_t count) {                        \
        GK_DISPATCH(name)(dy, x, dx, count);                                                     \
    }

MAP(gk_exp)
MAP(gk_erf)
MAP(gk_quick_gelu)
MAP(gk_gelu)
MAP(gk_gelu_tanh)
MAP_BACKWARD(gk_quick_gelu_backward)
MAP_BACKWARD(gk_gelu_backward)
MAP_BACKWARD(gk_gelu_tanh_backward)
