#pragma once

#include <stddef.h>

#include "CKernels.h"
#include "CTeam.h"

// Scaled dot-product attention over several heads, softmax(q·kᵀ·scale)·v, and its backward.
//
// Each head of each sequence is computed alone, in pieces of query rows whose scores stay in the
// second-level cache: results depend on nothing but the sequence itself. Scores, softmax and sums are
// fp32 whatever the element.

/// One sequence among the rows of q, k, v and out. Its keys are `prefix_count` rows from `prefix_row`
/// (which several sequences may share), then `own_count` rows from `own_row`.
typedef struct {
    size_t query_row, query_count;
    /// The place of the first query among the keys; causal queries see no key behind their own.
    size_t query_position;
    size_t prefix_row, prefix_count, own_row, own_count;
} gk_sequence;

/// Rows hold the heads side by side; strides count numbers of the element.
typedef struct {
    /// GK_F32 or GK_BF16, of q, k, v and of what is written.
    int element;
    int causal;
    size_t heads, head_width;
    float scale;
    const void *q;
    size_t q_stride;
    const void *k;
    const void *v;
    size_t kv_stride;
    const gk_sequence *sequences;
    size_t count;
} gk_attention;

/// Bytes of scratch memory a slot, aligned to 64, for sequences of up to `keys` keys.
size_t gk_attention_scratch(int element, size_t head_width, size_t keys, int backward);

/// out [queries, heads · head_width], in the element. `scratch` holds gk_seat_slots(seat) times
/// `slot_bytes`.
void gk_attention_forward(
    gk_seat *seat, const gk_attention *attention, void *out, size_t out_stride, void *scratch,
    size_t slot_bytes);

/// dq for the sequences' queries and dk, dv for their own keys, in the element, from d_out. Sequences
/// must have no prefix and no causal mask; only q, k and v of the forward are read.
void gk_attention_backward(
    gk_seat *seat, const gk_attention *attention, const void *d_out, size_t d_out_stride, void *dq,
    size_t dq_stride, void *dk, void *dv, size_t dkv_stride, void *scratch, size_t slot_bytes);
