/*
 * Hybrid live migration: encoding and decoding of a message.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "../osdep.h"
#include "encoding.h"

static void put(HybridMessage *m, const void *p, size_t n)
{
    g_byte_array_append(m->bytes, p, n);
}

void hybrid_msg_put_be16(HybridMessage *m, uint16_t v)
{
    v = GUINT16_TO_BE(v);
    put(m, &v, sizeof(v));
}

void hybrid_msg_put_be32(HybridMessage *m, uint32_t v)
{
    v = GUINT32_TO_BE(v);
    put(m, &v, sizeof(v));
}

void hybrid_msg_put_be64(HybridMessage *m, uint64_t v)
{
    v = GUINT64_TO_BE(v);
    put(m, &v, sizeof(v));
}

void hybrid_msg_put_text(HybridMessage *m, const char *text)
{
    size_t n = MIN(strlen(text), HYBRID_MSG_MAX_BODY / 2);

    hybrid_msg_put_be16(m, n);
    put(m, text, n);
}

void hybrid_msg_put_bytes(HybridMessage *m, const uint8_t *bytes, size_t n)
{
    put(m, bytes, n);
}

static void get(HybridMessage *m, void *p, size_t n)
{
    if (m->bytes->len - m->pos < n) {
        m->overrun = true;
        memset(p, 0, n);
        return;
    }
    memcpy(p, m->bytes->data + m->pos, n);
    m->pos += n;
}

bool hybrid_msg_has_room(const HybridMessage *m, size_t n)
{
    /* Kind and version stand before the body */
    return m->bytes->len - 4 + n <= HYBRID_MSG_MAX_BODY;
}

size_t hybrid_msg_left(const HybridMessage *m)
{
    return m->bytes->len - m->pos;
}

uint16_t hybrid_msg_get_be16(HybridMessage *m)
{
    uint16_t v;

    get(m, &v, sizeof(v));
    return GUINT16_FROM_BE(v);
}

uint32_t hybrid_msg_get_be32(HybridMessage *m)
{
    uint32_t v;

    get(m, &v, sizeof(v));
    return GUINT32_FROM_BE(v);
}

uint64_t hybrid_msg_get_be64(HybridMessage *m)
{
    uint64_t v;

    get(m, &v, sizeof(v));
    return GUINT64_FROM_BE(v);
}

const uint8_t *hybrid_msg_get_bytes(HybridMessage *m, size_t n)
{
    const uint8_t *bytes = m->bytes->data + m->pos;

    if (m->overrun || n > hybrid_msg_left(m)) {
        m->overrun = true;
        return NULL;
    }
    m->pos += n;
    return bytes;
}

char *hybrid_msg_get_text(HybridMessage *m)
{
    uint16_t n = hybrid_msg_get_be16(m);
    char *text;

    /* A length that lies costs no memory */
    if (n > hybrid_msg_left(m)) {
        m->overrun = true;
        n = 0;
    }
    text = g_malloc0(n + 1);
    get(m, text, n);
    return text;
}

char *hybrid_msg_get_clean_text(HybridMessage *m)
{
    g_autofree char *text = hybrid_msg_get_text(m);

    return hybrid_peer_text(text, strlen(text));
}

GHashTable *hybrid_msg_get_sizes(HybridMessage *m, uint64_t n)
{
    GHashTable *sizes = g_hash_table_new_full(g_str_hash, g_str_equal, g_free,
                                              g_free);

    while (n-- && !m->overrun) {
        uint64_t *size = g_new(uint64_t, 1);

        *size = hybrid_msg_get_be64(m);
        g_hash_table_insert(sizes, hybrid_msg_get_text(m), size);
    }
    return sizes;
}

GArray *hybrid_msg_get_numbers(HybridMessage *m, uint64_t n)
{
    GArray *numbers = g_array_new(false, true, sizeof(uint64_t));

    while (n-- && !m->overrun) {
        uint64_t number = hybrid_msg_get_be64(m);

        g_array_append_val(numbers, number);
    }
    return numbers;
}

void hybrid_msg_free(HybridMessage *m)
{
    g_clear_pointer(&m->bytes, g_byte_array_unref);
}

char *hybrid_peer_text(const char *text, size_t n)
{
    g_autofree char *valid = NULL;
    GString *clean = g_string_new(NULL);

    /* A byte that is not valid becomes three: bound it before and after */
    valid = g_utf8_make_valid(text, MIN(n, HYBRID_PEER_TEXT_MAX));
    for (const char *p = valid; *p; p = g_utf8_next_char(p)) {
        gunichar c = g_utf8_get_char(p);
        const char *next = g_utf8_next_char(p);

        if (clean->len + (next - p) > HYBRID_PEER_TEXT_MAX) {
            break;
        }
        if (g_unichar_isprint(c) && c != 0x2028 && c != 0x2029) {
            g_string_append_len(clean, p, next - p);
        } else {
            g_string_append_c(clean, '?');
        }
    }
    return g_string_free(clean, FALSE);
}
