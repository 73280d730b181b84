/*
 * Hybrid live migration: a file of guest memory that both QEMUs have.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/rcu.h"
#include "exec/ramblock.h"
#include "migration/migration.h"
#include "migration/ram.h"
#include "migration/hybrid/common/same-files.h"

/* No guest has so many; those beyond are not told */
#define HYBRID_FILES_MAX    100

/*
 * Of the kernel that runs, so containers of one host have the same; clones of
 * a running virtual machine, too, though they are several.  Devices and inodes
 * are numbers of that kernel.  "": not known.
 */
static char *hybrid_files_host(void)
{
    char *id = NULL;

    return g_file_get_contents("/proc/sys/kernel/random/boot_id", &id, NULL,
                               NULL) ? g_strstrip(id) : g_strdup("");
}

static bool hybrid_files_stat(RAMBlock *rb, struct stat *st)
{
    return rb->fd >= 0 && !fstat(rb->fd, st) && S_ISREG(st->st_mode);
}

static int hybrid_files_find(RAMBlock *rb, void *opaque)
{
    GArray *numbers = opaque;
    struct stat st;

    if (hybrid_files_stat(rb, &st) && numbers->len < 2 * HYBRID_FILES_MAX) {
        uint64_t file[] = { st.st_dev, st.st_ino };

        g_array_append_vals(numbers, file, 2);
    }
    return 0;
}

void hybrid_files_put(HybridMessage *m)
{
    g_autoptr(GArray) numbers = g_array_new(false, false, sizeof(uint64_t));
    g_autofree char *host = hybrid_files_host();

    WITH_RCU_READ_LOCK_GUARD() {
        foreach_not_ignored_block(hybrid_files_find, numbers);
    }
    hybrid_msg_put_text(m, host);
    hybrid_msg_put_be16(m, numbers->len / 2);
    for (guint i = 0; i < numbers->len; i++) {
        hybrid_msg_put_be64(m, g_array_index(numbers, uint64_t, i));
    }
}

typedef struct HybridFiles {
    GArray *theirs;             /* device, inode, device, inode, ... */
    Error **errp;
} HybridFiles;

static int hybrid_files_compare(RAMBlock *rb, void *opaque)
{
    HybridFiles *files = opaque;
    struct stat st;

    if (!hybrid_files_stat(rb, &st)) {
        return 0;
    }
    for (guint i = 0; i + 1 < files->theirs->len; i += 2) {
        if (g_array_index(files->theirs, uint64_t, i) == st.st_dev &&
            g_array_index(files->theirs, uint64_t, i + 1) == st.st_ino) {
            error_setg(files->errp, "memory block '%s' of the destination is "
                       "a file that the source has, too, as its device, its "
                       "inode and the host's boot_id say: to receive the "
                       "guest would destroy its memory.  Give each QEMU a "
                       "file of its own", rb->idstr);
            return 1;
        }
    }
    return 0;
}

bool hybrid_files_differ(HybridMessage *m, Error **errp)
{
    g_autofree char *here = hybrid_files_host();
    g_autofree char *there = hybrid_msg_get_text(m);
    g_autoptr(GArray) theirs =
        hybrid_msg_get_numbers(m, 2ull * hybrid_msg_get_be16(m));
    HybridFiles files = { theirs, errp };

    if (m->overrun || !*here || !g_str_equal(here, there)) {
        return true;            /* too short: an error of its own */
    }
    RCU_READ_LOCK_GUARD();
    return !foreach_not_ignored_block(hybrid_files_compare, &files);
}
