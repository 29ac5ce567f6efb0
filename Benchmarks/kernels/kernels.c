// Speed of each kernel beside what this processor can do at most. `make bench-kernels` builds and runs
// it; docs in Benchmarks/README.md.
//
//   kernels [--level portable|avx2|avx512|avx512-dot] [--threads N] [SECTION…]
//
// Sections: products, cold, fused, attention, norms, activations, packing, bytes. Each figure is the best of
// several repetitions of at least 20 ms. Peaks are those of loops that touch registers alone.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "CKernels.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/// One thread's figures are taken by its own clock, so that others on its processor matter less.
static clockid_t clock_used = CLOCK_THREAD_CPUTIME_ID;

static double now(void) {
    struct timespec time;
    clock_gettime(clock_used, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

typedef void work(void *context);

/// Seconds that one call takes.
static double measure(work *body, void *context) {
    body(context);
    double start = now();
    body(context);
    double once = now() - start;
    const int calls = once > 0.02 ? 1 : (int)(0.02 / (once > 1e-8 ? once : 1e-8)) + 1;
    double best = 1e9;
    for (int repetition = 0; repetition < 5; repetition++) {
        start = now();
        for (int i = 0; i < calls; i++) body(context);
        const double each = (now() - start) / calls;
        if (each < best) best = each;
    }
    return best;
}

static void *memory(size_t bytes) {
    void *p = NULL;
    if (posix_memalign(&p, 64, bytes + 16384) != 0) exit(1);
    memset(p, 0, bytes + 16384);
    return p;
}

static float *floats(size_t count, float scale) {
    float *p = memory(count * sizeof(float));
    uint32_t state = 12345;
    for (size_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        p[i] = scale * ((float)(state >> 8) / 8388608.0f - 1.0f);
    }
    return p;
}

static const char *const elements[] = {"fp32", "bf16", "int8"};

// --- Peaks ---------------------------------------------------------------------------------------

#define PEAK_STEPS 100000
#define PEAK_SUMS 24

#if defined(__x86_64__)
#define PEAK(name, target_list, vector, zero, step)                                              \
    __attribute__((target(target_list))) static void name(void *context) {                       \
        vector sums[PEAK_SUMS], x = zero;                                                        \
        for (int i = 0; i < PEAK_SUMS; i++) sums[i] = zero;                                      \
        for (int k = 0; k < PEAK_STEPS; k++) {                                                   \
            _Pragma("clang loop unroll(full)") for (int i = 0; i < PEAK_SUMS; i++)               \
                __asm__ volatile(step : "+v"(sums[i]) : "v"(x));                                 \
        }                                                                                        \
        for (int i = 1; i < PEAK_SUMS; i++) __asm__ volatile("" : : "v"(sums[i]));               \
        *(volatile int *)context = 1;                                                            \
    }
PEAK(peak_f32_512, "avx512f", __m512, _mm512_setzero_ps(), "vfmadd231ps %1, %1, %0")
PEAK(peak_f32_256, "avx2,fma", __m256, _mm256_setzero_ps(), "vfmadd231ps %1, %1, %0")
PEAK(peak_bf16, "avx512f,avx512bf16", __m512, _mm512_setzero_ps(), "vdpbf16ps %1, %1, %0")
PEAK(peak_s8, "avx512f,avx512vnni", __m512i, _mm512_setzero_si512(), "vpdpbusd %1, %1, %0")
#endif

/// Operations a second that registers alone allow, all threads; 0 where there is no such loop.
static double peaks[3];

static void find_peaks(int threads) {
#if defined(__x86_64__)
    volatile int sink = 0;
    const int level = gk_level();
    if (level >= GK_LEVEL_AVX512)
        peaks[0] = 32.0 * PEAK_STEPS * PEAK_SUMS / measure(peak_f32_512, (void *)&sink);
    else if (level == GK_LEVEL_AVX2)
        peaks[0] = 16.0 * PEAK_STEPS * PEAK_SUMS / measure(peak_f32_256, (void *)&sink);
    if (gk_level_has_dots(GK_BF16))
        peaks[1] = 64.0 * PEAK_STEPS * PEAK_SUMS / measure(peak_bf16, (void *)&sink);
    if (gk_level_has_dots(GK_S8))
        peaks[2] = 128.0 * PEAK_STEPS * PEAK_SUMS / measure(peak_s8, (void *)&sink);
#endif
    for (int element = 0; element < 3; element++) {
        peaks[element] *= threads;
        if (peaks[element] > 0)
            printf("peak %-44s %8.0f GOP/s\n", elements[element], peaks[element] / 1e9);
    }
}

static void print_rate(const char *name, double operations, int element, double seconds) {
    printf("%-49s %8.0f GOP/s", name, operations / seconds / 1e9);
    if (peaks[element] > 0) printf("  %3.0f %%", 100 * operations / seconds / peaks[element]);
    printf("  %9.1f us\n", 1e6 * seconds);
}

static void print_bandwidth(const char *name, double bytes, double seconds) {
    printf("%-49s %8.1f GB/s         %9.1f us\n", name, bytes / seconds / 1e9, 1e6 * seconds);
}

// --- Products ------------------------------------------------------------------------------------

static gk_seat *seat;

typedef struct {
    gk_packed packed;
    size_t rows, x_stride;
    void *x;
    gk_row_scale *x_scales;
    gk_epilogue epilogue;
} product_case;

static void run_product(void *context) {
    const product_case *c = context;
    gk_multiply(seat, &c->packed, c->x, c->x_stride, c->x_scales, c->rows, &c->epilogue);
}

/// Rows an odd number of cache lines apart, as the towers' buffers have them.
static size_t stride_of(int element, size_t columns) {
    const size_t line = element == GK_F32 ? 16 : element == GK_BF16 ? 32 : 64;
    return ((columns + line - 1) / line | 1) * line;
}

static product_case make_product(int element, size_t rows, size_t outputs, size_t inputs) {
    product_case c = {.rows = rows, .x_stride = stride_of(element, inputs)};
    float *w = floats(outputs * inputs, 0.05f);
    void *data = memory(gk_packed_bytes(element, inputs, outputs));
    float *scales = floats(outputs, 1);
    int32_t *sums = memory(outputs * sizeof(int32_t));
    gk_pack(w, inputs, 1, inputs, outputs, element, data, scales, sums);
    free(w);
    c.packed = (gk_packed){element, inputs, outputs, data, scales, sums};
    float *x = floats(rows * c.x_stride, 2);
    c.x_scales = memory(rows * sizeof(gk_row_scale));
    if (element == GK_F32) {
        c.x = x;
    } else if (element == GK_BF16) {
        uint16_t *half = memory(rows * c.x_stride * 2);
        gk_narrow_bf16(x, half, rows * c.x_stride);
        c.x = half;
    } else {
        uint8_t *bytes = memory(rows * c.x_stride);
        gk_quantize_rows(
            NULL, (gk_view){x, c.x_stride, GK_F32}, rows, inputs, bytes, c.x_stride, c.x_scales);
        c.x = bytes;
    }
    if (element != GK_F32) free(x);
    const int out = element == GK_F32 ? GK_F32 : GK_BF16;
    const size_t y_stride = stride_of(out, outputs);
    c.epilogue.y = (gk_view){memory(rows * stride_of(GK_F32, outputs) * 4), y_stride, out};
    return c;
}

static void free_product(product_case *c) {
    free((void *)c->packed.data);
    free((void *)c->packed.scales);
    free((void *)c->packed.sums);
    free(c->x);
    free(c->x_scales);
    free(c->epilogue.y.base);
}

static void time_product(product_case *c, const char *what, size_t real_rows) {
    char name[96];
    snprintf(
        name, sizeof name, "%s %zu x %zu x %zu%s", elements[c->packed.element], real_rows,
        c->packed.outputs, c->packed.inputs, what);
    print_rate(
        name, 2.0 * (double)(c->rows * c->packed.outputs * c->packed.inputs), c->packed.element,
        measure(run_product, c));
}

typedef struct {
    size_t rows, outputs, inputs;
} shape;

static void products(void) {
    // Rows x outputs x inputs: one image, groups, texts; ViT-B/32 and ViT-L/14.
    static const shape shapes[] = {
        {50, 768, 768},    {50, 3072, 768},   {50, 768, 3072},   {400, 768, 768},
        {400, 3072, 768},  {400, 768, 3072},  {257, 1024, 1024}, {257, 4096, 1024},
        {257, 1024, 4096}, {1028, 4096, 1024}, {1028, 1024, 4096}, {77, 1536, 512}, {77, 2048, 512},
        {77, 512, 2048},   {308, 1536, 512},  {308, 2048, 512},  {308, 512, 2048}, {308, 3072, 768},
        {308, 768, 3072},  {10, 512, 512},    {1, 768, 3072},
    };
    for (int element = 0; element < 3; element++)
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
            product_case c =
                make_product(element, shapes[i].rows, shapes[i].outputs, shapes[i].inputs);
            time_product(&c, "", c.rows);
            free_product(&c);
        }
}

typedef struct {
    product_case *cases;
    size_t count;
} product_turn;

static void run_products(void *context) {
    const product_turn *turn = context;
    for (size_t i = 0; i < turn->count; i++) run_product(&turn->cases[i]);
}

/// Products of one image or text with weights that no cache holds: those of a whole tower in turn.
static void cold(void) {
    static const shape shapes[] = {{50, 3072, 768}, {50, 768, 3072}, {77, 2048, 512}, {77, 512, 2048}};
    for (int element = 0; element < 3; element++)
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
            product_case cases[24];
            const product_turn turn = {cases, sizeof cases / sizeof *cases};
            for (size_t c = 0; c < turn.count; c++)
                cases[c] =
                    make_product(element, shapes[i].rows, shapes[i].outputs, shapes[i].inputs);
            char name[96];
            snprintf(
                name, sizeof name, "%s %zu x %zu x %zu, weights from memory", elements[element],
                shapes[i].rows, shapes[i].outputs, shapes[i].inputs);
            const double each =
                measure(run_products, (void *)&turn) / (double)turn.count;
            print_rate(
                name, 2.0 * (double)(shapes[i].rows * shapes[i].outputs * shapes[i].inputs),
                element, each);
            for (size_t c = 0; c < turn.count; c++) free_product(&cases[c]);
        }
}

