/*
 * Hybrid live migration: what the guest's memory will take from the host.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "../osdep.h"
#include "account.h"

uint64_t hybrid_account_need(const HybridBlockUse *use)
{
    uint64_t need = use->length - MIN(use->length, use->unplugged);
    uint64_t tail = use->huge_size ? need % use->huge_size : 0;

    if (use->readonly) {
        return 0;
    }
    return tail ? need - tail + use->huge_size : need;
}

bool hybrid_account_concerns(const HybridAccount *a,
                             const HybridBlockUse *use)
{
    if (use->readonly) {
        return false;
    }
    switch (a->purse) {
    case HYBRID_PURSE_MEMORY:
        return !use->huge_size && !use->on_disk;
    case HYBRID_PURSE_NODES:
        return !use->huge_size && !use->on_disk && use->nodes &&
               use->nodes == a->nodes;
    case HYBRID_PURSE_HUGE:
        return use->huge_size && use->huge_size == a->huge_size &&
               (!a->nodes || a->nodes == use->nodes);
    case HYBRID_PURSE_FILES:
        return use->device && use->device == a->device &&
               !(use->huge_size && use->reserved);
    }
    return false;
}

static void add_to(GArray *accounts, const HybridAccount *which,
                   const HybridBlockUse *use)
{
    uint64_t need = hybrid_account_need(use);
    uint64_t held = MIN(need, use->held);
    HybridAccount *a = NULL;

    if (!hybrid_account_concerns(which, use)) {
        return;
    }
    if (use->twice && which->purse != HYBRID_PURSE_FILES) {
        need *= 2;
        held *= 2;
    }
    for (guint i = 0; i < accounts->len && !a; i++) {
        a = &g_array_index(accounts, HybridAccount, i);
        if (a->purse != which->purse || a->huge_size != which->huge_size ||
            a->nodes != which->nodes || a->device != which->device) {
            a = NULL;
        }
    }
    if (!a) {
        g_array_append_vals(accounts, which, 1);
        a = &g_array_index(accounts, HybridAccount, accounts->len - 1);
    }
    a->held += held;
    if (!use->huge_size) {
        a->needed += need - held;
        a->claim += need - held;
    } else if (!use->reserved) {
        a->needed += need - held;
        a->claim += need;
    } else if (use->shared) {
        /*
         * A hole in shared memory gives back the page and its reservation.
         * What was never touched stays reserved.
         */
        a->claim += held;
    }
}

void hybrid_account_add(GArray *accounts, const HybridBlockUse *use)
{
    HybridAccount a = { .purse = HYBRID_PURSE_MEMORY };

    add_to(accounts, &a, use);
    a = (HybridAccount) { .purse = HYBRID_PURSE_NODES, .nodes = use->nodes };
    add_to(accounts, &a, use);
    a = (HybridAccount) { .purse = HYBRID_PURSE_HUGE,
                          .huge_size = use->huge_size };
    add_to(accounts, &a, use);
    if (use->nodes) {
        a.nodes = use->nodes;
        add_to(accounts, &a, use);
    }
    a = (HybridAccount) { .purse = HYBRID_PURSE_FILES,
                          .device = use->device };
    add_to(accounts, &a, use);
}

void hybrid_account_balloon(GArray *accounts, uint64_t bytes)
{
    double total = 0;

    for (guint i = 0; i < accounts->len; i++) {
        HybridAccount *a = &g_array_index(accounts, HybridAccount, i);

        if (a->purse == HYBRID_PURSE_MEMORY) {
            total = (double)a->needed + a->held;
        }
    }
    for (guint i = 0; i < accounts->len && total; i++) {
        HybridAccount *a = &g_array_index(accounts, HybridAccount, i);
        double share = ((double)a->needed + a->held) / total * bytes;
        uint64_t less = share < a->needed ? share : a->needed;

        if (a->purse != HYBRID_PURSE_HUGE) {
            a->needed -= less;
            a->claim -= MIN(a->claim, less);
        }
    }
}

static void append_nodes(GString *text, uint64_t nodes)
{
    const char *before = "";

    for (unsigned n = 0; n < 64; n++) {
        if (nodes >> n & 1) {
            g_string_append_printf(text, "%s%u", before, n);
            before = ",";
        }
    }
}

char *hybrid_account_name(const HybridAccount *a)
{
    GString *text = g_string_new(NULL);

    if (a->purse == HYBRID_PURSE_FILES) {
        g_string_append(text, "space in the file system");
    } else if (a->purse == HYBRID_PURSE_HUGE) {
        g_string_append_printf(text, "huge pages of %" PRIu64 " KiB",
                               a->huge_size / 1024);
    } else {
        g_string_append(text, "memory");
    }
    if (a->nodes) {
        g_string_append(text, " on NUMA nodes ");
        append_nodes(text, a->nodes);
    }
    return g_string_free(text, false);
}

char *hybrid_account_key(const HybridAccount *a)
{
    GString *text = g_string_new(NULL);

    switch (a->purse) {
    case HYBRID_PURSE_MEMORY:
    case HYBRID_PURSE_NODES:
        g_string_append(text, "memory");
        break;
    case HYBRID_PURSE_HUGE:
        g_string_append_printf(text, "huge-%" PRIu64, a->huge_size / 1024);
        break;
    case HYBRID_PURSE_FILES:
        g_string_append_printf(text, "files-%" PRIu64, a->device);
        break;
    }
    if (a->nodes) {
        g_string_append(text, "-nodes-");
        append_nodes(text, a->nodes);
    }
    return g_string_free(text, false);
}
