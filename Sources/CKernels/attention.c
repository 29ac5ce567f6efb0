#include "CAttention.h"

#include "coarse_lanes.h"
#include "half_lanes.h"
#include "tiles.h"
#include "transpose_lanes.h"

/// Query rows whose scores a backward keeps at a time: a few hundred KiB at 577 keys.
#define PIECE_ROWS 112
/// Groups in a row of the transposed left factor of such a piece, for bfloat16.
#define PIECE_STRIDE 64

typedef struct {
    const gk_attention *attention;
    void *out;
    size_t out_stride;
    const void *d_out;
    size_t d_out_stride;
    void *dq;
    size_t dq_stride;
    void *dk, *dv;
    size_t dkv_stride;
    void *scratch;
    size_t slot_bytes;
    /// 1 for bfloat16, whose backward needs memory of its own, else 0.
    size_t half_floats;
} attention_job;

/// Where a sequence's keys are: first the shared rows, then its own.
typedef struct {
    size_t prefix_row, prefix_count, own_row;
} key_rows;

static inline size_t key_row(const key_rows *rows, size_t key) {
    return key < rows->prefix_count ? rows->prefix_row + key
                                    : rows->own_row + key - rows->prefix_count;
}

static inline size_t padded(size_t n) { return (n + GK_PANEL - 1) / GK_PANEL * GK_PANEL; }

static inline size_t gk_group_count(int element, size_t n) {
    return element == GK_F32 ? n : (n + 1) / 2;
}

/// Hands out a slot's memory from the front, sixteen floats at a time.
typedef struct {
    char *next;
} arena;

static size_t take_bytes(size_t floats) { return (floats * sizeof(float) + 63) / 64 * 64; }

static float *take(arena *memory, size_t floats) {
    float *start = (float *)(void *)memory->next;
    memory->next += take_bytes(floats);
    return start;
}

#define GK_BODY_STORES_HALVES
#define GK_BODY "attention.body.h"
#include "variants.h"

size_t gk_attention_scratch(int element, size_t head_width, size_t keys, int backward) {
    const size_t depth = gk_group_count(element, head_width);
    const size_t stride = padded(keys), wide = padded(head_width);
    const size_t half = element == GK_BF16;
    size_t bytes = take_bytes(depth * stride) + take_bytes(GK_MOST_TILE_ROWS * wide)
        + take_bytes(gk_group_count(element, keys) * wide)
        + take_bytes(GK_MOST_TILE_ROWS * stride) + take_bytes(GK_MOST_TILE_ROWS * stride / 2);
    if (backward) {
        bytes = 2 * take_bytes(depth * stride) + take_bytes(gk_group_count(element, keys) * wide)
            + 2 * take_bytes(PIECE_ROWS * stride)
            + 2 * take_bytes(half * PIECE_ROWS / 2 * stride)
            + take_bytes(half * GK_MOST_TILE_ROWS * stride / 2)
            + take_bytes(half * wide * PIECE_STRIDE) + 2 * take_bytes(head_width * stride)
            + take_bytes(GK_MOST_TILE_ROWS * wide);
    }
    // Vectors of the last rows may reach behind their ends.
    return bytes + 64;
}

void gk_attention_forward(
    gk_seat *seat, const gk_attention *attention, void *out, size_t out_stride, void *scratch,
    size_t slot_bytes) {
    const attention_job job = {
        .attention = attention, .out = out, .out_stride = out_stride, .scratch = scratch,
        .slot_bytes = slot_bytes,
    };
    gk_seat_run(
        seat, attention->count * attention->heads, GK_DISPATCH(attend_unit), (void *)&job);
}

void gk_attention_backward(
    gk_seat *seat, const gk_attention *attention, const void *d_out, size_t d_out_stride, void *dq,
    size_t dq_stride, void *dk, void *dv, size_t dkv_stride, void *scratch, size_t slot_bytes) {
    const attention_job job = {
        .attention = attention, .d_out = d_out, .d_out_stride = d_out_stride, .dq = dq,
        .dq_stride = dq_stride, .dk = dk, .dv = dv, .dkv_stride = dkv_stride, .scratch = scratch,
        .slot_bytes = slot_bytes, .half_floats = attention->element == GK_BF16,
    };
    gk_seat_run(
        seat, attention->count * attention->heads, GK_DISPATCH(differentiate_unit), (void *)&job);
}
