/*
 * Hybrid migration in 'info migrate'
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "monitor/monitor.h"
#include "migration/hybrid/hmp.h"

#define US_PER_MS 1000.0

static double mib(uint64_t bytes)
{
    return (double)bytes / MiB;
}

static void print_head(Monitor *mon, const MigrationHybridInfo *info)
{
    monitor_printf(mon, "hybrid: %s", info->active ? "active" : "inactive");
    if (info->active && !info->observe_only) {
        monitor_printf(mon, ", peer %s", info->agreed ? "agreed" :
                       info->phase == MIGRATION_HYBRID_PHASE_PREPARATION ?
                       "has not answered yet" : "is not hybrid");
    }
    if (info->observe_only) {
        monitor_printf(mon, ", observe-only");
    }
    if (info->has_peer_timeout && info->peer_timeout) {
        monitor_printf(mon, ", peer-timeout %" PRIu32 " ms",
                       info->peer_timeout);
    }
    if (info->has_phase) {
        monitor_printf(mon, ", phase %s",
                       MigrationHybridPhase_str(info->phase));
    }
    if (info->has_round) {
        monitor_printf(mon, ", round %" PRIu32, info->round);
    }
    if (info->has_end_reason) {
        monitor_printf(mon, " (ended: %s%s%s)",
                       MigrationHybridReason_str(info->end_reason),
                       info->has_action ? ", " : "",
                       info->has_action ?
                       MigrationHybridAction_str(info->action) : "");
    }
    monitor_printf(mon, "\n");

    if (info->reason) {
        monitor_printf(mon, "hybrid reason: %s\n", info->reason);
    }
}

static void print_rounds(Monitor *mon, const MigrationHybridRoundList *list)
{
    monitor_printf(mon, "hybrid rounds:\n"
                   "%7s %10s %10s %11s %10s %10s %12s %10s  %s\n",
                   "round", "pages", "zero", "MiB", "left", "dirtied",
                   "time ms", "Mbit/s", "then");

    for (; list; list = list->next) {
        const MigrationHybridRound *r = list->value;
        g_autofree char *mbit = r->has_bandwidth ?
            g_strdup_printf("%.1f", r->bandwidth * 8 / 1e6) : g_strdup("-");

        monitor_printf(mon, "%7" PRIu32 " %10" PRIu64 " %10" PRIu64
                       " %11.1f %10" PRIu64 " %10" PRIu64
                       " %12.3f %10s  %s",
                       r->round, r->pages, r->zero_pages, mib(r->bytes),
                       r->remaining_pages, r->dirtied_pages,
                       r->time_us / US_PER_MS, mbit,
                       MigrationHybridAction_str(r->action));
        if (r->has_reason) {
            monitor_printf(mon, " (%s)",
                           MigrationHybridReason_str(r->reason));
        }
        monitor_printf(mon, "%s\n", r->cut ? ", cut short" : "");
    }
}

static void print_time(Monitor *mon, const char *what, bool present,
                       uint64_t us)
{
    if (present) {
        monitor_printf(mon, "hybrid %s: %.3f ms\n", what, us / US_PER_MS);
    }
}

static void print_times(Monitor *mon, const MigrationHybridInfo *info)
{
    print_time(mon, "preparation time", info->has_preparation_time_us,
               info->preparation_time_us);
    if (info->has_downtime_us) {
        monitor_printf(mon, "hybrid downtime: %.3f ms%s\n",
                       info->downtime_us / US_PER_MS,
                       info->has_downtime_estimated &&
                       info->downtime_estimated ? " (estimated)" : "");
    }
    print_time(mon, "one-way delay", info->has_one_way_delay_us,
               info->one_way_delay_us);
    print_time(mon, "resume time", info->has_resume_time_us,
               info->resume_time_us);
    print_time(mon, "total time", info->has_total_time_us,
               info->total_time_us);
}

static void print_pages(Monitor *mon, const MigrationHybridPages *pages)
{
    if (pages->has_received && !pages->has_lost) {
        /* The destination, which has sent none */
        monitor_printf(mon, "hybrid pages received: %" PRIu64 "\n",
                       pages->received);
        return;
    }
    monitor_printf(mon, "hybrid pages: %" PRIu64 " sent (%.1f MiB): %" PRIu64
                   " first sends, %" PRIu64 " resends; %" PRIu64 " zero\n",
                   pages->total, mib(pages->bytes), pages->first_sends,
                   pages->resends, pages->zero);
    monitor_printf(mon, "hybrid postcopy pages: %" PRIu64 " on demand, %"
                   PRIu64 " pushed\n", pages->on_demand, pages->pushed);
    if (pages->has_received) {
        monitor_printf(mon, "hybrid pages received: %" PRIu64 ", %" PRIu64
                       " lost\n", pages->received, pages->lost);
    }
}

