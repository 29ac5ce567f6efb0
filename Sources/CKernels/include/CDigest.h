#pragma once
#include <stddef.h>
#include <stdint.h>

/// Advances SHA-256's eight state words over whole blocks of 64 bytes (FIPS 180-4, section 6.2.2).
/// Uses the processor's SHA instructions where it has them.
void guidanced_sha256_blocks(uint32_t state[8], const unsigned char *bytes, size_t blocks);

/// The same without special instructions: the reference that tests compare with.
void guidanced_sha256_blocks_portable(
    uint32_t state[8], const unsigned char *bytes, size_t blocks);
