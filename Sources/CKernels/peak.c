#include "level.h"
#include "lanes.h"

#include <time.h>

// How fast this core multiplies when nothing else can hold it up: sums in registers, no memory.

static double seconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

#define ROUNDS 4096
#define SUMS 12

/// Runs `step` until `duration` is over; operations a step counts.
#define MEASURE(operations, step)                                                                \
    const double start = seconds();                                                              \
    double now = start;                                                                          \
    double done = 0;                                                                             \
    while (now - start < duration) {                                                             \
        for (int round = 0; round < ROUNDS; round++) { step }                                    \
        done += (double)(operations) * ROUNDS;                                                   \
        now = seconds();                                                                         \
    }                                                                                            \
    rate = done / (now - start);

#if defined(__x86_64__)
#include <immintrin.h>

__attribute__((target("avx512f,avx512bf16"))) static double bf16_peak(double duration) {
    double rate;
    __m512 sums[SUMS];
    for (int i = 0; i < SUMS; i++) sums[i] = _mm512_setzero_ps();
    const __m512bh x = (__m512bh)_mm512_set1_epi32(0x00010001);
    MEASURE(SUMS * 64, _Pragma("clang loop unroll(full)") for (int i = 0; i < SUMS; i++) {
        sums[i] = _mm512_dpbf16_ps(sums[i], x, x);
        __asm__ volatile("" : "+v"(sums[i]));
    })
    return rate;
}

__attribute__((target("avx512f,avx512vnni"))) static double byte_peak(double duration) {
    double rate;
    __m512i sums[SUMS];
    for (int i = 0; i < SUMS; i++) sums[i] = _mm512_setzero_si512();
    const __m512i x = _mm512_set1_epi8(1);
    MEASURE(SUMS * 128, _Pragma("clang loop unroll(full)") for (int i = 0; i < SUMS; i++) {
        sums[i] = _mm512_dpbusd_epi32(sums[i], x, x);
        __asm__ volatile("" : "+v"(sums[i]));
    })
    return rate;
}

__attribute__((target("avx512f,fma"))) static double wide_peak(double duration) {
    double rate;
    __m512 sums[SUMS];
    for (int i = 0; i < SUMS; i++) sums[i] = _mm512_setzero_ps();
    const __m512 x = _mm512_set1_ps(1e-20f);
    MEASURE(SUMS * 32, _Pragma("clang loop unroll(full)") for (int i = 0; i < SUMS; i++) {
        sums[i] = _mm512_fmadd_ps(x, x, sums[i]);
        __asm__ volatile("" : "+v"(sums[i]));
    })
    return rate;
}

__attribute__((target("avx2,fma"))) static double avx2_peak(double duration) {
    double rate;
    __m256 sums[SUMS];
    for (int i = 0; i < SUMS; i++) sums[i] = _mm256_setzero_ps();
    const __m256 x = _mm256_set1_ps(1e-20f);
    MEASURE(SUMS * 16, _Pragma("clang loop unroll(full)") for (int i = 0; i < SUMS; i++) {
        sums[i] = _mm256_fmadd_ps(x, x, sums[i]);
        __asm__ volatile("" : "+x"(sums[i]));
    })
    return rate;
}
#endif

static double portable_peak(double duration) {
    double rate;
    typedef float v4 __attribute__((vector_size(16)));
    v4 sums[SUMS];
    for (int i = 0; i < SUMS; i++) sums[i] = (v4){0};
    v4 x = {1e-20f, 1e-20f, 1e-20f, 1e-20f};
    MEASURE(SUMS * 8, _Pragma("clang loop unroll(full)") for (int i = 0; i < SUMS; i++) {
        sums[i] += x * x;
        __asm__ volatile("" : "+m"(x));
    })
    for (int i = 1; i < SUMS; i++) sums[0] += sums[i];
    __asm__ volatile("" : : "m"(sums[0]));
    return rate;
}

double gk_peak(int element, double duration) {
#if defined(__x86_64__)
    if (element == GK_BF16 && gk_has_bf16_dot()) return bf16_peak(duration);
    if (element == GK_S8 && gk_has_byte_dot()) return byte_peak(duration);
    if (gk_level_now() >= GK_LEVEL_AVX512) return wide_peak(duration);
    if (gk_level_now() == GK_LEVEL_AVX2) return avx2_peak(duration);
#endif
    (void)element;
    return portable_peak(duration);
}
