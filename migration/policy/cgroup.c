/*
 * Hybrid live migration: what the control groups of this process allow.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "../osdep.h"
#include "cgroup.h"

/* The link /proc/self/ns/cgroup of the namespace in which "/" has no limit */
#define INITIAL_NAMESPACE "cgroup:[4026531835]"

/*
 * Version 1 shows "no limit" as LONG_MAX rounded down to whole pages, which
 * have 64 KiB at most.
 */
#define CGROUP_V1_NO_LIMIT ((uint64_t)INT64_MAX - 65535)

/* A group's directory, and how far up it can be seen */
typedef struct Place {
    char *dir;
    size_t top;                 /* the mount point's length within it */
    char *group;
    bool v1;
} Place;

typedef enum {
    READ_OK,
    READ_MISSING,
    READ_BAD,                   /* there, or perhaps there, and unreadable */
} ReadResult;

/* The first problem is the one that is told */
static void complain(char **problem, const char *path, const char *what)
{
    if (!*problem) {
        *problem = g_strdup_printf("%s: %s", path, what);
    }
}

static ReadResult read_text(const char *path, char **text, char **problem)
{
    g_autoptr(GError) err = NULL;

    if (g_file_get_contents(path, text, NULL, &err)) {
        return READ_OK;
    }
    if (g_error_matches(err, G_FILE_ERROR, G_FILE_ERROR_NOENT)) {
        return READ_MISSING;
    }
    complain(problem, path, err->message);
    return READ_BAD;
}

bool hybrid_cgroup_number(const char *text, uint64_t *value)
{
    uint64_t number;
    char *end;

    if (g_str_has_prefix(text, "max") && (!text[3] || text[3] == '\n')) {
        *value = UINT64_MAX;
        return true;
    }
    if (!g_ascii_isdigit(*text)) {
        return false;
    }
    number = g_ascii_strtoull(text, &end, 10);
    if (*end && *end != '\n') {
        return false;
    }
    *value = number >= CGROUP_V1_NO_LIMIT ? UINT64_MAX : number;
    return true;
}

static ReadResult read_number(const char *dir, const char *file,
                              uint64_t *value, char **problem)
{
    g_autofree char *path = g_build_filename(dir, file, NULL);
    g_autofree char *text = NULL;
    ReadResult ret = read_text(path, &text, problem);

    if (ret == READ_OK && !hybrid_cgroup_number(text, value)) {
        complain(problem, path, "neither a number nor \"max\"");
        return READ_BAD;
    }
    return ret;
}

char *hybrid_cgroup_parse_path(const char *proc_self_cgroup,
                               const char *controller, bool *v1)
{
    g_auto(GStrv) lines = g_strsplit(proc_self_cgroup, "\n", 0);
    char *unified = NULL;

    for (char **line = lines; *line; line++) {
        /* hierarchy:controllers:path, and a path may contain colons */
        g_auto(GStrv) parts = g_strsplit(*line, ":", 3);
        g_auto(GStrv) names = NULL;

        if (g_strv_length(parts) != 3 || parts[2][0] != '/') {
            continue;
        }
        names = g_strsplit(parts[1], ",", 0);
        if (g_strv_contains((const char *const *)names, controller)) {
            g_free(unified);
            *v1 = true;
            return g_strdup(parts[2]);
        }
        if (!strcmp(parts[0], "0") && !parts[1][0] && !unified) {
            unified = g_strdup(parts[2]);
        }
    }
    *v1 = false;
    return unified;
}

/* Below @root, or that itself: the rest of @group, from its slash on */
static const char *path_below(const char *group, const char *root)
{
    size_t len = strlen(root);

    if (!strcmp(root, "/")) {
        return group;
    }
    if (strncmp(group, root, len) || (group[len] && group[len] != '/')) {
        return NULL;
    }
    return group + len;
}

char *hybrid_cgroup_parse_mount(const char *line, const char *controller,
                                bool v1, const char *group, size_t *top)
{
    /* id parent dev root mountpoint options [tags] - type source options */
    const char *tail = strstr(line, " - ");
    g_auto(GStrv) head = NULL, type = NULL, options = NULL;
    g_autofree char *root = NULL, *point = NULL;
    const char *rest;

    if (!tail) {
        return NULL;
    }
    type = g_strsplit(tail + 3, " ", 3);
    if (g_strv_length(type) != 3 || strcmp(type[0], v1 ? "cgroup" : "cgroup2")) {
        return NULL;
    }
    options = g_strsplit(type[2], ",", 0);
    if (v1 && !g_strv_contains((const char *const *)options, controller)) {
        return NULL;
    }
    head = g_strsplit(line, " ", 6);
    if (g_strv_length(head) < 6) {
        return NULL;
    }
    root = g_strcompress(head[3]);
    point = g_strcompress(head[4]);
    rest = path_below(group, root);
    if (!rest || strstr(root, "/..") || strstr(group, "/../")) {
        return NULL;            /* another namespace's */
    }
    *top = strlen(point);
    return g_strconcat(point, strcmp(rest, "/") ? rest : "", NULL);
}

