/* Shows what guidanced.h makes of documents and replies.
 *
 *   probe json            reads one document from standard input and writes it again, normalised
 *   probe text STRING     writes a string as JSON
 *   probe number DIGITS   writes a number as JSON
 *   probe copy ROOM       reads a JSON string and writes its first bytes that fit
 *   probe call ENDPOINT TIMEOUT   asks for the gradient of one black pixel; writes status, code, field,
 *                         message, and the numbers
 */
#include "../../../Clients/c/guidanced.h"

static void show(const gd_json *json, const gd_value *value, gd_text *out) {
    char room[4096];
    switch (value->type) {
        case GD_NULL: gd_put(out, "null"); return;
        case GD_TRUE: gd_put(out, "true"); return;
        case GD_FALSE: gd_put(out, "false"); return;
        case GD_NUMBER: gd_put_number(out, gd_number(value, -1)); return;
        case GD_STRING:
            gd_copy(value, room, sizeof room);
            gd_put_string(out, room);
            return;
        case GD_ARRAY:
        case GD_OBJECT: break;
    }
    bool is_object = value->type == GD_OBJECT;
    const gd_value *at = value + 1;
    gd_put(out, is_object ? "{" : "[");
    for (size_t i = 0; i < value->count; i++) {
        if (i > 0) gd_put(out, ",");
        if (is_object) {
            show(json, at, out);
            gd_put(out, ":");
            at++;
        }
        show(json, at, out);
        at = gd_next(json, at);
    }
    gd_put(out, is_object ? "}" : "]");
}

static size_t read_all(char *to, size_t capacity) { return fread(to, 1, capacity, stdin); }

static int documents(void) {
    static char bytes[1 << 20];
    size_t length = read_all(bytes, sizeof bytes);
    /* A copy without room behind it, so that reading on is noticed. */
    char *exact = malloc(length == 0 ? 1 : length);
    gd_json json;
    gd_text out = GD_NO_TEXT;
    if (exact == NULL) return 2;
    memcpy(exact, bytes, length);
    bool is_read = gd_json_read(&json, exact, length);
    if (is_read) {
        show(&json, json.values, &out);
        fwrite(out.data, 1, out.length, stdout);
        gd_json_free(&json);
    }
    free(out.data);
    free(exact);
    return is_read ? 0 : 1;
}

static int copies(size_t room) {
    static char bytes[1 << 16];
    char to[256];
    gd_json json;
    size_t length = read_all(bytes, sizeof bytes);
    if (room > sizeof to || !gd_json_read(&json, bytes, length)) return 1;
    gd_copy(json.values, to, room);
    fputs(to, stdout);
    gd_json_free(&json);
    return 0;
}

static int call(const char *endpoint, int timeout) {
    const char *prompts[] = {"a"};
    const float black[3] = {0, 0, 0};
    float gradient[3], loss[1];
    gd_client *client = gd_open(endpoint, timeout);
    if (client == NULL) {
        puts("closed");
        return 0;
    }
    gd_status status = gd_gradient(client, black, 1, 1, 1, prompts, NULL, 1, gradient, loss);
    const gd_problem *problem = gd_error(client);
    printf("%d|%s|%s|%s\n", (int)status, problem->code, problem->field, problem->message);
    if (status == GD_OK)
        printf("%g %g %g %g\n", (double)gradient[0], (double)gradient[1], (double)gradient[2], (double)loss[0]);
    gd_close(client);
    return 0;
}

int main(int count, char **arguments) {
    gd_text out = GD_NO_TEXT;
    setlocale(LC_ALL, "");
    if (count == 2 && strcmp(arguments[1], "json") == 0) return documents();
    if (count == 3 && strcmp(arguments[1], "copy") == 0) return copies(strtoul(arguments[2], NULL, 10));
    if (count == 4 && strcmp(arguments[1], "call") == 0) return call(arguments[2], atoi(arguments[3]));
    if (count == 3 && strcmp(arguments[1], "text") == 0) gd_put_string(&out, arguments[2]);
    if (count == 3 && strcmp(arguments[1], "number") == 0) {
        gd_value value = {GD_NUMBER, arguments[2], strlen(arguments[2]), 0, 0};
        gd_put_number(&out, gd_number(&value, NAN));
    }
    if (out.data == NULL) return 64;
    puts(out.data);
    free(out.data);
    return 0;
}
