#include "CEmbedded.h"

// The default model, as Models/default has it. #embed is C23; the compiler knows it in every mode.
#pragma clang diagnostic ignored "-Wc23-extensions"

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
static const unsigned char tokenizer_config[] = {
#embed "../../Models/default/tokenizer_config.json"
};
static const unsigned char special_tokens[] = {
#embed "../../Models/default/special_tokens_map.json"
};

static const guidanced_embedded_file files[] = {
    {"config.json", config, sizeof config},
    {"model.safetensors", weights, sizeof weights},
    {"preprocessor_config.json", preprocessor, sizeof preprocessor},
    {"special_tokens_map.json", special_tokens, sizeof special_tokens},
    {"tokenizer.json", tokenizer, sizeof tokenizer},
    {"tokenizer_config.json", tokenizer_config, sizeof tokenizer_config},
};
static const size_t count = sizeof files / sizeof files[0];

size_t guidanced_default_model_file_count(void) { return count; }

guidanced_embedded_file guidanced_default_model_file(size_t index) {
    return index < count ? files[index] : (guidanced_embedded_file){0, 0, 0};
}