static void fused(void) {
    static const shape shapes[] = {{400, 3072, 768}, {257, 4096, 1024}, {308, 2048, 512}};
    static const char *const names[] = {"", " QuickGELU", " GELU", " tanh-GELU"};
    for (int element = 0; element < 3; element++)
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
            const size_t rows = shapes[i].rows, outputs = shapes[i].outputs;
            product_case c = make_product(element, rows, outputs, shapes[i].inputs);
            const size_t stride = stride_of(GK_F32, outputs);
            float *bias = floats(outputs, 1), *residual = floats(rows * stride, 1);
            gk_view kept = {
                memory(rows * stride * 4), c.epilogue.y.stride, c.epilogue.y.element};
            time_product(&c, " bare", rows);
            c.epilogue.bias = bias;
            for (int activation = 1; activation < 4; activation++) {
                c.epilogue.activation = activation;
                time_product(&c, names[activation], rows);
            }
            c.epilogue.activation = GK_QUICK_GELU;
            c.epilogue.kept = kept;
            time_product(&c, " QuickGELU, kept", rows);
            c.epilogue = (gk_epilogue){.y = c.epilogue.y};
            for (int activation = 1; activation < 4 && element != GK_S8; activation++) {
                char what[48];
                snprintf(what, sizeof what, "%s's slope", names[activation]);
                c.epilogue.slope = kept;
                c.epilogue.slope_activation = activation;
                time_product(&c, what, rows);
            }
            c.epilogue = (gk_epilogue){.bias = bias, .y = c.epilogue.y};
            c.epilogue.y.element = GK_F32;
            c.epilogue.y.stride = stride;
            c.epilogue.residual = residual;
            c.epilogue.residual_stride = stride;
            time_product(&c, " fp32 residual", rows);
            free(bias);
            free(residual);
            free(kept.base);
            free_product(&c);
        }
}

