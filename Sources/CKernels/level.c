#include "level.h"

#include <stdlib.h>
#include <string.h>

int gk_level_in_force = -1;

#if defined(__x86_64__)
int gk_highest_level(void) {
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
        && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
        const int dots =
            __builtin_cpu_supports("avx512bf16") || __builtin_cpu_supports("avx512vnni");
        return dots ? GK_LEVEL_AVX512_DOT : GK_LEVEL_AVX512;
    }
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return GK_LEVEL_AVX2;
    return GK_LEVEL_PORTABLE;
}

int gk_has_bf16_dot(void) {
    return gk_level_now() >= GK_LEVEL_AVX512_DOT && __builtin_cpu_supports("avx512bf16");
}

int gk_has_byte_dot(void) {
    return gk_level_now() >= GK_LEVEL_AVX512_DOT && __builtin_cpu_supports("avx512vnni");
}
#else
int gk_highest_level(void) { return GK_LEVEL_PORTABLE; }
int gk_has_bf16_dot(void) { return 0; }
int gk_has_byte_dot(void) { return 0; }
#endif

int gk_level(void) {
    int level = __atomic_load_n(&gk_level_in_force, __ATOMIC_RELAXED);
    if (level < 0) {
        level = gk_highest_level();
        // Whole runs of the tests choose another level this way; a name that is none, or that the
        // machine does not have, changes nothing.
        static const char *const names[] = {"portable", "avx2", "avx512", "avx512-dot"};
        const char *wanted = getenv("GUIDANCED_INSTRUCTIONS");
        for (int i = 0; wanted != NULL && i < level; i++)
            if (strcmp(wanted, names[i]) == 0) level = i;
        __atomic_store_n(&gk_level_in_force, level, __ATOMIC_RELAXED);
    }
    return level;
}

int gk_set_level(int level) {
    if (level < 0) level = gk_highest_level();
    if (level > gk_highest_level()) return 0;
    __atomic_store_n(&gk_level_in_force, level, __ATOMIC_RELAXED);
    return 1;
}

int gk_level_has_dots(int element) {
    return element == GK_BF16 ? gk_has_bf16_dot() : element == GK_S8 ? gk_has_byte_dot() : 1;
}
