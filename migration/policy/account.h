/*
 * Hybrid live migration: what the guest's memory will take from the host.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Memory comes out of several purses: the host's memory, that of some NUMA
 * nodes, a pool of huge pages, a file system with a size.  A block of guest
 * memory takes from one or two of them; each has to have enough.
 *
 * Arithmetic only.  Locking: none needed.
 */

#ifndef QEMU_MIGRATION_HYBRID_ACCOUNT_H
#define QEMU_MIGRATION_HYBRID_ACCOUNT_H

/* A block of guest memory; bytes */
typedef struct HybridBlockUse {
    uint64_t length;
    uint64_t unplugged;         /* part of it that the guest cannot claim */
    uint64_t held;              /* allocated already; discards give it back */
    uint64_t huge_size;         /* 0: pages of the usual size */
    uint64_t nodes;             /* bound to these NUMA nodes; 0: not bound */
    uint64_t device;            /* a file system with a size; 0: none */
    bool reserved;              /* the kernel has set its huge pages aside */
    bool shared;
    bool twice;                 /* beside its own page takes the file's */
    bool on_disk;               /* shared: can be written out to its file */
    bool readonly;              /* never written here */
} HybridBlockUse;

typedef enum HybridPurse {
    HYBRID_PURSE_MEMORY,
    HYBRID_PURSE_NODES,
    HYBRID_PURSE_HUGE,
    HYBRID_PURSE_FILES,
} HybridPurse;

typedef struct HybridAccount {
    HybridPurse purse;
    uint64_t huge_size;         /* HUGE */
    uint64_t nodes;             /* NODES; also HUGE, there 0 is any */
    uint64_t device;            /* FILES */
    uint64_t needed;            /* bytes, beyond what is held */
    uint64_t held;
    uint64_t claim;             /* what others must not count on */
} HybridAccount;

/* What the guest may come to use of that block */
uint64_t hybrid_account_need(const HybridBlockUse *use);

/* Adds a block to @accounts (of HybridAccount), which grows as needed */
void hybrid_account_add(GArray *accounts, const HybridBlockUse *use);

/*
 * The balloon has taken @bytes.  Nobody knows of which blocks: each kind of
 * ordinary memory is taken to have lost its share.  Huge pages have lost none.
 */
void hybrid_account_balloon(GArray *accounts, uint64_t bytes);

/* What the block's pages are taken from, as hybrid_account_add() finds it */
bool hybrid_account_concerns(const HybridAccount *account,
                             const HybridBlockUse *use);

/* "memory on NUMA nodes 0,2": what there may be too little of */
char *hybrid_account_name(const HybridAccount *account);

/* A word for the ledger that stands for the same purse in every process */
char *hybrid_account_key(const HybridAccount *account);

#endif
