#include "CPNGReader.h"
#include "filters.h"

#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

struct image_png_reader {
    png_structp png;
    png_infop info;
    const uint8_t *bytes;
    size_t count, position;
    uint32_t width, height;
    size_t channels, row_bytes;
    int is_plain;
    jmp_buf jump;
    char message[IMAGE_MESSAGE_SIZE];
};

// Metadata that does not change a pixel. Skipping it unread (its checksum is still verified)
// leaves nothing in it to inflate, hold or get wrong.
static const png_byte skipped_chunks[] =
    "bKGD\0cHRM\0eXIf\0gAMA\0hIST\0iCCP\0iTXt\0oFFs\0pCAL\0pHYs\0sBIT\0sCAL\0sPLT\0sRGB\0"
    "tEXt\0tIME\0zTXt";

static void on_error(png_structp png, png_const_charp text) {
    image_png_reader *reader = png_get_error_ptr(png);
    snprintf(reader->message, sizeof reader->message, "%s", text ? text : "unknown error");
    longjmp(reader->jump, 1);
}

// libpng drops a chunk that it cannot make sense of and goes on. A transparency that is dropped
// would change the picture without a word.
static void on_warning(png_structp png, png_const_charp text) {
    if (text != NULL && strncmp(text, "tRNS:", 5) == 0) on_error(png, text);
}

static void on_read(png_structp png, png_bytep data, size_t length) {
    image_png_reader *reader = png_get_io_ptr(png);
    if (length > reader->count - reader->position) png_error(png, "the file ends early");
    memcpy(data, reader->bytes + reader->position, length);
    reader->position += length;
}

static void read_header(image_png_reader *reader, image_png_header *header) {
    png_structp png = reader->png;
    png_infop info = reader->info;
    png_read_info(png, info);

    header->width = png_get_image_width(png, info);
    header->height = png_get_image_height(png, info);
    header->bit_depth = png_get_bit_depth(png, info);
    header->color_type = png_get_color_type(png, info);

    png_colorp palette = NULL;
    int palette_count = 0;
    if (header->color_type == PNG_COLOR_TYPE_PALETTE
        && png_get_PLTE(png, info, &palette, &palette_count) != 0 && palette != NULL) {
        if (palette_count > 256) palette_count = 256;
        header->palette_count = (uint16_t)palette_count;
        for (int i = 0; i < palette_count; i++) {
            header->palette[3 * i] = palette[i].red;
            header->palette[3 * i + 1] = palette[i].green;
            header->palette[3 * i + 2] = palette[i].blue;
        }
    }

    png_bytep alpha = NULL;
    int alpha_count = 0;
    png_color_16p color = NULL;
    if (png_get_tRNS(png, info, &alpha, &alpha_count, &color) != 0) {
        if (header->color_type == PNG_COLOR_TYPE_PALETTE) {
            if (alpha != NULL && alpha_count > 0) {
                if (alpha_count > 256) alpha_count = 256;
                header->palette_alpha_count = (uint16_t)alpha_count;
                memcpy(header->palette_alpha, alpha, (size_t)alpha_count);
            }
        } else if (color != NULL) {
            header->has_transparent_color = 1;
            int grey = header->color_type == PNG_COLOR_TYPE_GRAY;
            header->transparent_color[0] = grey ? color->gray : color->red;
            header->transparent_color[1] = color->green;
            header->transparent_color[2] = color->blue;
        }
    }

    // Rows that are delivered as they are stored are read without libpng; see read_plain.
    reader->is_plain = header->bit_depth == 8
        && png_get_interlace_type(png, info) == PNG_INTERLACE_NONE;

    // One byte a sample, except for 16-bit grey, which keeps its precision. Colour of 16 bits
    // keeps the high byte.
    if (header->bit_depth < 8) {
        if (header->color_type == PNG_COLOR_TYPE_GRAY) {
            png_set_expand_gray_1_2_4_to_8(png);
        } else {
            png_set_packing(png);
        }
    } else if (header->bit_depth == 16) {
        if (header->color_type == PNG_COLOR_TYPE_GRAY) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
            png_set_swap(png);
#endif
        } else {
            png_set_strip_16(png);
        }
    }
    if (!reader->is_plain) {
        png_set_interlace_handling(png);
        png_read_update_info(png, info);
    }

    header->channels = png_get_channels(png, info);
    header->sample_size = png_get_bit_depth(png, info) == 16 ? 2 : 1;
    reader->width = header->width;
    reader->height = header->height;
    reader->channels = header->channels;
    reader->row_bytes = png_get_rowbytes(png, info);
    size_t expected = (size_t)header->width * header->channels * header->sample_size;
    if (reader->row_bytes != expected) png_error(png, "rows of an unexpected size");
}

