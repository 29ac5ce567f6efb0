/* A client of guidanced, the diffusion-guidance daemon: this header, guidanced_json.h and libzmq (-lzmq).
 *
 *     gd_client *client = gd_open("ipc:///run/user/1000/guidanced.sock", 30000);
 *     gd_input images[] = {gd_encoded(bytes, size), gd_pixels(pixels, 1, 512, 512)};
 *     const char *prompts[] = {"a red circle"};
 *     float scores[2];
 *     if (gd_score(client, images, 2, prompts, 1, scores) != GD_OK)
 *         fprintf(stderr, "%s\n", gd_error(client)->message);
 *
 * C99 and C++11, little-endian machines. A client is for one thread at a time; open one in each. Calls
 * return GD_OK or what went wrong, of which `gd_error` says more until the next call. An image that fails
 * alone is no error: it has NaN in its place, and `gd_call`'s reply lists it under `items`. The wire is
 * described in protocol.md. */
#ifndef GUIDANCED_H
#define GUIDANCED_H

#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <zmq.h>

#include "guidanced_json.h"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the wire is little-endian, and so must the machine be"
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
    GD_OK = 0,
    GD_REFUSED,     /* the daemon answered with an error; its code is in gd_error */
    GD_UNAVAILABLE, /* no link to a daemon within the timeout */
    GD_TIMEOUT,     /* no reply within the timeout */
    GD_MALFORMED,   /* a reply that breaks the protocol, or is not what was asked for */
    GD_ARGUMENT,    /* something that no daemon would take; nothing was sent */
    GD_MEMORY
} gd_status;

/* What went wrong in the last call. */
typedef struct {
    gd_status status;
    char code[32];     /* the wire's code ("bad_request", ...), "" for the client's own failures */
    char field[128];   /* what the daemon says is wrong ("params.metric"), or "" */
    char message[512]; /* one sentence */
} gd_problem;

typedef struct {
    void *context, *socket, *watch;
    char *endpoint;
    int timeout_ms;
    unsigned long calls;
    gd_problem problem;
} gd_client;

/* One frame of a request. Its bytes must stay until the call returns. */
typedef struct {
    const char *datatype; /* "FP32", "UINT8", ..., or "BYTES" for an encoded file */
    int64_t shape[4];     /* [N, 3, H, W] of floats, [N, H, W, 3 or 4] of bytes; none for "BYTES" */
    int dimensions;
    const void *bytes;
    size_t size;
} gd_input;

/* One frame of a reply. */
typedef struct {
    char name[64];
    char datatype[8];
    int64_t shape[8];
    int dimensions;
    const void *bytes; /* maybe at any address: copy it, as gd_floats does */
    size_t size;
} gd_output;

/* A final reply. gd_reply_free when done with it. */
typedef struct {
    gd_json json; /* json.values[0] is the header; see guidanced_json.h */
    zmq_msg_t *frames;
    size_t frame_count;
    gd_output *outputs;
    size_t output_count;
} gd_reply;

/* Opens a client; NULL without memory or for what is no address. Whether a daemon is there shows in the
 * first call. timeout_ms is for a whole call. */
static inline gd_client *gd_open(const char *endpoint, int timeout_ms);
static inline void gd_close(gd_client *client);
static inline const gd_problem *gd_error(const gd_client *client) { return &client->problem; }

/* Any operation. params: a JSON object, or NULL. */
static inline gd_status gd_call(
    gd_client *client, const char *op, const char *params, const gd_input *inputs, size_t count,
    gd_reply *reply);
static inline void gd_reply_free(gd_reply *reply);
/* The output of a name, or NULL. */
static inline const gd_output *gd_find(const gd_reply *reply, const char *name);
/* Copies an output of exactly so many FP32; false if it is none. */
static inline bool gd_floats(const gd_output *output, float *to, size_t count);

/* Images: count × [3, height, width] floats in 0...1, and an encoded file's bytes. */
static inline gd_input gd_pixels(const float *pixels, int64_t count, int64_t height, int64_t width);
static inline gd_input gd_encoded(const void *bytes, size_t size);

