#include "coarse.body.h"
#include "tiles.body.h"

/// Up to sixteen groups from a row of numbers that has `left` of them; zeros after those.
GK_INLINE void GK_V(load_groups)(v16 *v, const char *row, size_t left, int element) {
    const size_t size = element == GK_F32 ? 4 : 2, most = 64 / size;
    if (left >= most) {
        load16(v, (const float *)(const void *)row);
    } else {
        float lanes[LANES] = {0};
        memcpy(lanes, row, left * size);
        load16(v, lanes);
    }
}

/// out [groups of `width`, stride]: the transpose of the keys' rows, in groups, for a product that
/// sums over the width.
static void GK_V(pack_transposed)(
    const char *base, size_t row_bytes, const key_rows *rows, size_t keys, size_t width,
    int element, float *out, size_t stride) {
    const size_t groups = gk_group_count(element, width);
    const size_t size = element == GK_F32 ? 4 : 2;
    for (size_t key = 0; key < stride; key += LANES) {
        for (size_t group = 0; group < groups; group += LANES) {
            v16 block[LANES];
            const size_t first = group * 4 / size;
            for (size_t i = 0; i < LANES; i++) {
                block[i] = (v16){0};
                if (key + i < keys)
                    GK_V(load_groups)(
                        &block[i], base + key_row(rows, key + i) * row_bytes + first * size,
                        width - first, element);
            }
            transpose16(block);
            const size_t n = groups - group < LANES ? groups - group : LANES;
            for (size_t i = 0; i < n; i++) store16(out + (group + i) * stride + key, &block[i]);
        }
    }
}

/// Two rows of bfloat16s side by side, `n` ≤ 16 numbers; the second may be missing.
GK_INLINE void GK_V(interleave)(v16 *out, const uint16_t *first, const uint16_t *second, size_t n) {
    h16 a = {0}, b = {0};
    memcpy(&a, first, n * sizeof(uint16_t));
    if (second != NULL) memcpy(&b, second, n * sizeof(uint16_t));
    *out = (v16)(__builtin_convertvector(a, i16) | __builtin_convertvector(b, i16) << 16);
}

/// out [groups of rows, stride]: rows as they are, in groups, for a product that sums over the rows.
static void GK_V(pack_rows)(
    const char *base, size_t row_bytes, const key_rows *rows, size_t keys, size_t width,
    int element, float *out, size_t stride) {
    if (element == GK_F32) {
        for (size_t key = 0; key < keys; key++) {
            float *to = out + key * stride;
            memcpy(to, base + key_row(rows, key) * row_bytes, width * sizeof(float));
            memset(to + width, 0, (stride - width) * sizeof(float));
        }
        return;
    }
    for (size_t key = 0; key < keys; key += 2) {
        const uint16_t *first =
            (const uint16_t *)(const void *)(base + key_row(rows, key) * row_bytes);
        const uint16_t *second = key + 1 < keys
            ? (const uint16_t *)(const void *)(base + key_row(rows, key + 1) * row_bytes) : NULL;
        float *to = out + key / 2 * stride;
        for (size_t at = 0; at < stride; at += LANES) {
            v16 pairs = {0};
            if (at < width) {
                const size_t n = width - at < LANES ? width - at : LANES;
                GK_V(interleave)(&pairs, first + at, second == NULL ? NULL : second + at, n);
            }
            store16(to + at, &pairs);
        }
    }
}

/// p = exp(scale · (x − max x)) over `n` values in place, zeros behind them up to `filled`, which is
/// whole vectors; returns 1 / Σ p. `halves` receives p in bfloat16s instead, when it is not NULL;
/// `coarse` for what ends in them anyway.
GK_INLINE float GK_V(exponentials)(
    float *x, size_t n, float scale, size_t filled, uint16_t *halves, const int coarse) {
    const i16 index = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    const size_t whole = n - n % LANES;
    const v16 none = (v16){0} - __builtin_inff();
    v16 v, top = none, sum = {0};
    i16 greater;
    for (size_t i = 0; i < whole; i += LANES) {
        load16(&v, x + i);
        greater = v > top;
        select16(&top, &greater, &v, &top);
    }
    if (whole < n) {
        const i16 counts = index < (int32_t)(n - whole);
        load16(&v, x + whole);
        select16(&v, &counts, &v, &none);
        greater = v > top;
        select16(&top, &greater, &v, &top);
    }
    const float max = max_lanes(&top);
    if (coarse) scale *= 1.44269504f;
    for (size_t i = 0; i < filled; i += LANES) {
        v = (v16){0};
        if (i < n) {
            load16(&v, x + i);
            v = (v - max) * scale;
            if (coarse) coarse_exp2(&v); else exp16(&v);
            if (n - i < LANES) keep_lanes(&v, n - i);
            sum += v;
        }
        if (halves == NULL) store16(x + i, &v); else GK_V(store_halves)(halves + i, &v, LANES);
    }
    return 1.0f / sum_lanes(&sum);
}

