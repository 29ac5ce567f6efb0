#include "filters.h"

#include <string.h>

// Picks the wider version at run time where the processor has it.
#if defined(__x86_64__) && defined(__linux__)
#define MULTIVERSIONED __attribute__((target_clones("arch=haswell", "default")))
#else
#define MULTIVERSIONED
#endif
#define INLINE static inline __attribute__((always_inline))

enum { NONE = 0, SUB = 1, UP = 2, AVERAGE = 3, PAETH = 4 };

typedef uint8_t bytes16 __attribute__((vector_size(16)));
typedef uint32_t words4 __attribute__((vector_size(16)));
typedef int16_t shorts16 __attribute__((vector_size(32)));

// --- Rows alone ----------------------------------------------------------------------------------

MULTIVERSIONED
static void add_up(const uint8_t *in, const uint8_t *above, size_t count, uint8_t *out) {
    for (size_t i = 0; i < count; i++) out[i] = in[i] + above[i];
}

INLINE uint8_t paeth(int a, int b, int c) {
    int p = b - c, q = a - c, r = p + q;
    p = p < 0 ? -p : p;
    q = q < 0 ? -q : q;
    r = r < 0 ? -r : r;
    return (uint8_t)(p <= q && p <= r ? a : q <= r ? b : c);
}

/// `filter` and `size` are constants where this is inlined; the pixel to the left stays in registers.
INLINE void add_serial(
    int filter, const uint8_t *in, const uint8_t *above, size_t width, size_t size, uint8_t *out) {
    uint8_t left[4] = {0}, corner[4] = {0};
    for (size_t x = 0; x < width; x++) {
        for (size_t k = 0; k < size; k++) {
            const size_t i = x * size + k;
            const uint8_t b = above[i];
            const uint8_t guess = filter == SUB ? left[k]
                : filter == AVERAGE             ? (uint8_t)((left[k] + b) >> 1)
                                                : paeth(left[k], b, corner[k]);
            corner[k] = b;
            left[k] = in[i] + guess;
            out[i] = left[k];
        }
    }
}

#define SERIAL(filter)                                                                           \
    switch (size) {                                                                              \
    case 1: add_serial(filter, in, above, width, 1, out); break;                                 \
    case 2: add_serial(filter, in, above, width, 2, out); break;                                 \
    case 3: add_serial(filter, in, above, width, 3, out); break;                                 \
    default: add_serial(filter, in, above, width, 4, out);                                       \
    }

static int unfilter_row(
    const uint8_t *coded, size_t width, size_t size, const uint8_t *above, uint8_t *out) {
    const uint8_t *in = coded + 1;
    switch (coded[0]) {
    case NONE: memcpy(out, in, width * size); return 0;
    case SUB: SERIAL(SUB); return 0;
    case UP: add_up(in, above, width * size, out); return 0;
    case AVERAGE: SERIAL(AVERAGE); return 0;
    case PAETH: SERIAL(PAETH); return 0;
    default: return -1;
    }
}

// --- Four rows as a wave ---------------------------------------------------------------------------
//
// Each pixel of Paeth's filter needs the one before it, so a row alone waits for itself. Row r of four
// works on pixel s − r in step s: what it needs of the row above came out one step ago. Four lanes a
// row, one row beside the other.

#define WAVE 4

typedef struct {
    const uint8_t *in[WAVE];
    uint8_t *out[WAVE];
    const uint8_t *above;
    /// Lanes that must take the pixel to the left or above, and lanes that may not take the left.
    shorts16 left_only, above_only;
    shorts16 done, corner;
} wave;

INLINE void step(wave *w, const uint32_t coded[WAVE], uint32_t above) {
    const words4 words = {coded[0], coded[1], coded[2], coded[3]}, first = {above};
    const shorts16 raw = __builtin_convertvector((bytes16)words, shorts16);
    const shorts16 top = __builtin_convertvector((bytes16)first, shorts16);
    const shorts16 a = w->done, c = w->corner;
    const shorts16 b =
        __builtin_shufflevector(top, a, 0, 1, 2, 3, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27);
    shorts16 p = b - c, q = a - c, r = p + q;
    p = __builtin_elementwise_abs(p);
    q = __builtin_elementwise_abs(q);
    r = __builtin_elementwise_abs(r);
    const shorts16 least = __builtin_elementwise_min(__builtin_elementwise_min(p, q), r);
    const shorts16 takes_left = ((least == p) & ~w->above_only) | w->left_only;
    const shorts16 takes_above = (least == q) | w->above_only;
    const shorts16 other = (takes_above & b) | (~takes_above & c);
    const shorts16 guess = (takes_left & a) | (~takes_left & other);
    w->done = (raw + guess) & 255;
    w->corner = b;
}

