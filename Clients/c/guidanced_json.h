/* JSON for guidanced.h: writes requests' headers, reads those of replies. C99 and C++11. */
#ifndef GUIDANCED_JSON_H
#define GUIDANCED_JSON_H

#include <locale.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A text that grows. After a failed allocation `data` is NULL and stays so. Begin with GD_NO_TEXT. */
typedef struct {
    char *data;
    size_t length, capacity;
    bool has_failed;
} gd_text;

#define GD_NO_TEXT {NULL, 0, 0, false}

typedef enum { GD_NULL, GD_FALSE, GD_TRUE, GD_NUMBER, GD_STRING, GD_ARRAY, GD_OBJECT } gd_type;

/* A value; it lies in its document's list before the values inside it. */
typedef struct {
    gd_type type;
    const char *text; /* a number's digits, or a string's characters between the quotes */
    size_t length;    /* of text */
    size_t count;     /* elements of an array, pairs of an object */
    size_t next;      /* place in the list behind this value and all inside it */
} gd_value;

/* A document; values[0] is the whole. Its texts point into the bytes it was read from. */
typedef struct {
    gd_value *values;
    size_t count, capacity;
} gd_json;

/* Nesting that the protocol allows. */
enum { GD_DEEPEST = 128 };

/* Writing ------------------------------------------------------------------------------------ */

static inline void gd_put_bytes(gd_text *text, const char *bytes, size_t length) {
    if (text->has_failed) return;
    if (text->length + length + 1 > text->capacity) {
        size_t capacity = 2 * (text->length + length + 1);
        char *data = (char *)realloc(text->data, capacity);
        if (data == NULL) {
            free(text->data);
            text->data = NULL;
            text->has_failed = true;
            return;
        }
        text->data = data;
        text->capacity = capacity;
    }
    memcpy(text->data + text->length, bytes, length);
    text->length += length;
    text->data[text->length] = '\0';
}

static inline void gd_put(gd_text *text, const char *string) {
    gd_put_bytes(text, string, strlen(string));
}

/* A string with its quotes; it must be UTF-8, which the daemon checks. */
static inline void gd_put_string(gd_text *text, const char *string) {
    gd_put(text, "\"");
    for (const char *c = string; *c != '\0'; c++) {
        unsigned char byte = (unsigned char)*c;
        char escape[8];
        if (byte == '"' || byte == '\\') {
            escape[0] = '\\';
            escape[1] = *c;
            gd_put_bytes(text, escape, 2);
        } else if (byte < 0x20) {
            snprintf(escape, sizeof escape, "\\u%04x", byte);
            gd_put(text, escape);
        } else {
            gd_put_bytes(text, c, 1);
        }
    }
    gd_put(text, "\"");
}

/* A finite number, whatever the locale's decimal point is. */
static inline void gd_put_number(gd_text *text, double number) {
    char digits[40];
    snprintf(digits, sizeof digits, "%.17g", number);
    const char *point = localeconv()->decimal_point;
    char *found = *point != '.' ? strstr(digits, point) : NULL;
    if (found != NULL) {
        *found = '.';
        memmove(found + 1, found + strlen(point), strlen(found + strlen(point)) + 1);
    }
    gd_put(text, digits);
}

/* A list of strings. */
static inline void gd_put_strings(gd_text *text, const char *const *strings, size_t count) {
    gd_put(text, "[");
    for (size_t i = 0; i < count; i++) {
        if (i > 0) gd_put(text, ",");
        gd_put_string(text, strings[i]);
    }
    gd_put(text, "]");
}

/* Reading ------------------------------------------------------------------------------------ */

typedef struct {
    const char *at, *end;
    gd_json *json;
} gd_reader;

static inline void gd_skip_space(gd_reader *reader) {
    while (reader->at < reader->end && strchr(" \t\r\n", *reader->at) != NULL && *reader->at != '\0')
        reader->at++;
}

/* Place of a new value in the list, or SIZE_MAX. */
static inline size_t gd_append(gd_json *json, gd_type type) {
    if (json->count == json->capacity) {
        size_t capacity = json->capacity == 0 ? 64 : 2 * json->capacity;
        gd_value *values = (gd_value *)realloc(json->values, capacity * sizeof *values);
        if (values == NULL) return (size_t)-1;
        json->values = values;
        json->capacity = capacity;
    }
    memset(&json->values[json->count], 0, sizeof *json->values);
    json->values[json->count].type = type;
    return json->count++;
}