// --- Attention -----------------------------------------------------------------------------------

typedef struct {
    gk_attention attention;
    gk_sequence sequence;
    void *out, *d_out, *dq, *dkv, *scratch;
    size_t slot_bytes, width;
} attention_case;

static void attend(void *context) {
    attention_case *c = context;
    gk_attention_forward(seat, &c->attention, c->out, c->width, c->scratch, c->slot_bytes);
}

static void differentiate(void *context) {
    attention_case *c = context;
    const size_t size = c->attention.element == GK_F32 ? 4 : 2;
    gk_attention_backward(
        seat, &c->attention, c->d_out, c->width, c->dq, c->width, c->dkv,
        (char *)c->dkv + c->width * size, 2 * c->width, c->scratch, c->slot_bytes);
}

static void attention(void) {
    static const struct {
        size_t tokens, heads, width;
        int causal;
    } cases[] = {{50, 12, 64, 0}, {77, 8, 64, 1}, {257, 16, 64, 0}, {257, 16, 80, 0}, {577, 16, 64, 0}};
    for (int element = 0; element < 2; element++)
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            const size_t tokens = cases[i].tokens, width = cases[i].heads * cases[i].width;
            const size_t size = element == GK_F32 ? 4 : 2;
            attention_case c = {.width = width};
            float *numbers = floats(tokens * width * 4, 1);
            char *q = memory(tokens * width * 4 * size);
            if (element == GK_F32) memcpy(q, numbers, tokens * width * 16);
            else gk_narrow_bf16(numbers, (uint16_t *)q, tokens * width * 4);
            free(numbers);
            char *kv = q + tokens * width * size;
            c.d_out = q + tokens * width * 3 * size;
            c.out = memory(tokens * width * 4);
            c.dq = memory(tokens * width * 4);
            c.dkv = memory(tokens * width * 8);
            c.sequence = (gk_sequence){.query_count = tokens, .own_count = tokens};
            c.attention = (gk_attention){
                .element = element, .causal = cases[i].causal, .heads = cases[i].heads,
                .head_width = cases[i].width, .scale = 0.125f, .q = q, .q_stride = width, .k = kv,
                .v = kv + width * size, .kv_stride = 2 * width, .sequences = &c.sequence, .count = 1};
            c.slot_bytes = (gk_attention_scratch(element, cases[i].width, tokens, 1) + 63) / 64 * 64;
            c.scratch = memory(c.slot_bytes * gk_seat_slots(seat));
            char name[96];
            const double forward = 4.0 * (double)(tokens * tokens * width);
            snprintf(
                name, sizeof name, "%s attention %zu tokens, %zu heads of %zu%s", elements[element],
                tokens, cases[i].heads, cases[i].width, cases[i].causal ? ", causal" : "");
            print_rate(name, forward, element, measure(attend, &c));
            if (!cases[i].causal) {
                snprintf(
                    name, sizeof name, "%s its backward, %zu tokens", elements[element], tokens);
                print_rate(name, 2.5 * forward, element, measure(differentiate, &c));
            }
            free(q);
            free(c.out);
            free(c.dq);
            free(c.dkv);
            free(c.scratch);
        }
}