/// A step at the ends of the rows, where not all of them have a pixel.
INLINE void edge_step(wave *w, size_t s, size_t width, size_t size) {
    uint32_t coded[WAVE] = {0}, above = 0;
    shorts16 active = {0};
    for (size_t r = 0; r < WAVE; r++) {
        if (s < r || s - r >= width) continue;
        memcpy(&coded[r], w->in[r] + (s - r) * size, size);
        for (size_t k = 0; k < 4; k++) active[4 * r + k] = -1;
    }
    if (s < width) memcpy(&above, w->above + s * size, size);
    step(w, coded, above);
    // Left of a row there are zeros.
    w->done &= active;
    const bytes16 bytes = __builtin_convertvector(w->done, bytes16);
    for (size_t r = 0; r < WAVE; r++) {
        if (s < r || s - r >= width) continue;
        for (size_t k = 0; k < size; k++) w->out[r][(s - r) * size + k] = bytes[4 * r + k];
    }
}

INLINE void wave_of(wave w, size_t width, size_t size) {
    size_t s = 0;
    for (; s < WAVE; s++) edge_step(&w, s, width, size);
    // Whole words, whose surplus byte the next pixel of the row overwrites; hence not the last ones.
    for (; s + 1 < width; s++) {
        uint32_t coded[WAVE], above;
        for (size_t r = 0; r < WAVE; r++) memcpy(&coded[r], w.in[r] + (s - r) * size, 4);
        memcpy(&above, w.above + s * size, 4);
        step(&w, coded, above);
        const words4 words = (words4)__builtin_convertvector(w.done, bytes16);
        for (size_t r = 0; r < WAVE; r++) {
            const uint32_t word = words[r];
            memcpy(w.out[r] + (s - r) * size, &word, 4);
        }
    }
    for (; s < width + WAVE - 1; s++) edge_step(&w, s, width, size);
}

MULTIVERSIONED
static void unfilter_wave(
    const uint8_t *coded, size_t width, size_t size, const uint8_t *above, uint8_t *out) {
    wave w = {.above = above};
    for (size_t r = 0; r < WAVE; r++) {
        const uint8_t *row = coded + r * (1 + width * size);
        w.in[r] = row + 1;
        w.out[r] = out + r * width * size;
        for (size_t k = 0; k < 4; k++) {
            w.left_only[4 * r + k] = row[0] == SUB ? -1 : 0;
            w.above_only[4 * r + k] = row[0] == UP ? -1 : 0;
        }
    }
    if (size == 3) {
        wave_of(w, width, 3);
    } else {
        wave_of(w, width, 4);
    }
}

/// Whether four rows are worth going together: at least two wait for themselves.
static int makes_wave(const uint8_t *coded, size_t width, size_t size) {
    int serial = 0;
    for (size_t r = 0; r < WAVE; r++) {
        switch (coded[r * (1 + width * size)]) {
        case PAETH: serial++; break;
        case SUB:
        case UP: break;
        default: return 0;
        }
    }
    return serial >= 2;
}

int image_png_unfilter(
    const uint8_t *coded, size_t rows, size_t width, size_t size, const uint8_t *above,
    uint8_t *output) {
    const size_t row_bytes = width * size;
    size_t row = 0;
    while (row < rows) {
        const size_t taken = rows - row >= WAVE && size >= 3 && width > 2 * WAVE
                && makes_wave(coded, width, size)
            ? WAVE : 1;
        if (taken == WAVE) {
            unfilter_wave(coded, width, size, above, output);
        } else if (unfilter_row(coded, width, size, above, output) != 0) {
            return -1;
        }
        coded += taken * (1 + row_bytes);
        output += taken * row_bytes;
        above = output - row_bytes;
        row += taken;
    }
    return 0;
}
