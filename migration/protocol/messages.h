/*
 * Hybrid live migration: the private messages, and what each looks like.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Hello: QEMU answers any PING with a PONG of the same value and ignores the
 * value of a PONG, so the hello is harmless to every peer.  A destination
 * with this module answers HYBRID_PING_HELLO with HYBRID_PONG_ACK instead.
 *
 * After that, and only then, private messages flow.  Source to destination
 * they are a QEMU_VM_COMMAND with the number HYBRID_MIG_CMD, destination to
 * source a return path message of the type HYBRID_RP_MSG; both carry, after
 * their 16-bit length, in network byte order:
 *
 *   be16 kind      see HybridMessageKind
 *   be16 version   of that kind's body; a reader accepts longer bodies and
 *                  ignores what it does not know (length tells where it ends)
 *   body
 *
 *   SETTINGS  be32 memory over-commit in percent, be32 flags (HYBRID_FLAG_*)
 *             that the source offers, be64 id: a random number that names
 *             this migration.  With HYBRID_FLAG_NEED, which needs no answer:
 *             be64 MigrationHybridMemoryCheck, be64 bytes in the balloon,
 *             be64 number of blocks of which a part is not plugged, for each
 *             be64 bytes of that part, be16 length, name.  With
 *             HYBRID_FLAG_ALIVE: be32 hybrid-peer-timeout, see ALIVE.  Then
 *             be16 length, text that names the running kernel, be16 number of
 *             files of guest memory, for each be64 device, be64 inode (all
 *             may be missing: not told).  With HYBRID_FLAG_DELTA: be32 slots
 *             that the source would like to use, see BASE
 *   SECTIONS  be32 instance id, be32 version, be16 length, name: the head of a
 *             section that will come, and so on up to the end.  Any number of
 *             these before SETTINGS; a destination that knows none ignores
 *             them, one that could not load a section refuses SETTINGS
 *   BLOCKS    be64 bytes, be64 the guest's address if it is the machine's own
 *             memory or a memory device's, else all ones, be16 length, name: a
 *             block of the guest's memory, and so on up to the end.  As SECTIONS
 *   READY     be64 bytes needed, be64 bytes available, be32 flags: those of
 *             the offered ones that the destination takes (missing: none),
 *             be16 number of blocks of its memory that have larger pages than
 *             the target's, for each be64 their size, be16 length, name
 *             (all missing: not told), be32 hybrid-peer-timeout, see ALIVE,
 *             be32 slots that the source may use (missing: none)
 *   REFUSE    be64 bytes needed, be64 bytes available (0, 0: not about
 *             memory), be16 length, text (UTF-8, no terminator)
 *   LOADED    no body
 *   GRANT     be64 id, as in SETTINGS.  After a pause the operator chooses
 *             which destination the source finds: one that waits for the
 *             GRANT of another migration must not take this one.  Comes first
 *             on a recovered connection, before anything is loaded
 *   RUNNING   be32: 1 the vCPUs run, 0 the destination owns the guest, which
 *             is paused (by the guest's state, or until the management
 *             layer's "cont").  If they run, be64 microseconds that they have
 *             run; be64 and be64 microseconds from LOADED sent, and from
 *             GRANT read, until they ran.  The first or all three may be
 *             missing: taken as 0 and as unknown
 *   ABORT     no body: the guest stays at the source, go away
 *   DISCARD   be16 length, name of a block, then ranges of its pages up to the
 *             end (see policy/ranges.h): they are stale, drop them.  Only
 *             with HYBRID_FLAG_DISCARD, and before the package
 *   BASE      be32 slot, be32 version (not 0), be16 length, name of a block,
 *             be64 offset in it, bytes of a page of the target; and so on up to
 *             the end: keep these bytes aside, a difference to them may follow
 *             (stream-format: RAM_SAVE_FLAG_XBZRLE in postcopy, beside
 *             RAM_SAVE_FLAG_PAGE before it).  What was in the slot is
 *             forgotten.  Only for blocks of pages of the target's
 *             size, with HYBRID_FLAG_DELTA, and before the package
 *   DELTAS    to the destination: be32 differences that were sent, all there
 *             will be; to the source: be32, the same, when so many were placed
 *             or answered by RAW.  Only with HYBRID_FLAG_DELTA
 *   RAW       be16 length, name of a block, be64 offset: the page cannot be
 *             made from the difference that came, send it as a whole.  Only
 *             with HYBRID_FLAG_DELTA
 *   DROPPED   no body: there is no memory for a base, so all are given up.  Only
 *             with HYBRID_FLAG_DELTA
 *   PLACED    be64 bytes of the main channel, since it was connected, that
 *             QEMU has read and placed, be32 step: the next PLACED comes when
 *             it is at most so many more.  In postcopy only, only with
 *             HYBRID_FLAG_PLACED
 *   FAILED    be16 length, text as in REFUSE: why the destination fails, or
 *             pauses, after READY.  The end of the connection follows.  Only
 *             with HYBRID_FLAG_FAILED
 *   ALIVE     be32 milliseconds: the sender gives up when it hears nothing for
 *             so long, 0: never.  Whoever reads this does not let a third of
 *             it pass without a message or a page.  Both directions, the
 *             destination's from SETTINGS on.  Only with HYBRID_FLAG_ALIVE
 *   STATS     be64 pages received, be32 number of vCPUs, then per vCPU
 *             be64 microseconds blocked on missing pages
 *
 * Each message that matters to the handoff may be repeated after a recovery.
 */

