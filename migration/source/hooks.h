/*
 * Hybrid live migration, source: the hooks that QEMU's migration code calls.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_MIGRATION_HYBRID_SOURCE_HOOKS_H
#define QEMU_MIGRATION_HYBRID_SOURCE_HOOKS_H

#include "qapi/qapi-types-migration.h"
#include "io/channel-buffer.h"
#include "migration/misc.h"
#include "migration/qemu-file.h"
#include "exec/cpu-common.h"

typedef struct HybridSource HybridSource;
typedef struct MigrationState MigrationState;

/* What the migration thread has to do next, see hybrid_src_tick() */
typedef enum {
    HYBRID_TICK_NONE,       /* not hybrid (or over): upstream's logic */
    HYBRID_TICK_ITERATE,    /* go on sending */
    HYBRID_TICK_BUSY,       /* nothing now, come again */
    HYBRID_TICK_SWITCH,     /* stop the guest: the rounds are over */
} HybridTick;

/* ---- the migration: source/start.c, negotiate.c, rounds.c, state.c ---- */

/* Decide, once per migration, whether it is hybrid.  BQL held. */
void hybrid_src_decide(MigrationState *s, MigrationAddress *addr);

/* An attempt to connect begins, also one of a recovery.  BQL held. */
void hybrid_src_connects(MigrationState *s);

/* The migrate command is refused, by @errp: it is not hybrid then */
void hybrid_src_refused(MigrationState *s, Error **errp);

/*
 * Phase 1: agree with the peer and let it reserve what it needs.  Migration
 * thread, without the BQL, before ADVISE is sent.  Returns false, with the
 * error set in @s, if the migration cannot go on.
 */
bool hybrid_src_negotiate(MigrationState *s);

/* Phase 2: called by the migration thread between two pieces of work. */
HybridTick hybrid_src_tick(MigrationState *s, bool can_switchover);

/* The rounds are hybrid's: nothing else may sync the dirty log */
bool hybrid_src_drives_rounds(void);

/* The switch is a handoff; else the end is upstream's, of precopy */
bool hybrid_src_needs_handoff(void);

/* All memory is there: as soon as the guest runs there, that is the end */
bool hybrid_src_may_complete(MigrationState *s);

/* A dirty bitmap sync ended a pass (upstream's logic): for observe-only */
void hybrid_src_observe(MigrationState *s);

/* The switch sends all that is left of RAM: nothing is missing after it */
bool hybrid_src_completing(void);

/* The peer speaks the handoff protocol */
bool hybrid_src_agreed(void);

/* ---- the stop: source/switch.c, devices.c ---- */

/* The guest has been stopped for the switch; arms the handoff time-out */
void hybrid_src_stopped(MigrationState *s);

/*
 * The guest stands still, the client has no more to say: send what has to be
 * there before the package.  That is all of RAM if the migration completes as
 * precopy; it is sent without the BQL and under the handoff time-out.
 * Called with the BQL; 0 or negative.
 */
int hybrid_src_complete_iterable(MigrationState *s);

/* A device that is being saved reads that when it is loaded.  BQL held. */
void hybrid_src_load_reads(AddressSpace *as, hwaddr addr);

/* ---- the guest is given away: source/grant.c ---- */

/*
 * Phase 3: send the package, wait until the destination has loaded it, hand
 * the guest over.  Called with the BQL, which is dropped meanwhile.  Returns
 * 0 when the guest belongs to the destination, else negative with @errp set:
 * the guest stays here.
 */
int hybrid_src_handoff(MigrationState *s, QIOChannelBuffer *package,
                       Error **errp);

/* The package went to a peer without the handoff protocol */
void hybrid_src_package_sent_plain(void);

/* Ends as precopy: wait until the destination has taken the guest over */
int hybrid_src_wait_running(MigrationState *s);

/* The guest belongs to the destination: it must never run here again */
bool hybrid_src_gave_guest(void);

/*
 * The same, and the destination has said that its vCPUs run.  Paused there, it
 * may never have run: management layers start it, or take it back.
 */
bool hybrid_src_guest_ran_there(void);

/*
 * The stream broke after the guest was given away: make the migration one
 * that is paused and can be recovered.  Returns false if it is not such.
 */
bool hybrid_src_lost_after_grant(MigrationState *s);

/* The stream broke in postcopy: the pause begins */
void hybrid_src_paused(void);

/* Recovery: say GRANT again, it may be what got lost */
void hybrid_src_recover(MigrationState *s);

/* ---- cancel, quit, pause: source/cancel.c ---- */

/*
 * migrate_cancel, which takes part in the handoff's lock.  Returns false if
 * it comes too late, else it is done, by migration_cancel() or during the
 * handoff by what that waits for.  BQL held.
 */
bool hybrid_src_cancel(MigrationState *s);

/* The same for whatever else cancels, with the reason for it */
bool hybrid_src_cancel_because(MigrationState *s, const Error *why);