/* Cosines of images and prompts, scores[images × prompts]. */
static inline gd_status gd_score(
    gd_client *client, const gd_input *inputs, size_t count, const char *const *prompts,
    size_t prompt_count, float *scores);
/* The numbers of the images, best first, and their scores; *ranked is how many did not fail. */
static inline gd_status gd_rank(
    gd_client *client, const gd_input *inputs, size_t count, const char *prompt, size_t *order,
    float *scores, size_t *ranked);
/* d(1 - cosine)/d(pixels), as many as there are pixels, and each image's loss. weights: one a prompt, or
 * NULL for 1 each. An optimiser descends the gradient. */
static inline gd_status gd_gradient(
    gd_client *client, const float *pixels, int64_t count, int64_t height, int64_t width,
    const char *const *prompts, const double *weights, size_t prompt_count, float *gradient,
    float *losses);

/* Implementation ----------------------------------------------------------------------------- */

static inline gd_status gd_fail(gd_client *client, gd_status status, const char *message) {
    memset(&client->problem, 0, sizeof client->problem);
    client->problem.status = status;
    snprintf(client->problem.message, sizeof client->problem.message, "%s", message);
    return status;
}

/* Milliseconds since the client was opened, by the library's monotonic clock. */
static inline int64_t gd_now_ms(const gd_client *client) {
    return (int64_t)(zmq_stopwatch_intermediate(client->watch) / 1000);
}

static inline gd_client *gd_open(const char *endpoint, int timeout_ms) {
    gd_client *client = (gd_client *)calloc(1, sizeof *client);
    if (client == NULL) return NULL;
    size_t length = strlen(endpoint) + 1;
    client->timeout_ms = timeout_ms;
    client->endpoint = (char *)malloc(length);
    client->watch = zmq_stopwatch_start();
    client->context = zmq_ctx_new();
    if (client->context != NULL) client->socket = zmq_socket(client->context, ZMQ_DEALER);
    if (client->endpoint == NULL || client->watch == NULL || client->socket == NULL) {
        gd_close(client);
        return NULL;
    }
    memcpy(client->endpoint, endpoint, length);
    /* Writable only while the link is up: that tells an absent daemon from a slow one. */
    const int none = 0, yes = 1, heartbeat = 2000, dead = 10000;
    zmq_setsockopt(client->socket, ZMQ_LINGER, &none, sizeof none);
    zmq_setsockopt(client->socket, ZMQ_IMMEDIATE, &yes, sizeof yes);
    zmq_setsockopt(client->socket, ZMQ_IPV6, &yes, sizeof yes);
    zmq_setsockopt(client->socket, ZMQ_HEARTBEAT_IVL, &heartbeat, sizeof heartbeat);
    zmq_setsockopt(client->socket, ZMQ_HEARTBEAT_TIMEOUT, &dead, sizeof dead);
    if (zmq_connect(client->socket, endpoint) != 0) {
        gd_close(client);
        return NULL;
    }
    return client;
}

static inline void gd_close(gd_client *client) {
    if (client == NULL) return;
    if (client->socket != NULL) zmq_close(client->socket);
    if (client->context != NULL) zmq_ctx_term(client->context);
    if (client->watch != NULL) zmq_stopwatch_stop(client->watch);
    free(client->endpoint);
    free(client);
}

static inline void gd_reply_free(gd_reply *reply) {
    for (size_t i = 0; i < reply->frame_count; i++) zmq_msg_close(&reply->frames[i]);
    free(reply->frames);
    free(reply->outputs);
    gd_json_free(&reply->json);
    memset(reply, 0, sizeof *reply);
}

static inline bool gd_send(gd_client *client, const void *bytes, size_t size, bool is_last) {
    while (zmq_send(client->socket, bytes, size, is_last ? 0 : ZMQ_SNDMORE) < 0) {
        if (errno != EINTR) return false;
    }
    return true;
}