/// scores [rows, stride] become exponentials, or `halves` does when it is not NULL; `inverse`
/// receives 1 / their sums. Row r of a causal sequence sees `seen` + r keys, otherwise all. Behind
/// those stand zeros, up to `filled` columns.
GK_INLINE void GK_V(soften)(
    float *scores, size_t rows, size_t stride, size_t keys, size_t seen, int causal, float scale,
    size_t filled, float *inverse, uint16_t *halves, const int coarse) {
    for (size_t row = 0; row < rows; row++) {
        size_t n = causal ? seen + row : keys;
        if (n > keys) n = keys;
        inverse[row] = GK_V(exponentials)(
            scores + row * stride, n, scale, filled,
            halves == NULL ? NULL : halves + row * stride, coarse);
    }
}

/// q·kᵀ of some query rows, all panels of `keys` keys.
GK_INLINE void GK_V(score_rows)(
    gk_tile *tile, const void *q, size_t q_row, size_t rows, const float *kt, size_t stride,
    size_t keys, size_t depth, float *scores) {
    for (size_t panel = 0; panel < keys; panel += GK_PANEL)
        tile(
            rows, q, q_row, 1, kt + panel, stride, depth, scores + panel, stride, 0,
            (const char *)kt, 0);
}

/// Rows of fp32 to the element, `width` of `from_stride` numbers, scaled row by row when `scales` is
/// not NULL.
static void GK_V(store_rows)(
    const float *from, size_t from_stride, const float *scales, size_t rows, size_t width,
    int element, char *to, size_t to_bytes) {
    for (size_t row = 0; row < rows; row++) {
        for (size_t at = 0; at < width; at += LANES) {
            const size_t n = width - at < LANES ? width - at : LANES;
            v16 v;
            load16(&v, from + row * from_stride + at);
            if (scales != NULL) v *= scales[row];
            if (element == GK_F32) {
                float *p = (float *)(void *)(to + row * to_bytes) + at;
                if (n == LANES) store16(p, &v); else store_part(p, &v, n);
            } else {
                GK_V(store_halves)((uint16_t *)(void *)(to + row * to_bytes) + at, &v, n);
            }
        }
    }
}

static void GK_V(attend_unit)(void *context, size_t unit, size_t slot) {
    const attention_job *job = context;
    const gk_attention *a = job->attention;
    const gk_sequence *s = &a->sequences[unit / a->heads];
    const size_t size = a->element == GK_F32 ? 4 : 2, width = a->head_width;
    const size_t head = unit % a->heads * width * size;
    const size_t keys = s->prefix_count + s->own_count;
    if (keys == 0 || s->query_count == 0) return;
    const key_rows rows = {s->prefix_row, s->prefix_count, s->own_row};
    const size_t depth = gk_group_count(a->element, width);
    const size_t stride = padded(keys), wide = padded(width);
    arena memory = {(char *)job->scratch + slot * job->slot_bytes};
    float *kt = take(&memory, depth * stride);
    float *vp = take(&memory, gk_group_count(a->element, keys) * wide);
    float *scores = take(&memory, GK_MOST_TILE_ROWS * stride);
    uint16_t *halves = (uint16_t *)take(&memory, GK_MOST_TILE_ROWS * stride / 2);
    float *sums = take(&memory, GK_MOST_TILE_ROWS * wide);
    float inverse[GK_MOST_TILE_ROWS];
    GK_V(pack_transposed)(
        (const char *)a->k + head, a->kv_stride * size, &rows, keys, width, a->element, kt, stride);
    GK_V(pack_rows)(
        (const char *)a->v + head, a->kv_stride * size, &rows, keys, width, a->element, vp, wide);
    gk_tile *tile = GK_V(tile_for)(a->element);
    const size_t q_row = a->q_stride * size / 4;
    const size_t tiles = (s->query_count + GK_TILE_ROWS - 1) / GK_TILE_ROWS;
    size_t first = 0;
    for (size_t t = 1; t <= tiles; t++) {
        const size_t end = s->query_count * t / tiles, n = end - first;
        size_t seen = a->causal ? s->query_position + end : keys;
        if (seen > keys) seen = keys;
        const char *q = (const char *)a->q + (s->query_row + first) * a->q_stride * size + head;
        GK_V(score_rows)(tile, q, q_row, n, kt, stride, seen, depth, scores);
        const size_t filled = padded(seen);
        const size_t sees = s->query_position + first + 1;
        const void *p = scores;
        size_t p_row = stride;
        if (a->element == GK_BF16) {
            GK_V(soften)(
                scores, n, stride, keys, sees, a->causal, a->scale, filled, inverse, halves, 1);
            p = halves;
            p_row = stride / 2;
        } else {
            GK_V(soften)(
                scores, n, stride, keys, sees, a->causal, a->scale, filled, inverse, NULL, 0);
        }
        for (size_t panel = 0; panel < width; panel += GK_PANEL)
            tile(
                n, p, p_row, 1, vp + panel, wide, gk_group_count(a->element, seen), sums + panel,
                wide, 0, (const char *)vp, 0);
        GK_V(store_rows)(
            sums, wide, inverse, n, width, a->element,
            (char *)job->out + (s->query_row + first) * job->out_stride * size + head,
            job->out_stride * size);
        first = end;
    }
}

