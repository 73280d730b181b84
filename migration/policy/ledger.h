/*
 * Hybrid live migration: the host's ledger of incoming guests.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A guest that is coming in has touched little of its memory, so the host
 * still shows it as available; the next one that asks must not count on it,
 * too.  Each destination therefore claims, in a directory that all QEMUs of
 * the host share, the bytes that its guest has yet to touch.  Used like this:
 *
 *     hybrid_ledger_lock(l)
 *     hybrid_ledger_others(l)      subtract it from what is available
 *     hybrid_ledger_claim(l, ...)  if the guest fits
 *     hybrid_ledger_unlock(l)
 *     hybrid_ledger_update(l, ...) while its memory fills
 *     hybrid_ledger_close(l)       the claim is gone
 *
 * Each user has a directory of his own, in which nobody else can write: who
 * could, could claim all memory, remove claims, or hide them among thousands
 * of files.  What counts are the claims of the same user and of root, which
 * others only read.  The first user to come has the directory's plain name,
 * all others have theirs with their number behind it.
 *
 * A directory holds one file for the lock and one for each claim, the text
 * "BYTES CGROUP\n", then a line "WORD BYTES\n" for each other kind of memory,
 * as pools of huge pages.  Accesses of its user are made with the directory
 * locked, so none of them sees half of a claim.  The owner holds a lock on its
 * claim: a claim whose lock can be taken belongs to a process that has died,
 * whatever its number in whatever pid namespace, and is removed by who finds
 * it.
 *
 * Locks belong to the open file, not to the process (flock() for the
 * directory, "open file description locks" for claims): to open and close the
 * same file elsewhere does not drop them, and they end with the last
 * descriptor.  All are opened close-on-exec, so a helper that QEMU starts does
 * not keep a claim alive.  A child that only forks shares the claim;
 * hybrid_ledger_close() ends it for both.
 *
 * The ledger is an agreement between processes that mean well; nobody can
 * make a QEMU open, create or remove anything outside the directory, or wait
 * longer than HYBRID_LEDGER_PATIENCE_MS.  If a ledger cannot be had, NULL is
 * one in which nothing is claimed: all functions accept it.
 *
 * Locking: the caller serialises calls on one HybridLedger.
 */

#ifndef QEMU_MIGRATION_HYBRID_LEDGER_H
#define QEMU_MIGRATION_HYBRID_LEDGER_H

#define HYBRID_LEDGER_DEFAULT_DIR "/dev/shm/qemu-hybrid"

/*
 * The longest time that hybrid_ledger_lock() waits.  Chosen: it is held while a
 * few files are read, and the main loop waits here.
 */
#define HYBRID_LEDGER_PATIENCE_MS 1000

typedef struct HybridLedger HybridLedger;

/*
 * Opens the ledger in @dir, or @dir-UID if @dir is another user's; it is
 * created if it does not exist, its parent has to.  If only root's can be read
 * that is what it consists of, and a claim fails.  NULL and @err if there is
 * neither.
 */
HybridLedger *hybrid_ledger_open(const char *dir, GError **err);

/*
 * The control group that the process is in, "/..." as /proc/self/cgroup shows
 * it; noted in the claims that follow.
 */
void hybrid_ledger_set_cgroup(HybridLedger *l, const char *path);

/* Of the kind of memory called @word, our next claim or update has @bytes */
void hybrid_ledger_set(HybridLedger *l, const char *word, uint64_t bytes);

/*
 * False if another process has kept the lock for too long, or it fails.  Not
 * recursive.  Looks at the claims of others, and removes those whose owners
 * have died.
 */
bool hybrid_ledger_lock(HybridLedger *l);

/* The same, at once.  False: another process has the lock now. */
bool hybrid_ledger_try_lock(HybridLedger *l);

/* Returns true if it was locked */
bool hybrid_ledger_unlock(HybridLedger *l);

/* Bytes claimed by all others that live; 0 if not locked */
uint64_t hybrid_ledger_others(HybridLedger *l);

/* The same, but only of those in the control group @path or below */
uint64_t hybrid_ledger_others_in(HybridLedger *l, const char *path);

/* Bytes of the kind of memory called @word */
uint64_t hybrid_ledger_others_of(HybridLedger *l, const char *word);

/*
 * Claims @bytes, in place of what was claimed before.  False and @err if that
 * fails or it is not locked; then nothing is claimed.
 */
bool hybrid_ledger_claim(HybridLedger *l, uint64_t bytes, GError **err);

/*
 * Of the claim, @outstanding bytes are left.  Never waits: if the ledger is
 * locked by another process the claim stays as it is until the next update,
 * which errs on the side of too much.  Without a claim nothing happens.
 */
void hybrid_ledger_update(HybridLedger *l, uint64_t outstanding);

/* Drops the claim, and unlocks */
void hybrid_ledger_close(HybridLedger *l);

#endif