/* Waits for events on the socket until a time; false when it comes first. */
static inline bool gd_wait(gd_client *client, short events, int64_t end) {
    for (;;) {
        int64_t left = end - gd_now_ms(client);
        zmq_pollitem_t item = {client->socket, 0, events, 0};
        int found = zmq_poll(&item, 1, left > 0 ? (long)left : 0);
        if (found > 0) return true;
        if ((found == 0 && left <= 0) || (found < 0 && errno != EINTR)) return false;
    }
}

/* Reads the frames of one message. */
static inline gd_status gd_receive(gd_client *client, gd_reply *reply) {
    int has_more = 1;
    size_t size = sizeof has_more;
    while (has_more) {
        zmq_msg_t *frames =
            (zmq_msg_t *)realloc(reply->frames, (reply->frame_count + 1) * sizeof *frames);
        if (frames == NULL) return gd_fail(client, GD_MEMORY, "no memory for a reply");
        reply->frames = frames;
        zmq_msg_t *frame = &frames[reply->frame_count];
        zmq_msg_init(frame);
        reply->frame_count++;
        while (zmq_msg_recv(frame, client->socket, 0) < 0) {
            if (errno != EINTR) return gd_fail(client, GD_UNAVAILABLE, zmq_strerror(errno));
        }
        zmq_getsockopt(client->socket, ZMQ_RCVMORE, &has_more, &size);
    }
    return GD_OK;
}

static inline size_t gd_element_size(const char *datatype) {
    if (strcmp(datatype, "FP32") == 0 || strcmp(datatype, "INT32") == 0) return 4;
    if (strcmp(datatype, "FP16") == 0 || strcmp(datatype, "BF16") == 0) return 2;
    if (strcmp(datatype, "INT64") == 0) return 8;
    return 1;
}

/* The product of a shape and the element's size; SIZE_MAX for one that no memory holds. */
static inline size_t gd_size(const char *datatype, const int64_t *shape, int dimensions) {
    size_t size = gd_element_size(datatype);
    for (int i = 0; i < dimensions; i++) {
        if (shape[i] < 0 || (shape[i] > 0 && size > SIZE_MAX / (size_t)shape[i])) return SIZE_MAX;
        size *= (size_t)shape[i];
    }
    return size;
}

static inline bool gd_read_output(gd_output *output, const gd_json *json, const gd_value *entry, zmq_msg_t *frame) {
    gd_copy(gd_get(json, entry, "name"), output->name, sizeof output->name);
    gd_copy(gd_get(json, entry, "datatype"), output->datatype, sizeof output->datatype);
    output->bytes = zmq_msg_data(frame);
    output->size = zmq_msg_size(frame);
    if (strcmp(output->datatype, "BYTES") == 0) return true;
    const gd_value *shape = gd_get(json, entry, "shape");
    const gd_value *side = gd_first(shape);
    if (shape == NULL || shape->type != GD_ARRAY || shape->count > 8) return false;
    for (output->dimensions = 0; output->dimensions < (int)shape->count; output->dimensions++) {
        double number = gd_number(side, -1);
        if (!(number >= 0 && number < 9e15)) return false;
        output->shape[output->dimensions] = (int64_t)number;
        side = gd_next(json, side);
    }
    return gd_size(output->datatype, output->shape, output->dimensions) == output->size;
}

static inline gd_status gd_read_outputs(gd_client *client, gd_reply *reply) {
    const gd_value *listed = gd_get(&reply->json, reply->json.values, "outputs");
    size_t count = listed != NULL && listed->type == GD_ARRAY ? listed->count : 0;
    if (count + 2 != reply->frame_count)
        return gd_fail(client, GD_MALFORMED, "a reply with another number of frames than it declares");
    reply->outputs = (gd_output *)calloc(count + 1, sizeof *reply->outputs);
    if (reply->outputs == NULL) return gd_fail(client, GD_MEMORY, "no memory for a reply");
    const gd_value *entry = gd_first(listed);
    for (reply->output_count = 0; reply->output_count < count; reply->output_count++) {
        zmq_msg_t *frame = &reply->frames[reply->output_count + 2];
        if (!gd_read_output(&reply->outputs[reply->output_count], &reply->json, entry, frame))
            return gd_fail(client, GD_MALFORMED, "an output whose shape is not that of its frame");
        entry = gd_next(&reply->json, entry);
    }
    return GD_OK;
}