/// dp becomes scale · p ⊙ (dp − Σ p·dp) and p is normalised, row by row.
static void GK_V(score_gradients)(
    float *p, float *dp, size_t rows, size_t stride, size_t keys, const float *inverse,
    float scale) {
    const size_t whole = padded(keys);
    for (size_t row = 0; row < rows; row++) {
        float *x = p + row * stride, *d = dp + row * stride;
        v16 v, g, sum = {0};
        for (size_t i = 0; i < whole; i += LANES) {
            load16(&v, x + i);
            load16(&g, d + i);
            v *= inverse[row];
            store16(x + i, &v);
            sum += v * g;
        }
        const float total = sum_lanes(&sum);
        for (size_t i = 0; i < whole; i += LANES) {
            load16(&v, x + i);
            load16(&g, d + i);
            v *= (g - total) * scale;
            store16(d + i, &v);
        }
    }
}

/// Writes sixteen numbers of row `row` into groups of rows (bfloat16 pairs).
GK_INLINE void GK_V(put_in_pair)(float *pairs, const h16 *halves, int is_second) {
    const i16 bits = __builtin_convertvector(*halves, i16);
    i16_loose *pair = (i16_loose *)(void *)pairs;
    // The first row of a pair clears the second, which may not come.
    *pair = is_second ? (*pair & 0xFFFF) | bits << 16 : bits;
}

/// The same for bfloat16s: p and the gradients go to `p_pairs` and `ds_pairs`, in groups of rows for a
/// sum over them (these are the rows from `first` on), and the gradients to `ds_rows` too.
static void GK_V(score_gradients_in_halves)(
    const float *p, const float *dp, size_t rows, size_t stride, const float *inverse, float scale,
    size_t first, float *p_pairs, float *ds_pairs, uint16_t *ds_rows) {
    for (size_t row = 0; row < rows; row++) {
        const float *x = p + row * stride, *d = dp + row * stride;
        const size_t pair = (first + row) / 2 * stride;
        const int is_second = (first + row) % 2 == 1;
        v16 v, g, sum = {0};
        for (size_t i = 0; i < stride; i += LANES) {
            load16(&v, x + i);
            load16(&g, d + i);
            sum += v * g;
        }
        const float total = sum_lanes(&sum) * inverse[row];
        h16 halves;
        for (size_t i = 0; i < stride; i += LANES) {
            load16(&v, x + i);
            load16(&g, d + i);
            v *= inverse[row];
            GK_V(narrow)(&halves, &v);
            GK_V(put_in_pair)(p_pairs + pair + i, &halves, is_second);
            v *= (g - total) * scale;
            GK_V(narrow)(&halves, &v);
            GK_V(put_in_pair)(ds_pairs + pair + i, &halves, is_second);
            *(h16_loose *)(ds_rows + row * stride + i) = halves;
        }
    }
}