static void print_push(Monitor *mon, const MigrationHybridPush *push)
{
    monitor_printf(mon, "hybrid push: %s, %" PRIu64 " pages left, %" PRIu64
                   " faults (%" PRIu64 " hits, %" PRIu64 " late, hit ratio %"
                   PRIu32 " %%)\n",
                   MigrationHybridPushPolicy_str(push->policy),
                   push->remaining_pages, push->faults, push->hits,
                   push->late, push->hit_ratio);
    monitor_printf(mon, "hybrid push order: %" PRIu64 " recent, %" PRIu64
                   " bubble, %" PRIu64 " heat, %" PRIu64 " rest; %" PRIu64
                   " pivots, %" PRIu64 " merged, %" PRIu64
                   " retired, window %" PRIu32 "\n", push->recent_pages,
                   push->bubble_pages, push->heat_pages, push->rest_pages,
                   push->pivots_begun, push->pivots_merged,
                   push->pivots_retired, push->window);
}

static void print_deltas(Monitor *mon, const MigrationHybridDeltas *d)
{
    monitor_printf(mon, "hybrid deltas: %" PRIu64 " bases, %" PRIu64 " pages (%"
                   PRIu64 " unchanged) in %.1f MiB, %.0f bytes each, %" PRIu64
                   " whole, %" PRIu64 " refused, %.3f ms; cache %.1f MiB, at "
                   "most %.1f\n", d->bases, d->pages, d->current,
                   mib(d->bytes), d->pages ? (double)d->bytes / d->pages : 0,
                   d->whole, d->refused, d->time_us / US_PER_MS,
                   mib(d->memory), mib(d->memory_peak));
    if (d->has_decision) {
        monitor_printf(mon, "hybrid deltas decision: %s",
                       MigrationHybridDeltaDecision_str(d->decision));
        if (d->has_sample_bytes) {
            monitor_printf(mon, ", sampled %" PRIu64 " bytes, worth it %"
                           PRIu64 " %%, %.3f ms", d->sample_bytes,
                           d->sample_share, d->sample_time_us / US_PER_MS);
        }
        monitor_printf(mon, "\n");
    }
}

static void print_vcpus(Monitor *mon, const MigrationHybridInfo *info)
{
    if (info->has_vcpu_blocked_us) {
        const uint64List *blocked = info->vcpu_blocked_us;

        monitor_printf(mon, "hybrid vcpu blocked:");
        for (; blocked; blocked = blocked->next) {
            monitor_printf(mon, " %.3f%s", blocked->value / US_PER_MS,
                           blocked->next ? "," : "");
        }
        monitor_printf(mon, " ms\n");
    }
    print_time(mon, "throttled", info->has_throttled_us, info->throttled_us);
    if (info->has_degradation) {
        monitor_printf(mon, "hybrid degradation: %.2f %%\n",
                       info->degradation);
    }
}

static void print_memory(Monitor *mon, const MigrationHybridInfo *info)
{
    if (info->has_memory_needed) {
        monitor_printf(mon, "hybrid memory needed: %.1f MiB\n",
                       mib(info->memory_needed));
    }
    if (info->has_memory_available) {
        monitor_printf(mon, "hybrid memory available: %.1f MiB\n",
                       mib(info->memory_available));
    }
    if (info->has_memory_limit_known && !info->memory_limit_known) {
        monitor_printf(mon, "hybrid memory limits: not all could be read\n");
    }
    if (info->memory_warning) {
        monitor_printf(mon, "hybrid memory warning: %s\n",
                       info->memory_warning);
    }
}

void hybrid_hmp_info(Monitor *mon, const MigrationHybridInfo *info)
{
    print_head(mon, info);
    if (info->has_rounds && info->rounds) {
        print_rounds(mon, info->rounds);
    }
    print_times(mon, info);
    if (info->pages) {
        print_pages(mon, info->pages);
    }
    if (info->push) {
        print_push(mon, info->push);
    }
    if (info->deltas) {
        print_deltas(mon, info->deltas);
    }
    print_vcpus(mon, info);
    print_memory(mon, info);
}