/*
 * QEMU ends, and with it a guest that is still ours.  The destination is told
 * so; a GRANT that is decided gets out.  Bounded.  BQL held.
 */
void hybrid_src_quit(MigrationState *s);

/*
 * migrate-pause, before the usual pause of postcopy is possible: true if this
 * migration can do something with a connection that is shut down.  Any thread.
 */
bool hybrid_src_may_pause(MigrationState *s);

/* ---- a peer that is silent: source/alive.c; the end: source/end.c ---- */

/*
 * Until hybrid_src_idle_end() the migration thread, which calls these, waits
 * for something, and the stream is between two messages: signs of life may be
 * sent.  May be nested.
 */
void hybrid_src_idle_begin(MigrationState *s);
void hybrid_src_idle_end(MigrationState *s);

/* The preempt channel is being connected, or it is, or will not be */
void hybrid_src_connects_preempt(bool begins);

/* Source is free of the guest, or the migration ended otherwise */
void hybrid_src_done(MigrationState *s);

/* Explain an error of the stream, if hybrid knows more than the errno */
void hybrid_src_explain(Error **err);

/*
 * The stream broke; the destination may have said why.  Waits a moment for
 * that, without the BQL if it can.  True: it did, and it is the migration's
 * error.
 */
bool hybrid_src_hear_out(MigrationState *s);

/* ---- what the destination says: source/messages.c, gate.c, kick.c ---- */

/* Return path: true if the message was a private one and was consumed */
bool hybrid_src_rp_message(MigrationState *s, QEMUFile *rp, uint16_t type,
                           uint16_t len, Error **errp);
void hybrid_src_pong(uint32_t value);

/*
 * Return path: may one of QEMU's own messages be handled now?  False: it is
 * to be ignored, or, with @errp set, an error.
 */
bool hybrid_src_admit(uint16_t type, const uint8_t *body, Error **errp);
void hybrid_src_rp_end(MigrationState *s);

/* A page request was queued: the handoff's wait serves it */
void hybrid_src_kick(void);

/* In the handoff's wait: what is pushed does not come in GRANT's way */
bool hybrid_src_requests_only(void);

/* ---- bulk in flight in postcopy: source/flow.c ---- */

/*
 * So much bulk is in flight on the main channel @f that more would only
 * delay requested pages.  Migration thread.
 */
bool hybrid_flow_full(QEMUFile *f);

/*
 * Wait until hybrid_flow_full(@f) is over or a page is requested.  Migration
 * thread, no locks that the return path or the monitor need.
 */
void hybrid_flow_wait(QEMUFile *f);

/* ---- the next page: source/pick.c; faults: source/push.c ---- */

/*
 * No page is requested: where does the search for the next one begin?  May
 * change @block and @page.  False: nothing is to be sent now.  Migration
 * thread, bitmap_mutex held.
 */
bool hybrid_src_pick(RAMBlock **block, unsigned long *page);

/*
 * The destination has asked for @page; called before it is sent or queued,
 * without bitmap_mutex.
 */
void hybrid_push_fault(RAMBlock *rb, unsigned long page);

/* ---- blocks: source/block.c; the page bitmap: source/page-bitmap.c ---- */

/* What is kept about @rb for this migration is no longer of interest */
void hybrid_block_free(RAMBlock *rb);

/*
 * A bitmap sync has just put the dirty log into rb->bmap: what the page
 * bitmap has kept out of the rounds follows.  Returns what is to be added to
 * the number of dirty pages.  BQL and bitmap_mutex held.
 */
int64_t hybrid_src_page_bitmap_merge(RAMBlock *rb);

/* How many pages it keeps out of @rb->bmap now; bitmap_mutex held */
uint64_t hybrid_src_page_bitmap_kept(RAMBlock *rb);

/*
 * @pages: what ram_save_target_page() returned; 0 is an unchanged page that
 * XBZRLE did not send.  @requested: because the destination asked for it,
 * else by the scan (a round, or the push).
 */
void hybrid_pages_sent(RAMBlock *rb, unsigned long page, int pages,
                       bool requested);

/* ---- differences: source/delta.c ---- */

/*
 * The difference of @page, whose dirty bit the caller has cleared, to what the
 * destination keeps of it: the *@len bytes that follow the page's header with
 * RAM_SAVE_FLAG_XBZRLE in @f, as that is in postcopy, or, if it is sent
 * @in_stop, with RAM_SAVE_FLAG_PAGE besides, as XBZRLE's own is another thing
 * there.  They hold until the next call for @f.  NULL: send the page as a
 * whole.  Two threads with a preempt channel.
 */
const uint8_t *hybrid_src_delta(QEMUFile *f, RAMBlock *rb, unsigned long page,
                                size_t *len, bool *in_stop);

/* ---- discards: source/discard.c ---- */

/*
 * At the stop: have the peer drop the pages of @rb that are stale there.
 * False: it does not know how, do it as upstream.  rb->bmap is in whole host
 * pages.
 */
bool hybrid_src_discard(MigrationState *s, RAMBlock *rb);

#endif