/// out [width, stride] in groups of rows: the transpose of some rows of bfloat16s, as the left factor
/// of a sum over them.
static void GK_V(pack_left_transposed)(
    const char *base, size_t row_bytes, size_t rows, size_t width, float *out, size_t stride) {
    const size_t groups = (rows + 1) / 2;
    for (size_t group = 0; group < groups; group += LANES) {
        for (size_t at = 0; at < width; at += LANES) {
            const size_t n = width - at < LANES ? width - at : LANES;
            v16 block[LANES];
            for (size_t i = 0; i < LANES; i++) {
                block[i] = (v16){0};
                const size_t row = 2 * (group + i);
                if (row < rows) {
                    const uint16_t *first =
                        (const uint16_t *)(const void *)(base + row * row_bytes) + at;
                    const uint16_t *second = row + 1 < rows
                        ? (const uint16_t *)(const void *)(base + (row + 1) * row_bytes) + at : NULL;
                    GK_V(interleave)(&block[i], first, second, n);
                }
            }
            transpose16(block);
            for (size_t i = 0; i < n; i++) store16(out + (at + i) * stride + group, &block[i]);
        }
    }
}

/// to [keys, width] in the element from its transpose [width, stride] in fp32.
static void GK_V(store_transposed)(
    const float *from, size_t stride, size_t keys, size_t width, int element, char *to,
    size_t row_bytes) {
    for (size_t key = 0; key < keys; key += LANES) {
        const size_t rows = keys - key < LANES ? keys - key : LANES;
        for (size_t at = 0; at < width; at += LANES) {
            const size_t n = width - at < LANES ? width - at : LANES;
            v16 block[LANES];
            for (size_t i = 0; i < LANES; i++) {
                block[i] = (v16){0};
                if (i < n) load16(&block[i], from + (at + i) * stride + key);
            }
            transpose16(block);
            const size_t size = element == GK_F32 ? 4 : 2;
            GK_V(store_rows)(
                (const float *)block, LANES, NULL, rows, n, element,
                to + key * row_bytes + at * size, row_bytes);
        }
    }
}

