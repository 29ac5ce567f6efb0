#pragma once

#include "lanes.h"

/// Exchanges rows and lanes of sixteen vectors: four perfect shuffles.
GK_INLINE void transpose16(v16 *x) {
    v16 y[LANES];
#pragma clang loop unroll(full)
    for (int round = 0; round < 2; round++) {
#pragma clang loop unroll(full)
        for (int i = 0; i < 8; i++) {
            y[2 * i] = __builtin_shufflevector(
                x[i], x[i + 8], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
            y[2 * i + 1] = __builtin_shufflevector(
                x[i], x[i + 8], 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
        }
#pragma clang loop unroll(full)
        for (int i = 0; i < 8; i++) {
            x[2 * i] = __builtin_shufflevector(
                y[i], y[i + 8], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
            x[2 * i + 1] = __builtin_shufflevector(
                y[i], y[i + 8], 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
        }
    }
}