/* A mount may be hidden by another one, or not be what it was */
static bool is_group(const char *dir)
{
    g_autofree char *procs = g_build_filename(dir, "cgroup.procs", NULL);

    return !access(procs, F_OK);
}

/* What process @who, "self" or a number, has mounted */
static bool find_mounted(const char *root, const char *who,
                         const char *controller, Place *place)
{
    g_autofree char *path = g_strdup_printf("%s/proc/%s/mountinfo", root, who);
    g_autofree char *before = g_strdup(root);
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;

    if (!g_file_get_contents(path, &text, NULL, NULL)) {
        return false;
    }
    if (strcmp(who, "self")) {
        g_free(before);
        before = g_strdup_printf("%s/proc/%s/root", root, who);
    }
    lines = g_strsplit(text, "\n", 0);
    for (char **line = lines; *line; line++) {
        size_t top;
        g_autofree char *dir = hybrid_cgroup_parse_mount(*line, controller,
                                                         place->v1,
                                                         place->group, &top);

        if (dir) {
            place->dir = g_strconcat(before, dir, NULL);
            place->top = strlen(before) + top;
            if (is_group(place->dir)) {
                return true;
            }
            g_clear_pointer(&place->dir, g_free);
        }
    }
    return false;
}

/* "/" of the whole host: the root group, which has no limits */
static bool is_host_root(const char *root, const char *group)
{
    g_autofree char *path = g_strconcat(root, "/proc/self/ns/cgroup", NULL);
    g_autofree char *link = g_file_read_link(path, NULL);

    return !strcmp(group, "/") && link && !strcmp(link, INITIAL_NAMESPACE);
}

/*
 * False, without a @problem: there is nothing that could limit.  Otherwise
 * what cannot be seen here ("ip netns exec" hides it by another /sys) may be
 * seen by the parent, or by the first process.
 */
static bool find_group(const char *root, const char *controller, Place *place,
                       char **problem)
{
    g_autofree char *path = g_strconcat(root, "/proc/self/cgroup", NULL);
    g_autofree char *proc = g_strconcat(root, "/proc/self", NULL);
    g_autofree char *parent = g_strdup_printf("%d", (int)getppid());
    const char *const who[] = { "self", parent, "1" };
    g_autofree char *text = NULL;

    switch (read_text(path, &text, problem)) {
    case READ_MISSING:
        if (access(proc, F_OK)) {
            complain(problem, path, "/proc is not there");
        }
        return false;           /* or the kernel has no control groups */
    case READ_BAD:
        return false;
    default:
        break;
    }
    place->group = hybrid_cgroup_parse_path(text, controller, &place->v1);
    if (!place->group || is_host_root(root, place->group)) {
        return false;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(who); i++) {
        if (find_mounted(root, who[i], controller, place)) {
            return true;
        }
    }
    if (!*problem) {
        *problem = g_strdup_printf("the control group %s of version %d is not "
                                   "mounted where QEMU can see it",
                                   place->group, place->v1 ? 1 : 2);
    }
    return false;
}

/* File pages that the kernel can drop; version 1: those of groups below, too */
static void read_stat(const char *dir, bool v1, HybridCgroupLevel *level,
                      uint64_t *inherited, uint64_t *inherited_total)
{
    g_autofree char *path = g_build_filename(dir, "memory.stat", NULL);
    g_autofree char *text = NULL;
    const char *prefix = v1 ? "total_" : "";
    g_auto(GStrv) lines = NULL;

    *inherited = *inherited_total = UINT64_MAX;
    if (!g_file_get_contents(path, &text, NULL, NULL)) {
        return;                 /* then nothing of it can be dropped */
    }
    lines = g_strsplit(text, "\n", 0);
    for (char **l = lines; *l; l++) {
        const char *name = *l;
        uint64_t v;

        if (v1 && g_str_has_prefix(name, "hierarchical_memory_limit ")) {
            hybrid_cgroup_number(strchr(name, ' ') + 1, inherited);
        } else if (v1 && g_str_has_prefix(name, "hierarchical_memsw_limit ")) {
            hybrid_cgroup_number(strchr(name, ' ') + 1,
                                        inherited_total);
        }
        if (!g_str_has_prefix(name, prefix)) {
            continue;
        }
        name += strlen(prefix);
        if (sscanf(name, "inactive_file %" SCNu64, &v) == 1 ||
            sscanf(name, "active_file %" SCNu64, &v) == 1) {
            level->reclaimable += v;
        }
    }
}