// --- Rows ----------------------------------------------------------------------------------------

typedef struct {
    float *x, *y, *gain, *mean, *rstd;
    uint8_t *bytes;
    gk_row_scale *scales;
    size_t rows, width;
    int element;
} rows_case;

static void normalize(void *context) {
    const rows_case *c = context;
    gk_layer_norm(
        seat, c->x, c->width, c->gain, c->gain, 1e-5f, c->rows, c->width,
        (gk_view){c->y, c->width, c->element}, c->mean, c->rstd);
}

static void normalize_backward(void *context) {
    const rows_case *c = context;
    gk_layer_norm_backward(
        seat, c->x, c->width, c->x, c->width, c->gain, c->mean, c->rstd, c->rows, c->width, c->y,
        c->width, 1, (gk_view){c->element == GK_F32 ? NULL : (void *)c->bytes, c->width, GK_BF16});
}

static void quantize(void *context) {
    const rows_case *c = context;
    gk_quantize_rows(
        seat, (gk_view){c->x, c->width, c->element}, c->rows, c->width, c->bytes, c->width,
        c->scales);
}

static rows_case make_rows(size_t rows, size_t width, int element) {
    rows_case c = {.rows = rows, .width = width, .element = element};
    c.x = floats(rows * width, 1);
    c.y = floats(rows * width, 1);
    c.gain = floats(width, 1);
    c.mean = floats(rows, 0.1f);
    c.rstd = floats(rows, 1);
    c.bytes = memory(rows * width * 2);
    c.scales = memory(rows * sizeof(gk_row_scale));
    return c;
}

