/*
 * Hybrid live migration: what the control groups of this process allow.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Control groups are found by /proc/self/cgroup and by what is mounted, not
 * at places where they usually are.  What cannot be read is told apart from
 * what is not limited: a limit that nobody knows of ends in the OOM killer.
 *
 * Only reads files.  @root is put before each path: "", but for tests.
 *
 * Locking: none needed, nothing here has state.
 */

#ifndef QEMU_MIGRATION_HYBRID_CGROUP_H
#define QEMU_MIGRATION_HYBRID_CGROUP_H

/* A control group that limits memory, the process's own or one above it */
typedef struct HybridCgroupLevel {
    char *path;                 /* as /proc/self/cgroup names it */
    uint64_t limit;             /* bytes */
    uint64_t used;
    uint64_t reclaimable;       /* page cache, part of used */
    uint64_t swap_limit;        /* of swap alone; UINT64_MAX: none */
    uint64_t swap_used;
    uint64_t total_limit;       /* version 1, memory and swap; UINT64_MAX */
    uint64_t total_used;
} HybridCgroupLevel;

typedef struct HybridCgroups {
    char *path;                 /* the process's own group, NULL: none */
    GArray *levels;             /* of HybridCgroupLevel; those with a limit */
    char *problem;              /* what could not be read; NULL: nothing */
} HybridCgroups;

/* The limits on memory.  The caller ends with hybrid_cgroup_clear(). */
void hybrid_cgroup_memory(const char *root, HybridCgroups *out);

/*
 * The least room, in bytes, that a limit on huge pages of that size leaves;
 * UINT64_MAX: none does.  @problem as above, freed by the caller.
 */
uint64_t hybrid_cgroup_huge(const char *root, uint64_t page_size,
                            char **problem);

void hybrid_cgroup_clear(HybridCgroups *groups);

/*
 * /proc/self/cgroup: the path of the process's group for @controller, and
 * whether that is of version 1.  NULL if there is none; the caller frees it.
 */
char *hybrid_cgroup_parse_path(const char *proc_self_cgroup,
                               const char *controller, bool *v1);

/*
 * A line of /proc/self/mountinfo, without its newline: if the hierarchy of
 * @controller, of version 1 or 2, is mounted there so that @group can be
 * seen, returns the group's directory.  @top: length of the mount point, at
 * which the groups above end.  Otherwise NULL.
 */
char *hybrid_cgroup_parse_mount(const char *line, const char *controller,
                                bool v1, const char *group, size_t *top);

/*
 * A limit or a counter of a control group: a number, or UINT64_MAX for "max"
 * and for what version 1 shows as "no limit" (LONG_MAX in whole pages).  False
 * for anything else: then nothing is known.
 */
bool hybrid_cgroup_number(const char *text, uint64_t *value);

#endif
