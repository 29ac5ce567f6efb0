#include "CPNGReader.h"

#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    png_structp png;
    png_infop info;
    uint8_t *bytes;
    size_t count, capacity;
    jmp_buf jump;
    char message[IMAGE_MESSAGE_SIZE];
} png_writer;

static void on_error(png_structp png, png_const_charp text) {
    png_writer *writer = png_get_error_ptr(png);
    snprintf(writer->message, sizeof writer->message, "%s", text ? text : "unknown error");
    longjmp(writer->jump, 1);
}

static void on_warning(png_structp png, png_const_charp text) {
    (void)png;
    (void)text;
}

static void on_write(png_structp png, png_bytep data, size_t length) {
    png_writer *writer = png_get_io_ptr(png);
    if (length > SIZE_MAX / 2 - writer->count) png_error(png, "the file grows too large");
    size_t needed = writer->count + length;
    if (needed > writer->capacity) {
        size_t capacity = needed * 2;
        uint8_t *bytes = realloc(writer->bytes, capacity);
        if (bytes == NULL) png_error(png, "no memory for the file");
        writer->bytes = bytes;
        writer->capacity = capacity;
    }
    memcpy(writer->bytes + writer->count, data, length);
    writer->count = needed;
}

static void on_flush(png_structp png) { (void)png; }

int image_png_write(
    const uint8_t *pixels, uint32_t width, uint32_t height, int channels, uint8_t **bytes,
    size_t *count, char message[IMAGE_MESSAGE_SIZE]) {
    int color_type = channels == 1 ? PNG_COLOR_TYPE_GRAY
        : channels == 4            ? PNG_COLOR_TYPE_RGB_ALPHA
                                   : PNG_COLOR_TYPE_RGB;
    png_writer *writer = calloc(1, sizeof *writer);
    if (writer == NULL) {
        snprintf(message, IMAGE_MESSAGE_SIZE, "no memory for an encoder");
        return -1;
    }
    snprintf(writer->message, sizeof writer->message, "no memory for an encoder");
    if (setjmp(writer->jump) == 0) {
        writer->png = png_create_write_struct(PNG_LIBPNG_VER_STRING, writer, on_error, on_warning);
        if (writer->png != NULL) writer->info = png_create_info_struct(writer->png);
        if (writer->info != NULL) {
            png_set_write_fn(writer->png, writer, on_write, on_flush);
            png_set_IHDR(
                writer->png, writer->info, width, height, 8, color_type, PNG_INTERLACE_NONE,
                PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
            png_write_info(writer->png, writer->info);
            for (size_t row = 0; row < height; row++) {
                png_write_row(writer->png, pixels + row * (size_t)width * (size_t)channels);
            }
            png_write_end(writer->png, NULL);
            *bytes = writer->bytes;
            *count = writer->count;
            writer->bytes = NULL;
            png_destroy_write_struct(&writer->png, &writer->info);
            free(writer);
            return 0;
        }
    }
    memcpy(message, writer->message, IMAGE_MESSAGE_SIZE);
    if (writer->png != NULL) {
        png_destroy_write_struct(&writer->png, writer->info != NULL ? &writer->info : NULL);
    }
    free(writer->bytes);
    free(writer);
    return -1;
}