static inline bool gd_read_string(gd_reader *reader) {
    size_t place = gd_append(reader->json, GD_STRING);
    if (place == (size_t)-1) return false;
    const char *start = ++reader->at;
    while (reader->at < reader->end && *reader->at != '"') {
        if ((unsigned char)*reader->at < 0x20) return false;
        reader->at += *reader->at == '\\' && reader->end - reader->at > 1 ? 2 : 1;
    }
    if (reader->at >= reader->end) return false;
    gd_value *value = &reader->json->values[place];
    value->text = start;
    value->length = (size_t)(reader->at - start);
    value->next = reader->json->count;
    reader->at++;
    return true;
}

static inline bool gd_read_word(gd_reader *reader, const char *word, gd_type type) {
    size_t length = strlen(word);
    if ((size_t)(reader->end - reader->at) < length || memcmp(reader->at, word, length) != 0)
        return false;
    size_t place = gd_append(reader->json, type);
    if (place == (size_t)-1) return false;
    reader->at += length;
    reader->json->values[place].next = reader->json->count;
    return true;
}

/* Passes over digits; false if there are none. */
static inline bool gd_skip_digits(gd_reader *reader) {
    const char *start = reader->at;
    while (reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9') reader->at++;
    return reader->at > start;
}

/* Passes over one of some characters, if it comes next. */
static inline bool gd_skip_one(gd_reader *reader, char first, char second) {
    bool is_there = reader->at < reader->end && (*reader->at == first || *reader->at == second);
    if (is_there) reader->at++;
    return is_there;
}

static inline bool gd_read_number(gd_reader *reader) {
    const char *start = reader->at;
    gd_skip_one(reader, '-', '-');
    if (!gd_skip_digits(reader)) return false;
    if (gd_skip_one(reader, '.', '.') && !gd_skip_digits(reader)) return false;
    if (gd_skip_one(reader, 'e', 'E')) {
        gd_skip_one(reader, '+', '-');
        if (!gd_skip_digits(reader)) return false;
    }
    size_t place = gd_append(reader->json, GD_NUMBER);
    if (place == (size_t)-1) return false;
    gd_value *value = &reader->json->values[place];
    value->text = start;
    value->length = (size_t)(reader->at - start);
    value->next = reader->json->count;
    return true;
}

static inline bool gd_read_value(gd_reader *reader, int depth);

static inline bool gd_read_container(gd_reader *reader, int depth) {
    bool is_object = *reader->at == '{';
    char close = is_object ? '}' : ']';
    size_t place = gd_append(reader->json, is_object ? GD_OBJECT : GD_ARRAY);
    if (place == (size_t)-1 || depth == GD_DEEPEST) return false;
    size_t count = 0;
    reader->at++;
    for (;;) {
        gd_skip_space(reader);
        if (reader->at >= reader->end) return false;
        if (*reader->at == close && count == 0) break;
        if (is_object) {
            if (*reader->at != '"' || !gd_read_string(reader)) return false;
            gd_skip_space(reader);
            if (reader->at >= reader->end || *reader->at != ':') return false;
            reader->at++;
        }
        if (!gd_read_value(reader, depth + 1)) return false;
        count++;
        gd_skip_space(reader);
        if (reader->at >= reader->end) return false;
        if (*reader->at == close) break;
        if (*reader->at != ',') return false;
        reader->at++;
    }
    reader->at++;
    reader->json->values[place].count = count;
    reader->json->values[place].next = reader->json->count;
    return true;
}

static inline bool gd_read_value(gd_reader *reader, int depth) {
    gd_skip_space(reader);
    if (reader->at >= reader->end) return false;
    switch (*reader->at) {
        case '{':
        case '[': return gd_read_container(reader, depth);
        case '"': return gd_read_string(reader);
        case 't': return gd_read_word(reader, "true", GD_TRUE);
        case 'f': return gd_read_word(reader, "false", GD_FALSE);
        case 'n': return gd_read_word(reader, "null", GD_NULL);
        default: return gd_read_number(reader);
    }
}

static inline void gd_json_free(gd_json *json) {
    free(json->values);
    memset(json, 0, sizeof *json);
}

/* Reads a document out of bytes that outlive it; false for what is no JSON, or without memory. */
static inline bool gd_json_read(gd_json *json, const char *bytes, size_t length) {
    gd_reader reader = {bytes, bytes + length, json};
    memset(json, 0, sizeof *json);
    bool is_read = gd_read_value(&reader, 0);
    gd_skip_space(&reader);
    if (is_read && reader.at == reader.end) return true;
    gd_json_free(json);
    return false;
}

/* Whether a string is a word; escapes are not looked into. */
static inline bool gd_is(const gd_value *value, const char *word) {
    return value != NULL && value->type == GD_STRING && value->length == strlen(word)
        && memcmp(value->text, word, value->length) == 0;
}

/* The value of an object's key, or NULL; also for NULL and for what is no object. */
static inline const gd_value *gd_get(const gd_json *json, const gd_value *object, const char *key) {
    if (object == NULL || object->type != GD_OBJECT) return NULL;
    const gd_value *name = object + 1;
    for (size_t i = 0; i < object->count; i++) {
        const gd_value *value = name + 1;
        if (gd_is(name, key)) return value;
        name = json->values + value->next;
    }
    return NULL;
}

/* The first element of an array, or NULL; each `gd_next` is the one behind it. */
static inline const gd_value *gd_first(const gd_value *array) {
    return array != NULL && array->type == GD_ARRAY && array->count > 0 ? array + 1 : NULL;
}

static inline const gd_value *gd_next(const gd_json *json, const gd_value *value) {
    return json->values + value->next;
}

/* A number, or what stands in its place; whatever the locale's decimal point is. */
static inline double gd_number(const gd_value *value, double otherwise) {
    char digits[64];
    if (value == NULL || value->type != GD_NUMBER || value->length > sizeof digits / 2) return otherwise;
    const char *point = localeconv()->decimal_point;
    size_t length = 0;
    for (size_t i = 0; i < value->length; i++) {
        if (value->text[i] == '.' && strlen(point) < 8) {
            memcpy(digits + length, point, strlen(point));
            length += strlen(point);
        } else {
            digits[length++] = value->text[i];
        }
    }
    digits[length] = '\0';
    return strtod(digits, NULL);
}

static inline size_t gd_put_scalar(unsigned long code, char *to) {
    if (code < 0x80) {
        to[0] = (char)code;
        return 1;
    }
    size_t length = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = length; i-- > 1; code >>= 6) to[i] = (char)(0x80 | (code & 0x3F));
    to[0] = (char)((0xF0UL << (4 - length)) | code);
    return length;
}