/* False if nothing is limited there */
static bool read_level(const Place *place, bool own, HybridCgroupLevel *level,
                       char **problem)
{
    uint64_t high = UINT64_MAX, inherited, inherited_total;
    const char *dir = place->dir;
    bool v1 = place->v1;

    level->limit = level->swap_limit = level->total_limit = UINT64_MAX;
    read_number(dir, v1 ? "memory.limit_in_bytes" : "memory.max",
                &level->limit, problem);
    if (v1) {
        read_number(dir, "memory.memsw.limit_in_bytes", &level->total_limit,
                    problem);
    } else {
        /* Beyond it a process is slowed down until it stands still */
        read_number(dir, "memory.high", &high, problem);
        level->limit = MIN(level->limit, high);
    }
    read_stat(dir, v1, level, &inherited, &inherited_total);
    if (own) {
        /* Of groups that cannot be seen, in version 1 */
        level->limit = MIN(level->limit, inherited);
        level->total_limit = MIN(level->total_limit, inherited_total);
    }
    if (level->limit == UINT64_MAX && level->total_limit == UINT64_MAX) {
        return false;
    }
    if (read_number(dir, v1 ? "memory.usage_in_bytes" : "memory.current",
                    &level->used, problem) == READ_MISSING) {
        complain(problem, dir, "a limit without a usage");
    }
    if (v1) {
        read_number(dir, "memory.memsw.usage_in_bytes", &level->total_used,
                    problem);
    } else {
        read_number(dir, "memory.swap.max", &level->swap_limit, problem);
        read_number(dir, "memory.swap.current", &level->swap_used, problem);
    }
    return true;
}

/* To the group above; false if it cannot be seen, or there is none */
static bool go_up(Place *place, size_t *group_len)
{
    char *slash = strrchr(place->dir, '/');

    if (strlen(place->dir) <= place->top || !slash) {
        return false;
    }
    *slash = '\0';
    while (*group_len > 1 && place->group[*group_len - 1] != '/') {
        --*group_len;
    }
    *group_len -= *group_len > 1;
    return strlen(place->dir) >= place->top;
}

void hybrid_cgroup_memory(const char *root, HybridCgroups *out)
{
    Place place = { 0 };
    size_t group_len;
    bool own = true;

    *out = (HybridCgroups) {
        .levels = g_array_new(false, true, sizeof(HybridCgroupLevel)),
    };
    if (find_group(root, "memory", &place, &out->problem)) {
        group_len = strlen(place.group);
        do {
            HybridCgroupLevel level = { 0 };

            if (read_level(&place, own, &level, &out->problem)) {
                level.path = g_strndup(place.group, group_len);
                g_array_append_val(out->levels, level);
            }
            own = false;
        } while (go_up(&place, &group_len));
    }
    out->path = place.group;
    g_free(place.dir);
}

void hybrid_cgroup_clear(HybridCgroups *groups)
{
    for (guint i = 0; groups->levels && i < groups->levels->len; i++) {
        g_free(g_array_index(groups->levels, HybridCgroupLevel, i).path);
    }
    g_clear_pointer(&groups->levels, g_array_unref);
    g_clear_pointer(&groups->path, g_free);
    g_clear_pointer(&groups->problem, g_free);
}

uint64_t hybrid_cgroup_huge(const char *root, uint64_t page_size,
                            char **problem)
{
    static const char *const names[2][2][2] = {
        { { "max", "current" }, { "rsvd.max", "rsvd.current" } },
        { { "limit_in_bytes", "usage_in_bytes" },
          { "rsvd.limit_in_bytes", "rsvd.usage_in_bytes" } },
    };
    g_autofree char *size = page_size >> 30 ?
        g_strdup_printf("hugetlb.%" PRIu64 "GB", page_size >> 30) :
        page_size >> 20 ?
        g_strdup_printf("hugetlb.%" PRIu64 "MB", page_size >> 20) :
        g_strdup_printf("hugetlb.%" PRIu64 "KB", page_size >> 10);
    uint64_t room = UINT64_MAX;
    Place place = { 0 };
    size_t group_len;

    if (find_group(root, "hugetlb", &place, problem)) {
        group_len = strlen(place.group);
        do {
            for (unsigned i = 0; i < 2; i++) {
                const char *const *n = names[place.v1][i];
                g_autofree char *max = g_strconcat(size, ".", n[0], NULL);
                g_autofree char *current = g_strconcat(size, ".", n[1], NULL);
                uint64_t limit = UINT64_MAX, used = 0;

                read_number(place.dir, max, &limit, problem);
                if (limit != UINT64_MAX) {
                    read_number(place.dir, current, &used, problem);
                    room = MIN(room, limit - MIN(limit, used));
                }
            }
        } while (go_up(&place, &group_len));
    }
    g_free(place.group);
    g_free(place.dir);
    return room;
}