static void GK_V(differentiate_unit)(void *context, size_t unit, size_t slot) {
    const attention_job *job = context;
    const gk_attention *a = job->attention;
    const gk_sequence *s = &a->sequences[unit / a->heads];
    const size_t size = a->element == GK_F32 ? 4 : 2, width = a->head_width;
    const size_t head = unit % a->heads * width * size;
    const size_t keys = s->own_count;
    if (keys == 0) return;
    const key_rows rows = {0, 0, s->own_row};
    const size_t depth = gk_group_count(a->element, width);
    const size_t stride = padded(keys), wide = padded(width);
    const size_t pieces = (s->query_count + PIECE_ROWS - 1) / PIECE_ROWS;
    arena memory = {(char *)job->scratch + slot * job->slot_bytes};
    float *kt = take(&memory, depth * stride);
    float *vt = take(&memory, depth * stride);
    float *kp = take(&memory, gk_group_count(a->element, keys) * wide);
    // Probabilities and gradients of scores: fp32 rows of the piece, or of a tile and then pairs.
    float *p = take(&memory, PIECE_ROWS * stride);
    float *ds = take(&memory, PIECE_ROWS * stride);
    float *p_pairs = take(&memory, job->half_floats * PIECE_ROWS / 2 * stride);
    float *ds_pairs = take(&memory, job->half_floats * PIECE_ROWS / 2 * stride);
    uint16_t *ds_rows =
        (uint16_t *)take(&memory, job->half_floats * GK_MOST_TILE_ROWS * stride / 2);
    float *left = take(&memory, job->half_floats * wide * PIECE_STRIDE);
    float *dkt = take(&memory, width * stride);
    float *dvt = take(&memory, width * stride);
    float *sums = take(&memory, GK_MOST_TILE_ROWS * wide);
    float inverse[GK_MOST_TILE_ROWS];
    const char *keys_base = (const char *)a->k + head, *values_base = (const char *)a->v + head;
    const size_t kv_bytes = a->kv_stride * size;
    GK_V(pack_transposed)(keys_base, kv_bytes, &rows, keys, width, a->element, kt, stride);
    GK_V(pack_transposed)(values_base, kv_bytes, &rows, keys, width, a->element, vt, stride);
    GK_V(pack_rows)(keys_base, kv_bytes, &rows, keys, width, a->element, kp, wide);
    gk_tile *tile = GK_V(tile_for)(a->element);
    for (size_t piece = 0; piece < pieces; piece++) {
        const size_t begin = s->query_count * piece / pieces;
        const size_t count = s->query_count * (piece + 1) / pieces - begin;
        const size_t row = s->query_row + begin;
        const char *q = (const char *)a->q + row * a->q_stride * size + head;
        const char *d_out = (const char *)job->d_out + row * job->d_out_stride * size + head;
        const size_t q_bytes = a->q_stride * size, d_bytes = job->d_out_stride * size;
        const size_t tiles = (count + GK_TILE_ROWS - 1) / GK_TILE_ROWS;
        size_t first = 0;
        for (size_t t = 1; t <= tiles; t++) {
            const size_t end = count * t / tiles, n = end - first;
            float *own_p = a->element == GK_F32 ? p + first * stride : p;
            float *own_ds = a->element == GK_F32 ? ds + first * stride : ds;
            GK_V(score_rows)(
                tile, q + first * q_bytes, q_bytes / 4, n, kt, stride, keys, depth, own_p);
            const int halves = a->element == GK_BF16;
            if (halves)
                GK_V(soften)(own_p, n, stride, keys, 0, 0, a->scale, stride, inverse, NULL, 1);
            else
                GK_V(soften)(own_p, n, stride, keys, 0, 0, a->scale, stride, inverse, NULL, 0);
            GK_V(score_rows)(
                tile, d_out + first * d_bytes, d_bytes / 4, n, vt, stride, keys, depth, own_ds);
            if (halves)
                GK_V(score_gradients_in_halves)(
                    own_p, own_ds, n, stride, inverse, a->scale, first, p_pairs, ds_pairs, ds_rows);
            else
                GK_V(score_gradients)(own_p, own_ds, n, stride, keys, inverse, a->scale);
            const void *ds_left = halves ? (const void *)ds_rows : own_ds;
            const size_t ds_row = halves ? stride / 2 : stride;
            for (size_t panel = 0; panel < width; panel += GK_PANEL)
                tile(
                    n, ds_left, ds_row, 1, kp + panel, wide, gk_group_count(a->element, keys),
                    sums + panel, wide, 0, (const char *)kp, 0);
            GK_V(store_rows)(
                sums, wide, NULL, n, width, a->element,
                (char *)job->dq + (row + first) * job->dq_stride * size + head,
                job->dq_stride * size);
            first = end;
        }
        // dvᵀ += d_outᵀ·p and dkᵀ += qᵀ·ds, sums over the piece's queries.
        for (int which = 0; which < 2; which++) {
            const char *base = which == 0 ? d_out : q;
            const size_t base_bytes = which == 0 ? d_bytes : q_bytes;
            float *sum = which == 0 ? dvt : dkt;
            const float *right = a->element == GK_F32
                ? (which == 0 ? p : ds) : (which == 0 ? p_pairs : ds_pairs);
            const void *factor = base;
            size_t factor_row = 1, factor_depth = base_bytes / 4;
            if (a->element == GK_BF16) {
                GK_V(pack_left_transposed)(base, base_bytes, count, width, left, PIECE_STRIDE);
                factor = left;
                factor_row = PIECE_STRIDE;
                factor_depth = 1;
            }
            const size_t column_tiles = (width + GK_TILE_ROWS - 1) / GK_TILE_ROWS;
            size_t column = 0;
            for (size_t t = 1; t <= column_tiles; t++) {
                const size_t end = width * t / column_tiles;
                for (size_t panel = 0; panel < stride; panel += GK_PANEL)
                    tile(
                        end - column, (const char *)factor + column * factor_row * 4, factor_row,
                        factor_depth, right + panel, stride, gk_group_count(a->element, count),
                        sum + column * stride + panel, stride, piece > 0,
                        (const char *)right, 0);
                column = end;
            }
        }
    }
    GK_V(store_transposed)(
        dkt, stride, keys, width, a->element,
        (char *)job->dk + s->own_row * job->dkv_stride * size + head, job->dkv_stride * size);
    GK_V(store_transposed)(
        dvt, stride, keys, width, a->element,
        (char *)job->dv + s->own_row * job->dkv_stride * size + head, job->dkv_stride * size);
}
