/*
 * Hybrid live migration: does the destination have room for the guest?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "../osdep.h"
#include "reserve.h"

#define BYTES_PER_MIB (1024 * 1024)     /* for messages */

static uint64_t add(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static uint64_t sub(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

static uint64_t mul(uint64_t a, uint64_t b)
{
    return b && a > UINT64_MAX / b ? UINT64_MAX : a * b;
}

void hybrid_reserve_host_init(HybridHostMemory *host)
{
    *host = (HybridHostMemory) {
        .cgroup_limit = UINT64_MAX,
        .cgroup_swap_limit = UINT64_MAX,
        .cgroup_total_limit = UINT64_MAX,
    };
}

static uint64_t host_available(const HybridHostMemory *host)
{
    return sub(add(host->mem_available, host->swap_free),
               host->claimed_by_others);
}

static uint64_t cgroup_available(const HybridHostMemory *host)
{
    uint64_t used, swap, room = UINT64_MAX;

    if (host->cgroup_limit != UINT64_MAX) {
        used = sub(host->cgroup_used, host->cgroup_reclaimable);
        swap = MIN(sub(host->cgroup_swap_limit, host->cgroup_swap_used),
                   host->swap_free);
        room = add(sub(host->cgroup_limit, used), swap);
    }
    if (host->cgroup_total_limit != UINT64_MAX) {
        used = sub(host->cgroup_total_used, host->cgroup_reclaimable);
        room = MIN(room, sub(host->cgroup_total_limit, used));
    }
    return room == UINT64_MAX ? room :
           sub(room, host->cgroup_claimed_by_others);
}

void hybrid_reserve_add_group(HybridHostMemory *host,
                              const HybridCgroupLevel *level,
                              uint64_t claimed)
{
    HybridHostMemory with = *host;

    with.cgroup_limit = level->limit;
    with.cgroup_used = level->used;
    with.cgroup_reclaimable = level->reclaimable;
    with.cgroup_swap_limit = level->swap_limit;
    with.cgroup_swap_used = level->swap_used;
    with.cgroup_total_limit = level->total_limit;
    with.cgroup_total_used = level->total_used;
    with.cgroup_claimed_by_others = claimed;
    if (cgroup_available(&with) < cgroup_available(host)) {
        *host = with;
    }
}

/* value * (100 + percent) / 100; each step is monotone in both */
static uint64_t add_percent(uint64_t value, uint32_t percent)
{
    uint64_t whole = mul(value / 100, percent);

    return add(value, add(whole, value % 100 * percent / 100));
}

uint64_t hybrid_reserve_needed(const HybridMemoryNeed *need)
{
    return add(sub(need->guest_bytes, need->resident_bytes),
               need->buffers_bytes);
}

bool hybrid_reserve_check(const HybridMemoryNeed *need,
                          const HybridHostMemory *host,
                          uint32_t overcommit_pct,
                          uint64_t *needed, uint64_t *available)
{
    *needed = hybrid_reserve_needed(need);
    *available = add_percent(MIN(host_available(host), cgroup_available(host)),
                             overcommit_pct);
    return *needed <= *available;
}

/* The value of "@name:  N kB" in @text, in bytes */
static bool meminfo_value(const char *text, const char *name, uint64_t *bytes)
{
    size_t len = strlen(name);

    for (const char *line = text; line; line = strchr(line, '\n')) {
        const char *number;
        char *end;
        uint64_t kib;

        line += *line == '\n';
        if (g_str_has_prefix(line, "Node ")) {
            /* "Node N MemFree:  1 kB" */
            line += strlen("Node ");
            line += strspn(line, "0123456789");
            line += *line == ' ';
        }
        if (strncmp(line, name, len) || line[len] != ':') {
            continue;
        }
        number = line + len + 1;
        number += strspn(number, " \t");
        if (!g_ascii_isdigit(*number)) {
            return false;
        }
        kib = g_ascii_strtoull(number, &end, 10);
        if (strncmp(end, " kB", 3)) {
            return false;
        }
        *bytes = mul(kib, 1024);
        return true;
    }
    return false;
}

bool hybrid_reserve_parse_meminfo(const char *text, HybridHostMemory *out)
{
    if (!meminfo_value(text, "MemAvailable", &out->mem_available)) {
        return false;
    }
    if (!meminfo_value(text, "SwapFree", &out->swap_free)) {
        out->swap_free = 0;
    }
    return true;
}

bool hybrid_reserve_parse_node(const char *text, uint64_t *bytes)
{
    static const char *const more[] = { "Active(file)", "Inactive(file)" };
    uint64_t part;

    if (!meminfo_value(text, "MemFree", bytes)) {
        return false;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(more); i++) {
        if (meminfo_value(text, more[i], &part)) {
            *bytes = add(*bytes, part);
        }
    }
    if (meminfo_value(text, "SReclaimable", &part)) {
        *bytes = add(*bytes, part / 2);
    }
    return true;
}

uint64_t hybrid_reserve_parse_nodes(const char *text)
{
    uint64_t nodes = 0;

    while (g_ascii_isdigit(*text)) {
        char *end;
        uint64_t first = g_ascii_strtoull(text, &end, 10);
        uint64_t last = *end == '-' ? g_ascii_strtoull(end + 1, &end, 10)
                                    : first;

        for (uint64_t n = first; n <= last && n < 64; n++) {
            nodes |= 1ull << n;
        }
        text = *end == ',' ? end + 1 : end;
    }
    return nodes;
}

char *hybrid_reserve_refusal(const char *what, uint64_t needed,
                             uint64_t available)
{
    uint64_t needed_mib = needed / BYTES_PER_MIB;
    uint64_t available_mib = available / BYTES_PER_MIB;

    if (needed_mib == available_mib) {
        return g_strdup_printf("not enough %s for the guest: %" PRIu64
                               " bytes are needed, %" PRIu64
                               " bytes are available", what, needed,
                               available);
    }
    return g_strdup_printf("not enough %s for the guest: %" PRIu64
                           " MiB are needed, %" PRIu64 " MiB are available",
                           what, needed_mib, available_mib);
}
