/*
 * Hybrid live migration, destination: the hooks that QEMU's migration code calls.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_MIGRATION_HYBRID_DESTINATION_HOOKS_H
#define QEMU_MIGRATION_HYBRID_DESTINATION_HOOKS_H

#include "migration/misc.h"
#include "migration/qemu-file.h"
#include "exec/cpu-common.h"

typedef struct MigrationIncomingState MigrationIncomingState;

/* ---- the migration: destination/handoff.c, alive.c, gate.c ---- */

/* The first connection is there, and will be read now */
void hybrid_dst_connected(void);

/* QEMU ends: tell the source why, if it still waits for us.  BQL held. */
void hybrid_dst_quit(MigrationIncomingState *mis);

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
 * The stream broke.  True: there is something to be saved by a pause.  Else the
 * guest will never be ours: LOADED is not said any more.  @running: upstream's
 * answer.
 */
bool hybrid_dst_stream_broke(bool running);

/* The source takes part in a handoff.  Any thread. */
bool hybrid_dst_agreed(void);

/*
 * A direction or a channel is lost.  True: the source has not decided yet, and
 * what it says, ABORT above all, may be there to be read: break nothing.  It
 * notices, too, as it owns the guest.  Should it give the guest away all the
 * same, the channels are broken then.  Any thread.
 */
bool hybrid_dst_hear_out(void);

/* The stream broke; the pause of postcopy begins */
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

/* ---- pages: destination/load.c, info.c ---- */

/*
 * Postcopy, before the header of a page is read from @f: load pages in runs
 * as long as pages of the same block come (see policy/batch.h).  What comes
 * next, or an error, is left in @f.  Only on the main channel, and for blocks
 * whose pages are target pages; page by page as upstream
 *   - on the preempt channel, where requested pages come and nothing else
 *   - when capability postcopy-blocktime is on, which looks at each page
 */
void hybrid_load_pages(MigrationIncomingState *mis, QEMUFile *f, int channel);

/*
 * Differences may come, and one has: after its page's header in @f, for the page
 * at @offset of @rb (see destination/delta.h).  Listen thread, and the one of
 * the preempt channel.  0 or -errno.
 */
bool hybrid_dst_takes_deltas(void);
int hybrid_load_delta(MigrationIncomingState *mis, QEMUFile *f, RAMBlock *rb,
                      uint64_t offset, int channel);

/*
 * The same before the package, where the guest stands still at the source: the
 * page is written to guest memory.  Whether they may come is looked at.
 */
int hybrid_load_delta_in_stop(QEMUFile *f, RAMBlock *rb, uint64_t offset);

/* Pages that now are in guest memory: loaded, or placed at @host */
void hybrid_dst_received(uint64_t pages);
void hybrid_dst_placed(void *host, uint64_t pages);

#endif