image_png_reader *image_png_open(
    const uint8_t *bytes, size_t count, uint32_t max_width, uint32_t max_height, size_t max_chunk,
    image_png_header *header, char message[IMAGE_MESSAGE_SIZE]) {
    memset(header, 0, sizeof *header);
    image_png_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL) {
        snprintf(message, IMAGE_MESSAGE_SIZE, "no memory for a decoder");
        return NULL;
    }
    reader->bytes = bytes;
    reader->count = count;
    snprintf(reader->message, sizeof reader->message, "no memory for a decoder");

    // Everything the code after a jump needs lives in `reader`, which is not modified as a
    // variable, so no local has to be volatile.
    if (setjmp(reader->jump) == 0) {
        reader->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, reader, on_error, on_warning);
        if (reader->png != NULL) reader->info = png_create_info_struct(reader->png);
        if (reader->info != NULL) {
            png_set_read_fn(reader->png, reader, on_read);
            png_set_user_limits(reader->png, max_width, max_height);
            png_set_chunk_malloc_max(reader->png, max_chunk);
            png_set_chunk_cache_max(reader->png, 128);
            png_set_benign_errors(reader->png, 1);
            png_set_crc_action(reader->png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
            png_set_keep_unknown_chunks(
                reader->png, PNG_HANDLE_CHUNK_NEVER, skipped_chunks,
                (int)(sizeof skipped_chunks / 5));
            read_header(reader, header);
            return reader;
        }
    }
    memcpy(message, reader->message, IMAGE_MESSAGE_SIZE);
    image_png_close(reader);
    return NULL;
}

// --- Plain rows --------------------------------------------------------------------------------------
//
// libpng inflates one row at a time and, as Debian builds it, undoes the filters byte by byte, which
// takes longer than zlib's part. For 8-bit samples without interlacing, most of all files, nothing
// but the filters lies between the stream and the pixels. libpng has read up to the type of the first
// IDAT chunk; what follows is as strict as it is, checksums included.

/// Gives zlib the IDAT chunk whose data start at `position`, once its checksum is verified. Returns
/// NULL or what is wrong.
static const char *enter_chunk(image_png_reader *reader, z_stream *stream) {
    const uint8_t *data = reader->bytes + reader->position;
    const size_t left = reader->count - reader->position;
    const uint32_t length = png_get_uint_32(data - 8);
    if (left < 4 || length > left - 4 || length > PNG_UINT_31_MAX) return "the file ends early";
    // Once for the type and the data, which lie side by side.
    if (crc32(0, data - 4, 4 + (uInt)length) != png_get_uint_32(data + length))
        return "IDAT: CRC error";
    stream->next_in = (Bytef *)data;
    stream->avail_in = (uInt)length;
    reader->position += (size_t)length + 4;
    return NULL;
}

/// Inflates until the output is full, or the stream has ended (`*ended`). Returns NULL or what is wrong.
static const char *fill(image_png_reader *reader, z_stream *stream, int *ended) {
    while (stream->avail_out > 0 && !*ended) {
        while (stream->avail_in == 0) {
            if (reader->count - reader->position < 8) return "the file ends early";
            if (memcmp(reader->bytes + reader->position + 4, "IDAT", 4) != 0)
                return "not enough image data";
            reader->position += 8;
            const char *problem = enter_chunk(reader, stream);
            if (problem != NULL) return problem;
        }
        const int status = inflate(stream, Z_NO_FLUSH);
        if (status == Z_STREAM_END)
            *ended = 1;
        else if (status == Z_NEED_DICT)
            return "IDAT: a dictionary that PNG does not have";
        else if (status == Z_MEM_ERROR)
            return "no memory for a decoder";
        else if (status != Z_OK && status != Z_BUF_ERROR)
            return stream->msg != NULL ? stream->msg : "IDAT: damaged";
    }
    return NULL;
}

