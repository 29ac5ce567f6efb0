/* Ranks pictures by a prompt:  rank ENDPOINT PROMPT FILE...
 *
 * Prints the files, best first, with their scores; those that cannot be used are named behind them. */
#include "../guidanced.h"

static void *read_file(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    void *bytes = NULL;
    if (file == NULL) return NULL;
    if (fseek(file, 0, SEEK_END) == 0) {
        long length = ftell(file);
        rewind(file);
        bytes = length > 0 ? malloc((size_t)length) : NULL;
        if (bytes != NULL && fread(bytes, 1, (size_t)length, file) != (size_t)length) {
            free(bytes);
            bytes = NULL;
        }
        *size = (size_t)length;
    }
    fclose(file);
    return bytes;
}

static int rank(gd_client *client, const char *prompt, char **paths, size_t count) {
    gd_input *inputs = calloc(count, sizeof *inputs);
    size_t *order = calloc(count, sizeof *order);
    float *scores = calloc(count, sizeof *scores);
    bool *is_ranked = calloc(count, sizeof *is_ranked);
    size_t ranked = 0;
    int result = 1;
    if (inputs == NULL || order == NULL || scores == NULL || is_ranked == NULL) goto end;
    for (size_t i = 0; i < count; i++) {
        size_t size = 0;
        void *bytes = read_file(paths[i], &size);
        if (bytes == NULL) {
            fprintf(stderr, "rank: %s cannot be read\n", paths[i]);
            goto end;
        }
        inputs[i] = gd_encoded(bytes, size);
    }
    if (gd_rank(client, inputs, count, prompt, order, scores, &ranked) != GD_OK) {
        fprintf(stderr, "rank: %s\n", gd_error(client)->message);
        goto end;
    }
    for (size_t i = 0; i < ranked; i++) {
        printf("%.4f  %s\n", (double)scores[i], paths[order[i]]);
        is_ranked[order[i]] = true;
    }
    for (size_t i = 0; i < count; i++) {
        if (!is_ranked[i]) printf("failed  %s\n", paths[i]);
    }
    result = ranked == count ? 0 : 1;
end:
    for (size_t i = 0; inputs != NULL && i < count; i++) free((void *)inputs[i].bytes);
    free(inputs);
    free(order);
    free(scores);
    free(is_ranked);
    return result;
}

int main(int count, char **arguments) {
    if (count < 4) {
        fprintf(stderr, "usage: rank ENDPOINT PROMPT FILE...\n");
        return 64;
    }
    gd_client *client = gd_open(arguments[1], 30000);
    if (client == NULL) {
        fprintf(stderr, "rank: no endpoint: %s\n", arguments[1]);
        return 64;
    }
    int result = rank(client, arguments[2], arguments + 3, (size_t)count - 3);
    gd_close(client);
    return result;
}
