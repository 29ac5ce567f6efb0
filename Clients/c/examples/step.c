/* Takes guided steps:  step ENDPOINT PROMPT SIDE STEPS
 *
 * Begins with a grey picture of SIDE x SIDE pixels, follows the gradient of its cosine with the prompt,
 * each step as long as the last, and prints the loss before each and at the end. */
#include "../guidanced.h"

static int climb(gd_client *client, const char *prompt, int64_t side, int steps) {
    const char *prompts[] = {prompt};
    size_t numbers = (size_t)(3 * side * side);
    float *pixels = malloc(numbers * sizeof *pixels);
    float *gradient = malloc(numbers * sizeof *gradient);
    int result = 1;
    if (pixels == NULL || gradient == NULL) goto end;
    for (size_t i = 0; i < numbers; i++) pixels[i] = 0.5f;
    for (int step = 0; step <= steps; step++) {
        float loss = 0;
        if (gd_gradient(client, pixels, 1, side, side, prompts, NULL, 1, gradient, &loss) != GD_OK) {
            fprintf(stderr, "step: %s\n", gd_error(client)->message);
            goto end;
        }
        printf("%.6f\n", (double)loss);
        for (size_t i = 0; i < numbers; i++) {
            float moved = pixels[i] - (gradient[i] > 0 ? 0.02f : gradient[i] < 0 ? -0.02f : 0.0f);
            pixels[i] = moved < 0 ? 0 : moved > 1 ? 1 : moved;
        }
    }
    result = 0;
end:
    free(pixels);
    free(gradient);
    return result;
}

int main(int count, char **arguments) {
    long side = count == 5 ? strtol(arguments[3], NULL, 10) : 0;
    long steps = count == 5 ? strtol(arguments[4], NULL, 10) : 0;
    if (side < 1 || side > 4096 || steps < 0 || steps > 100000) {
        fprintf(stderr, "usage: step ENDPOINT PROMPT SIDE STEPS\n");
        return 64;
    }
    gd_client *client = gd_open(arguments[1], 60000);
    if (client == NULL) {
        fprintf(stderr, "step: no endpoint: %s\n", arguments[1]);
        return 64;
    }
    int result = climb(client, arguments[2], side, (int)steps);
    gd_close(client);
    return result;
}
