/*
 * Hybrid live migration: the hooks that QEMU's migration code calls.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Every function here may be called in every migration, hybrid or not, and
 * does nothing when this migration is not hybrid.  Whether it is was decided
 * once, by hybrid_src_decide(), and is kept as the migration's own state: no
 * hook looks at a capability.
 */

#ifndef QEMU_MIGRATION_HYBRID_H
#define QEMU_MIGRATION_HYBRID_H

#include "qapi/qapi-types-migration.h"
#include "io/channel-buffer.h"
#include "migration/misc.h"
#include "migration/qemu-file.h"
#include "exec/cpu-common.h"

typedef struct MigrationState MigrationState;
typedef struct MigrationIncomingState MigrationIncomingState;
typedef struct VirtIODevice VirtIODevice;

/*
 * Numbers of the private messages.  They lie far outside what QEMU hands out
 * and are never sent to a peer that did not answer the hello.
 */
#define HYBRID_MIG_CMD    0x6879   /* QEMU_VM_COMMAND, source to destination */
#define HYBRID_RP_MSG     0x6879   /* return path, destination to source */

/* What the migration thread has to do next, see hybrid_src_tick() */
typedef enum {
    HYBRID_TICK_NONE,       /* not hybrid (or over): upstream's logic */
    HYBRID_TICK_ITERATE,    /* go on sending */
    HYBRID_TICK_SWITCH,     /* stop the guest: the rounds are over */
} HybridTick;

/* ---- source: source/start.c ---- */

/*
 * Forget the last migration; called for every migration and snapshot, so
 * that a hook finds hybrid inactive until hybrid_src_decide() says otherwise.
 */
void hybrid_src_reset(void);

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

/* The switch is a handoff; else the end is upstream's, of pre-copy */
bool hybrid_src_needs_handoff(void);

/* All memory is there: as soon as the guest runs there, that is the end */
bool hybrid_src_may_complete(MigrationState *s);

/* A dirty bitmap sync ended a pass (upstream's logic): for observe-only */
void hybrid_src_observe(MigrationState *s);

/* The guest has been stopped for the switch; arms the handoff time-out */
void hybrid_src_stopped(MigrationState *s);

/*
 * The guest stands still, the client has no more to say: send what has to be
 * there before the package.  That is all of RAM if the migration completes as
 * pre-copy; it is sent without the BQL and under the handoff time-out.
 * Called with the BQL; 0 or negative.
 */
int hybrid_src_complete_iterable(MigrationState *s);

/* The switch sends all that is left of RAM: nothing is missing after it */
bool hybrid_src_completing(void);

/* The peer speaks the handoff protocol */
bool hybrid_src_agreed(void);

/*
 * A virtio device is being saved, a ring of it at @avail and @used (0: not
 * set up).  When it is loaded, their indexes are read.  BQL held.
 */
void hybrid_src_saves_ring(VirtIODevice *vdev, hwaddr avail, hwaddr used);

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

/* Ends as pre-copy: wait until the destination has taken the guest over */
int hybrid_src_wait_running(MigrationState *s);

/* The guest belongs to the destination: it must never run here again */
bool hybrid_src_gave_guest(void);

/*
 * The stream broke after the guest was given away: make the migration one
 * that is paused and can be recovered.  Returns false if it is not such.
 */
bool hybrid_src_lost_after_grant(MigrationState *s);

/* The stream broke in post-copy: the pause begins */
void hybrid_src_paused(void);

/* Recovery: say GRANT again, it may be what got lost */
void hybrid_src_recover(MigrationState *s);

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
 * migrate-pause, before the usual pause of post-copy is possible: true if this
 * migration can do something with a connection that is shut down.  Any thread.
 */
bool hybrid_src_may_pause(MigrationState *s);

/*
 * common/alive.c: until hybrid_src_idle_end() the migration thread, which
 * calls these, waits for something, and the stream is between two messages:
 * signs of life may be sent.  May be nested.
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

/* ---- bulk in flight in post-copy, at the source: source/flow.c ---- */

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

/* ---- push order, at the source: source/push.c ---- */

/*
 * No page is requested: where does the search for the next one begin?  May
 * change @block and @page.  False: nothing is to be sent now.  Migration
 * thread, bitmap_mutex held.
 */
bool hybrid_push_pick(RAMBlock **block, unsigned long *page);

/*
 * The destination has asked for @page; called before it is sent or queued,
 * without bitmap_mutex.
 */
void hybrid_push_fault(RAMBlock *rb, unsigned long page);

/* ---- pages at the source: source/pages.c, source/defer.c ---- */

/* What is kept about @rb for this migration is no longer of interest */
void hybrid_block_free(RAMBlock *rb);

/*
 * A bitmap sync has just put the dirty log into rb->bmap: what the page
 * bitmap has kept out of the rounds follows.  Returns what is to be added to
 * the number of dirty pages.  BQL and bitmap_mutex held.
 */
int64_t hybrid_defer_merge(RAMBlock *rb);