/* Reads one message: GD_OK for the final reply of a call, with *is_ours false for any other. */
static inline gd_status gd_read_reply(gd_client *client, const char *id, gd_reply *reply, bool *is_ours) {
    *is_ours = false;
    gd_status status = gd_receive(client, reply);
    if (status != GD_OK) return status;
    if (reply->frame_count < 2 || zmq_msg_size(&reply->frames[0]) != 4
        || memcmp(zmq_msg_data(&reply->frames[0]), "GD01", 4) != 0
        || !gd_json_read(
            &reply->json, (const char *)zmq_msg_data(&reply->frames[1]), zmq_msg_size(&reply->frames[1])))
        return gd_fail(client, GD_MALFORMED, "a message that is no reply of protocol GD01");
    const gd_value *header = reply->json.values;
    const gd_value *its_id = gd_get(&reply->json, header, "id");
    const gd_value *state = gd_get(&reply->json, header, "status");
    /* What comes late, of an earlier call, is passed over, and so are partial replies. */
    bool is_about_all = its_id != NULL && its_id->type == GD_NULL && gd_is(state, "error");
    if (!(gd_is(its_id, id) || is_about_all) || gd_is(state, "partial")) return GD_OK;
    *is_ours = true;
    if (gd_is(state, "ok")) return gd_read_outputs(client, reply);
    const gd_value *error = gd_get(&reply->json, header, "error");
    if (!gd_is(state, "error") || error == NULL)
        return gd_fail(client, GD_MALFORMED, "a reply with an unknown status");
    gd_fail(client, GD_REFUSED, "");
    gd_copy(gd_get(&reply->json, error, "code"), client->problem.code, sizeof client->problem.code);
    gd_copy(gd_get(&reply->json, error, "field"), client->problem.field, sizeof client->problem.field);
    gd_copy(gd_get(&reply->json, error, "message"), client->problem.message, sizeof client->problem.message);
    return GD_REFUSED;
}

static inline void gd_put_header(
    gd_text *text, const char *id, const char *op, const char *params, const gd_input *inputs, size_t count,
    int64_t deadline_ms) {
    char number[32];
    gd_put(text, "{\"id\":");
    gd_put_string(text, id);
    gd_put(text, ",\"op\":");
    gd_put_string(text, op);
    snprintf(number, sizeof number, "%lld", (long long)(deadline_ms < 86400000 ? deadline_ms : 86400000));
    gd_put(text, ",\"deadline_ms\":");
    gd_put(text, number);
    gd_put(text, ",\"params\":");
    gd_put(text, params == NULL ? "{}" : params);
    gd_put(text, ",\"inputs\":[");
    for (size_t i = 0; i < count; i++) {
        gd_put(text, i > 0 ? ",{\"name\":\"images\",\"datatype\":" : "{\"name\":\"images\",\"datatype\":");
        gd_put_string(text, inputs[i].datatype);
        for (int j = 0; j < inputs[i].dimensions; j++) {
            snprintf(number, sizeof number, "%lld", (long long)inputs[i].shape[j]);
            gd_put(text, j > 0 ? "," : ",\"shape\":[");
            gd_put(text, number);
        }
        gd_put(text, inputs[i].dimensions > 0 ? "]}" : "}");
    }
    gd_put(text, "]}");
}

/* One attempt, until `end`. */
static inline gd_status gd_attempt(
    gd_client *client, const char *id, const char *op, const char *params, const gd_input *inputs, size_t count,
    int64_t end, gd_reply *reply) {
    if (!gd_wait(client, ZMQ_POLLOUT, end)) return gd_fail(client, GD_UNAVAILABLE, "no daemon answers there");
    int64_t left = end - gd_now_ms(client);
    gd_text header = GD_NO_TEXT;
    gd_put_header(&header, id, op, params, inputs, count, left > 1 ? left : 1);
    if (header.has_failed) return gd_fail(client, GD_MEMORY, "no memory for a request");
    bool is_sent = gd_send(client, "GD01", 4, false) && gd_send(client, header.data, header.length, count == 0);
    for (size_t i = 0; i < count && is_sent; i++)
        is_sent = gd_send(client, inputs[i].bytes, inputs[i].size, i + 1 == count);
    free(header.data);
    if (!is_sent) return gd_fail(client, GD_UNAVAILABLE, zmq_strerror(errno));
    while (gd_wait(client, ZMQ_POLLIN, end)) {
        bool is_ours = false;
        gd_status status = gd_read_reply(client, id, reply, &is_ours);
        if (is_ours || status != GD_OK) return status;
        gd_reply_free(reply);
    }
    return gd_fail(client, GD_TIMEOUT, "no reply within the timeout");
}