static void free_rows(rows_case *c) {
    free(c->x);
    free(c->y);
    free(c->gain);
    free(c->mean);
    free(c->rstd);
    free(c->bytes);
    free(c->scales);
}

static void norms(void) {
    static const shape shapes[] = {{50, 0, 768}, {400, 0, 768}, {257, 0, 1024}};
    for (int element = 0; element < 2; element++)
        for (size_t i = 0; i < 3; i++) {
            rows_case c = make_rows(shapes[i].rows, shapes[i].inputs, element);
            const double count = (double)(c.rows * c.width), size = element == GK_F32 ? 4 : 2;
            char name[96];
            snprintf(
                name, sizeof name, "layer norm %zu x %zu to %s", c.rows, c.width,
                elements[element]);
            print_bandwidth(name, count * (4 + size), measure(normalize, &c));
            snprintf(
                name, sizeof name, "its backward %zu x %zu%s", c.rows, c.width,
                element == GK_F32 ? "" : " and a copy in bf16");
            print_bandwidth(
                name, count * (16 + (element == GK_F32 ? 0 : 2)), measure(normalize_backward, &c));
            free_rows(&c);
        }
}

static void bytes(void) {
    for (int element = 0; element < 2; element++) {
        rows_case c = make_rows(400, 3072, element);
        char name[96];
        snprintf(name, sizeof name, "quantize 400 x 3072 from %s", elements[element]);
        print_bandwidth(
            name, 400.0 * 3072 * (element == GK_F32 ? 5 : 3), measure(quantize, &c));
        free_rows(&c);
    }
}

// --- Activations ---------------------------------------------------------------------------------

typedef struct {
    void (*forward)(const float *, float *, size_t);
    void (*backward)(const float *, const float *, float *, size_t);
    const float *x;
    float *y;
    size_t count;
} map_case;

static void run_map(void *context) {
    const map_case *c = context;
    if (c->forward != NULL) c->forward(c->x, c->y, c->count);
    else c->backward(c->x, c->x, c->y, c->count);
}

static void activations(void) {
    static const struct {
        const char *name;
        void (*forward)(const float *, float *, size_t);
        void (*backward)(const float *, const float *, float *, size_t);
    } maps[] = {
        {"exp", gk_exp, NULL}, {"erf", gk_erf, NULL}, {"QuickGELU", gk_quick_gelu, NULL},
        {"GELU", gk_gelu, NULL}, {"tanh-GELU", gk_gelu_tanh, NULL},
        {"QuickGELU backward", NULL, gk_quick_gelu_backward},
        {"GELU backward", NULL, gk_gelu_backward},
        {"tanh-GELU backward", NULL, gk_gelu_tanh_backward},
    };
    const size_t count = 8192;
    float *x = floats(count, 6), *y = floats(count, 1);
    for (size_t i = 0; i < sizeof maps / sizeof *maps; i++) {
        map_case c = {maps[i].forward, maps[i].backward, x, y, count};
        const double seconds = measure(run_map, &c);
        printf("%-49s %8.3f ns a value\n", maps[i].name, 1e9 * seconds / (double)count);
    }
    free(x);
    free(y);
}