/* How many pages it keeps out of @rb->bmap now; bitmap_mutex held */
uint64_t hybrid_defer_kept(RAMBlock *rb);

/*
 * @pages: what ram_save_target_page() returned; 0 is an unchanged page that
 * XBZRLE did not send.  @requested: because the destination asked for it,
 * else by the scan (a round, or the push).
 */
void hybrid_pages_sent(RAMBlock *rb, unsigned long page, int pages,
                       bool requested);

/* ---- source/discard.c ---- */

/*
 * At the stop: have the peer drop the pages of @rb that are stale there.
 * False: it does not know how, do it as upstream.  rb->bmap is in whole host
 * pages.
 */
bool hybrid_src_discard(MigrationState *s, RAMBlock *rb);

/* ---- destination: destination/handoff.c ---- */

/* The first connection is there, and will be read now */
void hybrid_dst_connected(void);

/* The preempt channel is waited for, or not any more */
void hybrid_dst_connects_preempt(bool begins);

/* PING: true if it was the hello of a hybrid source, and was answered */
bool hybrid_dst_ping(MigrationIncomingState *mis, uint32_t value);

/*
 * May a section of @type, or the command @cmd, come from @f now?  @f is the
 * main stream or the package.  0 or -errno.
 */
int hybrid_dst_admit_section(MigrationIncomingState *mis, QEMUFile *f,
                             uint8_t type);
int hybrid_dst_admit_command(MigrationIncomingState *mis, QEMUFile *f,
                             uint16_t cmd);

/* A private message; the stream stands behind its header.  0 or -errno. */
int hybrid_dst_message(MigrationIncomingState *mis, QEMUFile *f,
                       uint16_t len);

/*
 * Postcopy has dropped all that was in the guest's memory: what was reserved
 * for it in pools of huge pages is reserved again.  0 or -errno: others have
 * taken some.
 */
int hybrid_dst_advised(void);

/* The package begins to be loaded.  0 or -errno. */
int hybrid_dst_package(MigrationIncomingState *mis);

/*
 * The package is loaded.  True: the guest must not be started now, @start
 * runs (as a bottom half) when the source has granted it.
 */
bool hybrid_dst_loaded(MigrationIncomingState *mis, QEMUBHFunc *start);

/*
 * In @start: true if the guest was not running at the source and must not
 * be started here either.
 */
bool hybrid_dst_keep_stopped(void);

/* In @start: the guest was started, or left to the management layer */
void hybrid_dst_started(MigrationIncomingState *mis);

/*
 * The listen thread ends, no BQL.  All is here: waits for @start to have run.
 * The stream broke (@load_res negative) and the guest is not ours: it will
 * not be.
 */
void hybrid_dst_listen_end(MigrationIncomingState *mis, int load_res);

/* Before SHUT: the last report to the source */
void hybrid_dst_finish(MigrationIncomingState *mis);

/*
 * The stream broke: is there anything to be saved by a pause?  @running:
 * upstream's answer.  If not, the guest will never be ours.
 */
bool hybrid_dst_may_pause(bool running);

/* The source takes part in a handoff.  Any thread. */
bool hybrid_dst_agreed(void);

/*
 * A direction or a channel is lost.  True: the source has not decided yet, and
 * what it says, ABORT above all, may be there to be read: break nothing.  It
 * notices, too, as it owns the guest.  Should it give the guest away all the
 * same, the channels are broken then.  Any thread.
 */
bool hybrid_dst_hears_out(void);

/* The stream broke; the pause of post-copy begins */
void hybrid_dst_paused(MigrationIncomingState *mis);

/* The load failed, or pauses for another reason than the link: say why */
void hybrid_dst_failed(MigrationIncomingState *mis, const char *text);

/*
 * The stream cannot be loaded, and @n commands were read since that was found.
 * True: another one of the hello or of the settings, which are to be refused,
 * comes next in @f.
 */
bool hybrid_dst_refuses_next(MigrationIncomingState *mis, QEMUFile *f, int n);

/* SETTINGS, when they come, are refused; takes @why, or NULL */
void hybrid_dst_refuse_with(char *why);

/* A vCPU thread @ptid faulted on @addr; the page may just have come */
void hybrid_dst_fault(RAMBlock *rb, uintptr_t addr, uint32_t ptid);

/* ---- destination: destination/load.c ---- */

/*
 * Post-copy, before the header of a page is read from @f: load pages in runs
 * as long as pages of the same block come (see policy/batch.h).  What comes
 * next, or an error, is left in @f.  Only on the main channel, and for blocks
 * whose pages are target pages; page by page as upstream
 *   - on the preempt channel, where requested pages come and nothing else
 *   - when capability postcopy-blocktime is on, which looks at each page
 */
void hybrid_load_pages(MigrationIncomingState *mis, QEMUFile *f, int channel);

/* Pages that now are in guest memory: loaded, or placed at @host */
void hybrid_dst_received(uint64_t pages);
void hybrid_dst_placed(void *host, uint64_t pages);

/* ---- both: info.c ---- */
void hybrid_fill_info(MigrationInfo *info);

#endif