static inline gd_status gd_call(
    gd_client *client, const char *op, const char *params, const gd_input *inputs, size_t count, gd_reply *reply) {
    int64_t end = gd_now_ms(client) + client->timeout_ms;
    char id[32];
    memset(reply, 0, sizeof *reply);
    for (size_t i = 0; i < count; i++) {
        if (inputs[i].dimensions > 0
            && gd_size(inputs[i].datatype, inputs[i].shape, inputs[i].dimensions) != inputs[i].size)
            return gd_fail(client, GD_ARGUMENT, "an input's shape is not that of its bytes");
    }
    for (;;) {
        memset(&client->problem, 0, sizeof client->problem);
        snprintf(id, sizeof id, "c%lu", ++client->calls);
        gd_status status = gd_attempt(client, id, op, params, inputs, count, end, reply);
        if (status == GD_OK) return status;
        const gd_value *error = NULL;
        if (reply->json.count > 0) error = gd_get(&reply->json, reply->json.values, "error");
        int64_t wait = (int64_t)gd_number(gd_get(&reply->json, error, "retry_after_ms"), 100);
        bool is_busy = status == GD_REFUSED && strcmp(client->problem.code, "overloaded") == 0;
        gd_reply_free(reply);
        if (!is_busy || gd_now_ms(client) + wait >= end) return status;
        zmq_poll(NULL, 0, wait > 10 ? (long)wait : 10);
    }
}

static inline const gd_output *gd_find(const gd_reply *reply, const char *name) {
    for (size_t i = 0; i < reply->output_count; i++) {
        if (strcmp(reply->outputs[i].name, name) == 0) return &reply->outputs[i];
    }
    return NULL;
}

static inline bool gd_floats(const gd_output *output, float *to, size_t count) {
    if (output == NULL || strcmp(output->datatype, "FP32") != 0 || output->size != count * sizeof *to)
        return false;
    memcpy(to, output->bytes, output->size);
    return true;
}

static inline gd_input gd_pixels(const float *pixels, int64_t count, int64_t height, int64_t width) {
    gd_input input = {"FP32", {count, 3, height, width}, 4, pixels, 0};
    input.size = gd_size(input.datatype, input.shape, 4);
    return input;
}

static inline gd_input gd_encoded(const void *bytes, size_t size) {
    gd_input input = {"BYTES", {0, 0, 0, 0}, 0, bytes, size};
    return input;
}

/* The number of images in inputs. */
static inline size_t gd_count(const gd_input *inputs, size_t count) {
    size_t images = 0;
    for (size_t i = 0; i < count; i++) images += inputs[i].dimensions > 0 ? (size_t)inputs[i].shape[0] : 1;
    return images;
}

/* Calls with built params and gives them back. */
static inline gd_status gd_call_with(
    gd_client *client, const char *op, gd_text *params, const gd_input *inputs, size_t count, gd_reply *reply) {
    memset(reply, 0, sizeof *reply);
    if (params->has_failed) return gd_fail(client, GD_MEMORY, "no memory for a request");
    gd_status status = gd_call(client, op, params->data, inputs, count, reply);
    free(params->data);
    return status;
}

