/*
 * Hybrid live migration: encoding and decoding of a message.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The private messages are numbers in network byte order and texts, one after
 * the other; protocol/messages.h says which.  Whatever a peer has put into one,
 * it is read without harm: what lies behind the end is 0 or empty, and @overrun
 * says that it was asked for.  Reading takes no more memory than the message
 * has bytes, but for a constant factor (64).
 */

#ifndef QEMU_MIGRATION_HYBRID_ENCODING_H
#define QEMU_MIGRATION_HYBRID_ENCODING_H

#include "../osdep.h"

/*
 * The largest body that either side sends or accepts, in bytes: as much as a
 * QEMUFile's buffer holds
 */
#define HYBRID_MSG_MAX_BODY 32768

/* A message being built, or one that was received; plain buffer */
typedef struct HybridMessage {
    GByteArray *bytes;      /* kind, version and body */
    size_t pos;             /* reader's position */
    bool overrun;           /* read past the end: message too short */
} HybridMessage;

void hybrid_msg_put_be16(HybridMessage *m, uint16_t v);
void hybrid_msg_put_be32(HybridMessage *m, uint32_t v);
void hybrid_msg_put_be64(HybridMessage *m, uint64_t v);
void hybrid_msg_put_text(HybridMessage *m, const char *text);
void hybrid_msg_put_bytes(HybridMessage *m, const uint8_t *bytes, size_t n);

/* The body may have @n more bytes; a text takes two besides its own */
bool hybrid_msg_has_room(const HybridMessage *m, size_t n);

/* Bytes of the body that have not been read: what an older peer leaves out */
size_t hybrid_msg_left(const HybridMessage *m);
uint16_t hybrid_msg_get_be16(HybridMessage *m);
uint32_t hybrid_msg_get_be32(HybridMessage *m);
uint64_t hybrid_msg_get_be64(HybridMessage *m);
char *hybrid_msg_get_text(HybridMessage *m);
/* They lie in @m; NULL, and overrun, if there are not so many */
const uint8_t *hybrid_msg_get_bytes(HybridMessage *m, size_t n);
/* For people: see hybrid_peer_text() */
char *hybrid_msg_get_clean_text(HybridMessage *m);
/* @n times a be64 and the name that it belongs to: name -> uint64_t * */
GHashTable *hybrid_msg_get_sizes(HybridMessage *m, uint64_t n);
/* @n times a be64 */
GArray *hybrid_msg_get_numbers(HybridMessage *m, uint64_t n);
void hybrid_msg_free(HybridMessage *m);

/*
 * Text of a peer, for logs and QMP: valid UTF-8 without control characters,
 * which could forge lines of a log or move a terminal's cursor, and not
 * longer than HYBRID_PEER_TEXT_MAX bytes (chosen: an error and its causes in
 * a few lines).  @n bytes at @text.
 */
#define HYBRID_PEER_TEXT_MAX 1024
char *hybrid_peer_text(const char *text, size_t n);

#endif
