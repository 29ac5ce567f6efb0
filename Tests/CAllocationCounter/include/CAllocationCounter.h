#pragma once
#include <stddef.h>

// Counts what a thread allocates, by standing before the C library's allocator in the test executable.

/// Whether the counter stands there: on glibc alone.
int allocation_counter_works(void);
/// Starts counting the calling thread's allocations from 0.
void allocation_counter_start(void);
/// How many there were since; stops counting.
size_t allocation_counter_stop(void);