/* For a reply without the output that was asked for: why the first failed image did, if one failed. */
static inline gd_status gd_lacking(gd_client *client, const gd_reply *reply, const char *message) {
    const gd_json *json = &reply->json;
    const gd_value *item = gd_first(gd_get(json, json->values, "items"));
    const gd_value *error = gd_get(json, item, "error");
    if (error == NULL) return gd_fail(client, GD_MALFORMED, message);
    gd_fail(client, GD_REFUSED, "");
    gd_copy(gd_get(json, error, "code"), client->problem.code, sizeof client->problem.code);
    gd_copy(gd_get(json, error, "message"), client->problem.message, sizeof client->problem.message);
    return GD_REFUSED;
}

static inline gd_status gd_score(
    gd_client *client, const gd_input *inputs, size_t count, const char *const *prompts, size_t prompt_count,
    float *scores) {
    gd_text params = GD_NO_TEXT;
    gd_reply reply;
    gd_put(&params, "{\"prompts\":");
    gd_put_strings(&params, prompts, prompt_count);
    gd_put(&params, "}");
    gd_status status = gd_call_with(client, "score", &params, inputs, count, &reply);
    if (status != GD_OK) return status;
    if (!gd_floats(gd_find(&reply, "scores"), scores, gd_count(inputs, count) * prompt_count))
        status = gd_lacking(client, &reply, "a reply without such scores");
    gd_reply_free(&reply);
    return status;
}

static inline gd_status gd_rank(
    gd_client *client, const gd_input *inputs, size_t count, const char *prompt, size_t *order, float *scores,
    size_t *ranked) {
    gd_text params = GD_NO_TEXT;
    gd_reply reply;
    gd_put(&params, "{\"prompt\":");
    gd_put_string(&params, prompt);
    gd_put(&params, "}");
    gd_status status = gd_call_with(client, "rank", &params, inputs, count, &reply);
    if (status != GD_OK) return status;
    size_t images = gd_count(inputs, count);
    const gd_value *result = gd_get(&reply.json, reply.json.values, "result");
    const gd_value *ranking = gd_get(&reply.json, result, "ranking");
    const gd_value *entry = gd_first(ranking);
    bool is_whole = ranking != NULL && ranking->type == GD_ARRAY && ranking->count <= images;
    *ranked = 0;
    for (size_t i = 0; is_whole && i < ranking->count; i++, entry = gd_next(&reply.json, entry)) {
        double index = gd_number(gd_get(&reply.json, entry, "index"), -1);
        is_whole = index >= 0 && index < (double)images;
        if (!is_whole) break;
        order[i] = (size_t)index;
        scores[i] = (float)gd_number(gd_get(&reply.json, entry, "score"), NAN);
        *ranked = i + 1;
    }
    if (!is_whole) status = gd_fail(client, GD_MALFORMED, "a reply without such a ranking");
    gd_reply_free(&reply);
    return status;
}

static inline gd_status gd_gradient(
    gd_client *client, const float *pixels, int64_t count, int64_t height, int64_t width,
    const char *const *prompts, const double *weights, size_t prompt_count, float *gradient, float *losses) {
    gd_text params = GD_NO_TEXT;
    gd_reply reply;
    gd_input input = gd_pixels(pixels, count, height, width);
    gd_put(&params, "{\"prompts\":");
    gd_put_strings(&params, prompts, prompt_count);
    for (size_t i = 0; weights != NULL && i < prompt_count; i++) {
        if (!(fabs(weights[i]) <= 1e30)) {
            free(params.data);
            return gd_fail(client, GD_ARGUMENT, "a weight that is no finite number");
        }
        gd_put(&params, i > 0 ? "," : ",\"weights\":[");
        gd_put_number(&params, weights[i]);
    }
    gd_put(&params, weights != NULL && prompt_count > 0 ? "]}" : "}");
    gd_status status = gd_call_with(client, "gradient", &params, &input, 1, &reply);
    if (status != GD_OK) return status;
    if (!gd_floats(gd_find(&reply, "gradient"), gradient, input.size / sizeof *gradient)
        || !gd_floats(gd_find(&reply, "loss"), losses, (size_t)count))
        status = gd_lacking(client, &reply, "a reply without such a gradient");
    gd_reply_free(&reply);
    return status;
}

#ifdef __cplusplus
}
#endif
#endif