static inline unsigned long gd_hexadecimal(const char *at, const char *end) {
    char digits[5] = {0};
    if (end - at < 4) return 0xFFFD;
    memcpy(digits, at, 4);
    return strtoul(digits, NULL, 16);
}

/* Copies a string as UTF-8, escapes resolved, cut to the room there is; "" for what is no string. */
static inline void gd_copy(const gd_value *value, char *to, size_t capacity) {
    size_t length = 0;
    if (capacity == 0) return;
    if (value != NULL && value->type == GD_STRING) {
        const char *end = value->text + value->length;
        for (const char *at = value->text; at < end;) {
            char bytes[4] = {*at};
            size_t count = 1;
            if (*at++ == '\\' && at < end) {
                char kind = *at++;
                const char *plain = strchr("b\bf\fn\nr\rt\t", kind);
                bytes[0] = plain != NULL && kind != '\0' ? plain[1] : kind;
                if (kind == 'u') {
                    unsigned long code = gd_hexadecimal(at, end);
                    at += end - at < 4 ? end - at : 4;
                    if (code >= 0xD800 && code < 0xDC00 && end - at >= 6 && at[0] == '\\') {
                        code = 0x10000 + ((code - 0xD800) << 10) + (gd_hexadecimal(at + 2, end) - 0xDC00);
                        at += 6;
                    }
                    count = gd_put_scalar(code > 0x10FFFF ? 0xFFFD : code, bytes);
                }
            }
            if (length + count >= capacity) {
                /* Not a part of a character. */
                while (length > 0 && ((unsigned char)to[length - 1] & 0xC0) == 0x80) length--;
                if (length > 0 && (unsigned char)to[length - 1] >= 0xC0) length--;
                break;
            }
            memcpy(to + length, bytes, count);
            length += count;
        }
    }
    to[length] = '\0';
}

#ifdef __cplusplus
}
#endif
#endif