// --- Packing -------------------------------------------------------------------------------------

typedef struct {
    const float *w;
    size_t outputs, inputs;
    int element, transposed;
    void *data;
    float *scales;
    int32_t *sums;
} pack_case;

static void pack(void *context) {
    const pack_case *c = context;
    if (c->transposed)
        gk_pack(
            c->w, 1, c->inputs, c->outputs, c->inputs, c->element, c->data, c->scales, c->sums);
    else
        gk_pack(
            c->w, c->inputs, 1, c->inputs, c->outputs, c->element, c->data, c->scales, c->sums);
}

static void packing(void) {
    static const shape shapes[] = {{0, 768, 768}, {0, 3072, 768}, {0, 768, 3072}};
    for (size_t i = 0; i < 3; i++) {
        const size_t count = shapes[i].outputs * shapes[i].inputs;
        float *w = floats(count, 0.05f);
        for (int element = 0; element < 3; element++)
            for (int transposed = 0; transposed < 2; transposed++) {
                pack_case c = {
                    w, shapes[i].outputs, shapes[i].inputs, element, transposed,
                    memory(4 * (count + 64 * 4096)), memory(16384), memory(16384)};
                char name[96];
                snprintf(
                    name, sizeof name, "pack %zu x %zu in %s%s", shapes[i].outputs,
                    shapes[i].inputs, elements[element], transposed ? ", transposed" : "");
                print_bandwidth(
                    name, (double)count * (4 + (element == 0 ? 4 : element == 1 ? 2 : 1)),
                    measure(pack, &c));
                free(c.data);
                free(c.scales);
                free(c.sums);
            }
        free(w);
    }
}

// -------------------------------------------------------------------------------------------------

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        void (*run)(void);
    } sections[] = {
        {"products", products}, {"cold", cold}, {"fused", fused}, {"attention", attention}, {"norms", norms},
        {"activations", activations}, {"packing", packing}, {"bytes", bytes},
    };
    static const char *const levels[] = {"portable", "avx2", "avx512", "avx512-dot"};
    const size_t count = sizeof sections / sizeof *sections;
    int wanted[16] = {0}, any = 0, threads = 1;
    for (int i = 1; i < argc; i++) {
        int known = 0;
        if (strcmp(argv[i], "--level") == 0 && i + 1 < argc) {
            i++;
            for (int level = 0; level < 4; level++)
                if (strcmp(argv[i], levels[level]) == 0) known = gk_set_level(level);
        } else if (strcmp(argv[i], "--threads") == 0 && i + 1 < argc) {
            threads = atoi(argv[++i]);
            known = threads >= 1 && threads <= 1024;
        } else {
            for (size_t s = 0; s < count; s++)
                if (strcmp(argv[i], sections[s].name) == 0) known = any = wanted[s] = 1;
        }
        if (!known) {
            fprintf(stderr, "kernels: \"%s\" is no section, or no level of this machine\n", argv[i]);
            return 2;
        }
    }
    printf("%s, %d thread%s\n", levels[gk_level()], threads, threads == 1 ? "" : "s");
    if (threads > 1) clock_used = CLOCK_MONOTONIC;
    find_peaks(threads);
    gk_team *team = threads > 1 ? gk_team_create((size_t)threads) : NULL;
    seat = gk_team_sit(team);
    for (size_t s = 0; s < count; s++) {
        if (any && !wanted[s]) continue;
        printf("\n%s\n", sections[s].name);
        sections[s].run();
    }
    gk_team_leave(seat);
    gk_team_destroy(team);
    return 0;
}
