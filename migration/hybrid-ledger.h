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
 * The directory holds one file for the lock and one for each claim, the text
 * "BYTES CGROUP\n".  All accesses are made with the directory locked, so no
 * reader sees half of a claim.  The owner holds a lock on its claim: a claim
 * whose lock can be taken belongs to a process that has died, whatever its
 * number in whatever pid namespace, and is removed by who finds it.
 *
 * Locks are flock()'s.  They belong to the open file, not to the process: to
 * open and close the same file elsewhere does not drop them (fcntl's POSIX
 * locks it would), and they end with the last descriptor.  All are opened
 * close-on-exec, so a helper that QEMU starts does not keep a claim alive.  A
 * child that only forks shares the claim; hybrid_ledger_close() ends it for
 * both.
 *
 * The ledger is an agreement between processes that mean well.  Whoever may
 * write to the directory can claim all memory or hold the lock; nobody can
 * make a QEMU open, create or remove anything outside the directory, or wait
 * longer than HYBRID_LEDGER_PATIENCE_MS.  If a ledger cannot be had, NULL is
 * one in which nothing is claimed: all functions accept it.
 *
 * One ledger is one kind of memory: use a directory of its own for each size
 * of huge pages.
 *
 * Locking: the caller serialises calls on one HybridLedger.
 */

#ifndef QEMU_MIGRATION_HYBRID_LEDGER_H
#define QEMU_MIGRATION_HYBRID_LEDGER_H

#define HYBRID_LEDGER_DEFAULT_DIR "/dev/shm/qemu-hybrid"

/* The longest time that hybrid_ledger_lock() waits */
#define HYBRID_LEDGER_PATIENCE_MS 2000

typedef struct HybridLedger HybridLedger;

/*
 * Opens the ledger in @dir, which is created if it does not exist, for all
 * users (01777); its parent has to exist.  NULL and @err if that fails, if
 * @dir is a symbolic link, or if others may remove files there.
 */
HybridLedger *hybrid_ledger_open(const char *dir, GError **err);

/*
 * The control group that the process is in, "/..." as /proc/self/cgroup shows
 * it; noted in the claims that follow.
 */
void hybrid_ledger_set_cgroup(HybridLedger *l, const char *path);

/*
 * False if another process has kept the lock for too long, or it fails.  Not
 * recursive.
 */
bool hybrid_ledger_lock(HybridLedger *l);

/* Returns true if it was locked */
bool hybrid_ledger_unlock(HybridLedger *l);

/*
 * Bytes claimed by all others that live; 0 if not locked.  Removes claims
 * whose owners have died.
 */
uint64_t hybrid_ledger_others(HybridLedger *l);

/* The same, but only of those in the control group @path or below */
uint64_t hybrid_ledger_others_in(HybridLedger *l, const char *path);

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
