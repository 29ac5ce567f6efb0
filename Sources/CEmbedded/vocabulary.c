#include "CEmbedded.h"

// Where each comes from, and under what licence: Data/NOTICE.md. #embed is C23; the compiler knows
// it in every mode.
#pragma clang diagnostic ignored "-Wc23-extensions"

static const unsigned char clip_merges[] = {
#embed "Data/clip-merges.txt"
};
static const unsigned char html_entities[] = {
#embed "Data/entities.txt"
};
static const unsigned char unicode_tables[] = {
#embed "Data/unicode.txt"
};

guidanced_embedded_file guidanced_clip_merges(void) {
    return (guidanced_embedded_file){"clip-merges.txt", clip_merges, sizeof clip_merges};
}

guidanced_embedded_file guidanced_html_entities(void) {
    return (guidanced_embedded_file){"entities.txt", html_entities, sizeof html_entities};
}

guidanced_embedded_file guidanced_unicode_tables(void) {
    return (guidanced_embedded_file){"unicode.txt", unicode_tables, sizeof unicode_tables};
}