#ifndef QEMU_MIGRATION_HYBRID_MESSAGES_H
#define QEMU_MIGRATION_HYBRID_MESSAGES_H

#include "encoding.h"

#define HYBRID_PING_HELLO   0x48794201u  /* "HyB", version 1 */
#define HYBRID_PONG_ACK     0x48794281u
/* Round-trip probes: any destination echoes them */
#define HYBRID_PING_RTT     0x48795200u
#define HYBRID_PING_RTT_MASK 0xffffff00u
/* After ADVISE, to an unpatched destination: it has accepted ADVISE */
#define HYBRID_PING_ADVISED 0x48794101u

/* In each message; bodies only ever grow, so readers do not look at it */
#define HYBRID_WIRE_VERSION 1

/*
 * Flags of SETTINGS and READY.  DISCARD: discards are DISCARD messages, which
 * may come while the guest runs; pages that were never sent are not discarded,
 * the destination sees to it that nothing is in their place.  PLACED: the
 * destination says how much of the main channel it has read.  ALIVE: both say
 * that they are there.  FAILED: it says why it failed.  DELTA: the destination
 * keeps bases.
 */
#define HYBRID_FLAG_DISCARD (1u << 0)
/* Bit 1, with message 21, said which vCPU waits; it gained nothing */
#define HYBRID_FLAG_PLACED  (1u << 2)
#define HYBRID_FLAG_ALIVE   (1u << 3)
#define HYBRID_FLAG_FAILED  (1u << 4)
/* The source tells what the guest needs of its memory */
#define HYBRID_FLAG_NEED    (1u << 5)
#define HYBRID_FLAG_DELTA   (1u << 6)
/*
 * Of SETTINGS only, beside FAILED: no offer, but what the source does.  It
 * uses a channel for requested pages, so the destination must, too.
 */
#define HYBRID_FLAG_PREEMPT (1u << 16)
#define HYBRID_FLAGS        (HYBRID_FLAG_DISCARD | HYBRID_FLAG_PLACED | \
                             HYBRID_FLAG_ALIVE | HYBRID_FLAG_FAILED | \
                             HYBRID_FLAG_NEED | HYBRID_FLAG_DELTA)

/*
 * Blocks that SETTINGS names at most: each is 10 bytes and its name of up to
 * 255, so that they fit a message
 */
#define HYBRID_NEED_BLOCKS  100

/* Blocks that READY names at most, for the same reason */
#define HYBRID_SIZED_BLOCKS 100

typedef enum {
    HYBRID_MSG_SETTINGS = 1,
    HYBRID_MSG_GRANT    = 2,
    HYBRID_MSG_ABORT    = 3,
    HYBRID_MSG_DISCARD  = 4,
    HYBRID_MSG_ALIVE_TO_DST = 5,
    HYBRID_MSG_SECTIONS = 6,
    HYBRID_MSG_BASE     = 7,
    HYBRID_MSG_DELTAS_TO_DST = 8,
    HYBRID_MSG_BLOCKS   = 9,
    HYBRID_MSG_READY    = 16,
    HYBRID_MSG_REFUSE   = 17,
    HYBRID_MSG_LOADED   = 18,
    HYBRID_MSG_RUNNING  = 19,
    HYBRID_MSG_STATS    = 20,
    HYBRID_MSG_PLACED   = 22,
    HYBRID_MSG_FAILED   = 23,
    HYBRID_MSG_ALIVE    = 24,
    HYBRID_MSG_DELTAS   = 25,
    HYBRID_MSG_RAW      = 26,
    HYBRID_MSG_DROPPED  = 27,
} HybridMessageKind;

/* A message of @kind with an empty body, for hybrid_msg_put_*() */
HybridMessage hybrid_msg_new(HybridMessageKind kind);

const char *hybrid_msg_str(HybridMessageKind kind);

#endif
