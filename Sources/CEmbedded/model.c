#include "CEmbedded.h"

// The default model, as Models/default has it. Built without it, the table is empty.
#if __has_embed("../../Models/default/model.safetensors") == __STDC_EMBED_FOUND__

static const unsigned char config[] = {
#embed "../../Models/default/config.json"
};
static const unsigned char weights[] = {
#embed "../../Models/default/model.safetensors"
};
static const unsigned char preprocessor[] = {
#embed "../../Models/default/preprocessor_config.json"
};
static const unsigned char tokenizer[] = {
#embed "../../Models/default/tokenizer.json"
};

static const guidanced_embedded_file files[] = {
    {"config.json", config, sizeof config},
    {"model.safetensors", weights, sizeof weights},
    {"preprocessor_config.json", preprocessor, sizeof preprocessor},
    {"tokenizer.json", tokenizer, sizeof tokenizer},
};
static const size_t count = sizeof files / sizeof files[0];

#else

static const guidanced_embedded_file files[1];
static const size_t count = 0;

#endif

size_t guidanced_default_model_file_count(void) { return count; }

guidanced_embedded_file guidanced_default_model_file(size_t index) {
    return index < count ? files[index] : (guidanced_embedded_file){0, 0, 0};
}
