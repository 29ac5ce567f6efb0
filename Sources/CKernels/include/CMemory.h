#pragma once

/// Gives the allocator's free pages back to the system, where its library can (glibc): after large
/// blocks were freed on several threads, each thread's arena keeps tens of MiB.
void gk_give_back_free_memory(void);
