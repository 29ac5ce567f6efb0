#pragma once
#include <stddef.h>
#include <stdint.h>

/// One file compiled into the program.
typedef struct {
    const char *name;
    const void *bytes;
    size_t size;
} guidanced_embedded_file;

/// The files of the default model; a file beyond the last has no name.
size_t guidanced_default_model_file_count(void);
guidanced_embedded_file guidanced_default_model_file(size_t index);

/// The merges of CLIP's byte-level BPE, one "left right" a line in rank order.
guidanced_embedded_file guidanced_clip_merges(void);
/// HTML's character names, one "name scalar[+scalar]" a line.
guidanced_embedded_file guidanced_html_entities(void);
/// Classes, cases, compositions and code pages of the tokenizers, in sections.
guidanced_embedded_file guidanced_unicode_tables(void);
