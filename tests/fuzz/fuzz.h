/*
 * What the fuzz targets share.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Each target is a parser with LLVMFuzzerTestOneInput(), as libFuzzer wants
 * it.  tests/fuzz/run builds them with clang and looks for new inputs; replay.c
 * is a main() for any compiler that feeds the inputs kept in tests/fuzz/corpus.
 */

#ifndef HYBRID_TESTS_FUZZ_H
#define HYBRID_TESTS_FUZZ_H

#include "osdep.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The input, from its front; 0 when there is no more */
typedef struct FuzzInput {
    const uint8_t *data;
    size_t size;
} FuzzInput;

static inline uint64_t fuzz_number(FuzzInput *in, unsigned bytes)
{
    uint64_t v = 0;

    while (bytes-- && in->size) {
        v = v << 8 | *in->data++;
        in->size--;
    }
    return v;
}

/* A text, up to the next byte 0 */
static inline char *fuzz_text(FuzzInput *in)
{
    const uint8_t *end = in->size ? memchr(in->data, 0, in->size) : NULL;
    size_t n = end ? (size_t)(end - in->data) : in->size;
    char *text = n ? g_strndup((const char *)in->data, n) : g_strdup("");

    in->data += n + !!end;
    in->size -= n + !!end;
    return text;
}

/* Also in a build without assertions */
#define FUZZ_CHECK(x)                                                   \
    do {                                                                \
        if (!(x)) {                                                     \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__,  \
                    #x);                                                \
            abort();                                                    \
        }                                                               \
    } while (0)

#endif
