/*
 * Hybrid live migration, destination: can this host take the guest?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_MIGRATION_HYBRID_HOST_H
#define QEMU_MIGRATION_HYBRID_HOST_H

#include "migration/hybrid/policy/ledger.h"
#include "migration/hybrid/common/need.h"

/* What was found, accepted or refused */
typedef struct HybridHostAnswer {
    uint64_t needed;            /* bytes */
    uint64_t ordinary;          /* the same, of the host's memory */
    uint64_t available;         /* bytes, allowance for over-commit included */
    bool checked;
    bool limits_known;
    char *warning;              /* it was taken all the same */

    /* what was claimed, for the updates */
    GArray *accounts;           /* of HybridAccount, or NULL */
    uint64_t nodes;
    int64_t updated_us;
} HybridHostAnswer;

/* What it points to */
void hybrid_host_answer_clear(HybridHostAnswer *answer);

/*
 * Can this host take the guest?  Claims the memory in the host's ledger,
 * returned in @ledger (may stay NULL: none usable).  @overcommit is what the
 * source says, in percent.  False: @errp is the sentence for the operators of
 * both sides.
 */
bool hybrid_host_reserve(const HybridToldNeed *told, uint32_t overcommit,
                         HybridHostAnswer *answer, HybridLedger **ledger,
                         Error **errp);

/* Some has come; @outstanding bytes of ordinary memory are to come */
void hybrid_host_update(HybridHostAnswer *answer, HybridLedger *ledger,
                        uint64_t outstanding);

/* Memory of this process that is in use now, in bytes */
uint64_t hybrid_host_rss(void);

#endif
