#include "CAllocationCounter.h"

#include <errno.h>
#include <stdlib.h>

#if defined(__GLIBC__)

static _Thread_local size_t counted;
static _Thread_local int counting;

// The names by which glibc exports its own functions for such purposes; it frees what they return.
void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);

static void count(void) { counted += (size_t)counting; }

void *malloc(size_t size) {
    count();
    return __libc_malloc(size);
}

void *calloc(size_t n, size_t size) {
    count();
    return __libc_calloc(n, size);
}

void *realloc(void *p, size_t size) {
    count();
    return __libc_realloc(p, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
    count();
    return __libc_memalign(alignment, size);
}

void *memalign(size_t alignment, size_t size) { return aligned_alloc(alignment, size); }

int posix_memalign(void **p, size_t alignment, size_t size) {
    if (alignment < sizeof(void *) || (alignment & (alignment - 1)) != 0) return EINVAL;
    void *memory = aligned_alloc(alignment, size);
    if (memory == NULL) return ENOMEM;
    *p = memory;
    return 0;
}

int allocation_counter_works(void) { return 1; }

void allocation_counter_start(void) {
    counted = 0;
    counting = 1;
}

size_t allocation_counter_stop(void) {
    counting = 0;
    return counted;
}

#else

int allocation_counter_works(void) { return 0; }
void allocation_counter_start(void) {}
size_t allocation_counter_stop(void) { return 0; }

#endif
