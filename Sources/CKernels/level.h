#pragma once

#include "CKernels.h"

/// The level in force; see gk_level.
extern int gk_level_in_force;

static inline int gk_level_now(void) {
    const int level = __atomic_load_n(&gk_level_in_force, __ATOMIC_RELAXED);
    return level >= 0 ? level : gk_level();
}

/// Whether the dot products of pairs of bfloat16 (or of four bytes) are instructions here.
int gk_has_bf16_dot(void);
int gk_has_byte_dot(void);