/// Bytes of rows that are inflated before their filters are undone: they stay in the second cache.
#define BATCH_BYTES ((size_t)128 << 10)

static const char *read_rows(
    image_png_reader *reader, z_stream *stream, uint8_t *coded, size_t batch, const uint8_t *zeros,
    uint8_t *pixels) {
    const uint8_t *above = zeros;
    int ended = 0;
    const char *problem = enter_chunk(reader, stream);
    for (size_t row = 0; row < reader->height && problem == NULL;) {
        const size_t rows = reader->height - row < batch ? reader->height - row : batch;
        stream->next_out = coded;
        stream->avail_out = (uInt)(rows * (1 + reader->row_bytes));
        problem = fill(reader, stream, &ended);
        if (problem != NULL) break;
        if (stream->avail_out > 0) return "not enough image data";
        if (image_png_unfilter(coded, rows, reader->width, reader->channels, above, pixels) != 0)
            return "bad adaptive filter value";
        pixels += rows * reader->row_bytes;
        above = pixels - reader->row_bytes;
        row += rows;
    }
    if (problem != NULL) return problem;
    // The stream's end brings its checksum. Surplus data are harmless and not gone through.
    stream->next_out = coded;
    stream->avail_out = 1;
    return fill(reader, stream, &ended);
}

static int read_plain(image_png_reader *reader, uint8_t *pixels, char *message) {
    const size_t coded_row = 1 + reader->row_bytes;
    size_t batch = BATCH_BYTES / coded_row;
    if (batch == 0) batch = 1;
    if (batch > reader->height) batch = reader->height;
    const size_t coded_bytes = batch * coded_row + FILTER_SLACK;
    uint8_t *memory = malloc(coded_bytes + reader->row_bytes + FILTER_SLACK);
    z_stream stream = {0};
    if (memory == NULL || inflateInit(&stream) != Z_OK) {
        free(memory);
        snprintf(message, IMAGE_MESSAGE_SIZE, "no memory for a decoder");
        return -1;
    }
    memset(memory + coded_bytes - FILTER_SLACK, 0, reader->row_bytes + 2 * FILTER_SLACK);
    const char *problem =
        read_rows(reader, &stream, memory, batch, memory + coded_bytes, pixels);
    if (problem != NULL) snprintf(message, IMAGE_MESSAGE_SIZE, "%s", problem);
    inflateEnd(&stream);
    free(memory);
    return problem == NULL ? 0 : -1;
}

int image_png_read(
    image_png_reader *reader, uint8_t *pixels, size_t capacity, char message[IMAGE_MESSAGE_SIZE]) {
    if (reader->height == 0 || capacity / reader->height != reader->row_bytes
        || capacity % reader->height != 0) {
        snprintf(message, IMAGE_MESSAGE_SIZE, "a buffer of the wrong size");
        return -1;
    }
    if (reader->is_plain) return read_plain(reader, pixels, message);
    if (setjmp(reader->jump) == 0) {
        int passes = png_get_interlace_type(reader->png, reader->info) == PNG_INTERLACE_NONE
            ? 1 : PNG_INTERLACE_ADAM7_PASSES;
        for (int pass = 0; pass < passes; pass++) {
            for (size_t row = 0; row < reader->height; row++) {
                png_read_row(reader->png, pixels + row * reader->row_bytes, NULL);
            }
        }
        return 0;
    }
    memcpy(message, reader->message, IMAGE_MESSAGE_SIZE);
    return -1;
}

void image_png_close(image_png_reader *reader) {
    if (reader == NULL) return;
    if (reader->png != NULL) {
        png_destroy_read_struct(&reader->png, reader->info != NULL ? &reader->info : NULL, NULL);
    }
    free(reader);
}

void image_free(void *bytes) { free(bytes); }
