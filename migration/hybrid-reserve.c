/*
 * Hybrid live migration: does the destination have room for the guest?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "hybrid-osdep.h"
#include "hybrid-reserve.h"

#define BYTES_PER_MIB (1024 * 1024)

/*
 * Version 1 shows "no limit" as LONG_MAX rounded down to whole pages, which
 * have 64 KiB at most.
 */
#define CGROUP_V1_NO_LIMIT ((uint64_t)INT64_MAX - 65535)

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
    };
}

static uint64_t host_available(const HybridHostMemory *host)
{
    return sub(add(host->mem_available, host->swap_free),
               host->claimed_by_others);
}

static uint64_t cgroup_available(const HybridHostMemory *host)
{
    uint64_t used, swap;

    if (host->cgroup_limit == UINT64_MAX) {
        return UINT64_MAX;
    }
    used = sub(host->cgroup_used, host->cgroup_reclaimable);
    swap = MIN(sub(host->cgroup_swap_limit, host->cgroup_swap_used),
               host->swap_free);
    return sub(add(sub(host->cgroup_limit, used), swap),
               host->cgroup_claimed_by_others);
}

/* value * (100 + percent) / 100; each step is monotone in both */
static uint64_t add_percent(uint64_t value, uint32_t percent)
{
    uint64_t whole = mul(value / 100, percent);

    return add(value, add(whole, value % 100 * percent / 100));
}

bool hybrid_reserve_check(const HybridMemoryNeed *need,
                          const HybridHostMemory *host,
                          uint32_t overcommit_pct,
                          uint64_t *needed, uint64_t *available)
{
    *needed = add(sub(need->guest_bytes, need->resident_bytes),
                  need->buffers_bytes);
    *available = add_percent(MIN(host_available(host), cgroup_available(host)),
                             overcommit_pct);
    return *needed <= *available;
}

bool hybrid_reserve_check_pool(const HybridHugePool *pool,
                               uint64_t *needed, uint64_t *available)
{
    *needed = pool->needed;
    *available = sub(mul(sub(pool->free, pool->reserved), pool->page_size),
                     pool->claimed_by_others);
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

static bool has_memory_controller(const char *controllers)
{
    g_auto(GStrv) names = g_strsplit(controllers, ",", 0);

    return g_strv_contains((const char *const *)names, "memory");
}

bool hybrid_reserve_parse_cgroup_path(const char *proc_self_cgroup,
                                      char **v2_path, char **v1_memory_path)
{
    g_auto(GStrv) lines = g_strsplit(proc_self_cgroup, "\n", 0);

    *v2_path = *v1_memory_path = NULL;
    for (char **line = lines; *line; line++) {
        /* hierarchy:controllers:path, and a path may contain colons */
        g_auto(GStrv) parts = g_strsplit(*line, ":", 3);

        if (g_strv_length(parts) != 3 || parts[2][0] != '/') {
            continue;
        }
        if (!strcmp(parts[0], "0") && !parts[1][0]) {
            if (!*v2_path) {
                *v2_path = g_strdup(parts[2]);
            }
        } else if (has_memory_controller(parts[1]) && !*v1_memory_path) {
            *v1_memory_path = g_strdup(parts[2]);
        }
    }
    return *v2_path || *v1_memory_path;
}

uint64_t hybrid_reserve_parse_limit(const char *text)
{
    uint64_t value;
    char *end;

    if (!g_ascii_isdigit(*text)) {
        return UINT64_MAX;
    }
    value = g_ascii_strtoull(text, &end, 10);
    if ((*end && *end != '\n') || value >= CGROUP_V1_NO_LIMIT) {
        return UINT64_MAX;
    }
    return value;
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
