/*
 * A job whose output is checked.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>
#include "../shared/pages.h"
#include "job.h"
#include "serial.h"

#define JOB_BYTES     16384
#define JOB_ROOM      (JOB_BYTES + 1024)    /* more than compressBound() */
#define JOB_LEVEL     6

typedef struct {
    uint32_t crc;               /* as it was before any migration */
    _Atomic uint32_t times;
    uLongf length;
    uint8_t data[JOB_ROOM];     /* the output */
} JobPart;

static JobPart job_part[JOB_PARTS];
static _Atomic uint64_t job_wrong;

/* Words, so that there is something to compress. */
static void job_text(unsigned part, uint8_t text[JOB_BYTES])
{
    uint64_t random = part;

    for (unsigned i = 0; i < JOB_BYTES; i += 8) {
        uint64_t word;

        random += STEP;
        word = mix(mix(random) % 200);
        memcpy(text + i, &word, 8);
    }
}

/* Whether the output is what it was, and what went in comes out again. */
static bool job_part_is_right(unsigned part, const uint8_t *data,
                              uLongf length)
{
    uint8_t text[JOB_BYTES], back[JOB_BYTES];
    uLongf room = sizeof(back);

    job_text(part, text);
    return crc32(0, data, length) == job_part[part].crc &&
           uncompress(back, &room, data, length) == Z_OK &&
           room == JOB_BYTES && !memcmp(text, back, JOB_BYTES);
}

bool begin_job(void)
{
    uint8_t text[JOB_BYTES];

    for (unsigned part = 0; part < JOB_PARTS; part++) {
        JobPart *job = &job_part[part];

        if (job->length) {
            continue;
        }
        job_text(part, text);
        job->length = JOB_ROOM;
        if (compress2(job->data, &job->length, text, JOB_BYTES, JOB_LEVEL) !=
            Z_OK) {
            return false;
        }
        job->crc = crc32(0, job->data, job->length);
    }
    return true;
}

void do_job(unsigned part)
{
    uint8_t text[JOB_BYTES], data[JOB_ROOM];
    uLongf length = sizeof(data);

    job_text(part, text);
    if (compress2(data, &length, text, JOB_BYTES, JOB_LEVEL) != Z_OK ||
        !job_part_is_right(part, data, length)) {
        atomic_fetch_add(&job_wrong, 1);
        say("misread job part=%u", part);
    }
    memcpy(job_part[part].data, data, length);
    job_part[part].length = length;
    atomic_fetch_add(&job_part[part].times, 1);
}

void say_job(void)
{
    uint64_t done = 0, wrong = 0;

    for (unsigned part = 0; part < JOB_PARTS && begin_job(); part++) {
        const JobPart *job = &job_part[part];

        done += atomic_load(&job->times);
        wrong += !job_part_is_right(part, job->data, job->length);
    }
    say("job parts=%u done=%" PRIu64 " wrong=%" PRIu64 " misread=%" PRIu64,
        JOB_PARTS, done, wrong, atomic_load(&job_wrong));
}

const char *corrupt_job(const char *arg)
{
    unsigned part;

    if (sscanf(arg, "%u", &part) != 1 || part >= JOB_PARTS) {
        return "no such part";
    }
    job_part[part].data[10] ^= 1;
    return NULL;
}
