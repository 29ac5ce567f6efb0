#pragma once

#include "CProducts.h"
#include "tiles.h"

// How a packed matrix lies in memory; see gk_packed.

/// Numbers in a group, and its bytes.
static inline size_t group_size(int element) {
    return element == GK_F32 ? 1 : element == GK_BF16 ? 2 : 4;
}
#define GROUP_BYTES ((size_t)4)

static inline size_t panel_count(size_t outputs) { return (outputs + GK_PANEL - 1) / GK_PANEL; }
