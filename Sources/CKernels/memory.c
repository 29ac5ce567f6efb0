#if defined(__linux__)
#define _GNU_SOURCE
#include <sys/mman.h>
#endif

#include "CKernels.h"

void gk_prefer_large_pages(void *memory, size_t bytes) {
#if defined(__linux__)
    // Whole large pages alone: of less, nothing is gained, and neighbours are not ours.
    const uintptr_t size = (uintptr_t)2 << 20;
    const uintptr_t first = ((uintptr_t)memory + size - 1) / size * size;
    const uintptr_t last = ((uintptr_t)memory + bytes) / size * size;
    // A refusal (an older system, a setting) leaves the memory as it was.
    if (memory != NULL && last > first) madvise((void *)first, last - first, MADV_HUGEPAGE);
#else
    (void)memory;
    (void)bytes;
#endif
}
