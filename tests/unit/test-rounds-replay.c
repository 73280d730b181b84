/*
 * The policy of the rounds: the replay of traces.  Fed with the record of a
 * run, real or simulated, it has to take the same decisions again.
 *
 * Format of a trace, data/NAME.rounds.  Lines that are empty or
 * begin with # are comments.  The first other line is the configuration:
 *
 *   hybrid-rounds page-size=4096 total-pages=262144 max-rounds=32 min-gain=25
 *                 max-time-us=0 max-bytes=0 downtime-limit-us=300000
 *
 * (one line, all keys, any order), then comes one line for each round:
 *
 *   round=1 pages=262144 zero-pages=0 bytes=1076101120 remaining-pages=46909
 *           dirtied-pages=46909 unsent-pages=0 time-us=8610808
 *           bandwidth=124970979 cut=false cut-reason=none
 *           action=continue reason=none
 *
 * (one line, any order; unsent-pages, deferred-pages, hot-pages, cut-reason and
 * reason may be left out and are then 0, 0, 0, the reason, "none"; so may
 * max-resend in the configuration, 0; and whole-remaining, whole-dirtied and
 * whole-hot, the same figures in whole host pages, where these are huge; and,
 * where a round trip is long, rtt-us in the configuration, and handoff-pages,
 * grown and ease, which is what the policy has answered).
 * Samples that were taken while a round ran come before it:
 *
 *   sample over-us=50211 pages=3000 whole=3000 runs=2900
 *
 * and so does a downtime limit that was changed:
 *
 *   limit downtime-limit-us=2000000
 *
 * Keys are named, counted and spelled as
 * in MigrationHybridRound of query-migrate.  A round that was cut may have
 * elapsed-us and total-bytes, what hybrid_rounds_tick() was told when it cut
 * the round: it has to give the same answer again.  An unknown key is an
 * error.  Every decision (action, reason) has to come out as recorded.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "osdep.h"
#include <glib/gstdio.h>
#include "rounds-sim.h"

typedef struct Line {
    const char *file;
    unsigned number;
    GHashTable *keys;           /* what is left to read: key -> value */
} Line;

static void G_GNUC_PRINTF(2, 3) G_GNUC_NORETURN
fail(const Line *line, const char *format, ...)
{
    g_autofree char *what = NULL;
    va_list ap;

    va_start(ap, format);
    what = g_strdup_vprintf(format, ap);
    va_end(ap);
    g_error("%s:%u: %s", line->file, line->number, what);
}

static void line_parse(Line *line, char *const *words)
{
    line->keys = g_hash_table_new_full(g_str_hash, g_str_equal, g_free,
                                       g_free);
    for (; *words; words++) {
        g_auto(GStrv) kv = g_strsplit(*words, "=", 2);

        if (!**words) {
            continue;
        }
        if (g_strv_length(kv) != 2) {
            fail(line, "'%s' is not key=value", *words);
        }
        if (!g_hash_table_insert(line->keys, g_strdup(kv[0]),
                                 g_strdup(kv[1]))) {
            fail(line, "'%s' appears twice", kv[0]);
        }
    }
}

/* Nobody has asked for what is still there */
static void line_end(Line *line)
{
    GHashTableIter iter;
    gpointer key;

    g_hash_table_iter_init(&iter, line->keys);
    if (g_hash_table_iter_next(&iter, &key, NULL)) {
        fail(line, "unknown key '%s'", (char *)key);
    }
    g_hash_table_unref(line->keys);
}

/* The value of @key, or @def; without @def the key has to be there */
static char *take(Line *line, const char *key, const char *def)
{
    const char *value = g_hash_table_lookup(line->keys, key);
    char *res = g_strdup(value ? value : def);

    if (!res) {
        fail(line, "'%s' is missing", key);
    }
    g_hash_table_remove(line->keys, key);
    return res;
}

static uint64_t take_number(Line *line, const char *key, const char *def)
{
    g_autofree char *text = take(line, key, def);
    g_autoptr(GError) err = NULL;
    guint64 value = 0;

    if (!g_ascii_string_to_unsigned(text, 10, 0, G_MAXUINT64, &value, &err)) {
        fail(line, "%s: %s", key, err->message);
    }
    return value;
}

static int64_t take_signed(Line *line, const char *key, const char *def)
{
    g_autofree char *text = take(line, key, def);
    g_autoptr(GError) err = NULL;
    gint64 value = 0;

    if (!g_ascii_string_to_signed(text, 10, G_MININT64, G_MAXINT64, &value,
                                  &err)) {
        fail(line, "%s: %s", key, err->message);
    }
    return value;
}

static bool take_bool(Line *line, const char *key)
{
    g_autofree char *text = take(line, key, NULL);

    if (strcmp(text, "true") && strcmp(text, "false")) {
        fail(line, "%s: '%s' is not true or false", key, text);
    }
    return text[0] == 't';
}

static int take_name(Line *line, const char *key, const char *def,
                     const char *(*name_of)(unsigned))
{
    g_autofree char *text = take(line, key, def);

    for (unsigned i = 0; strcmp(name_of(i), "?"); i++) {
        if (!strcmp(name_of(i), text)) {
            return i;
        }
    }
    fail(line, "%s: unknown name '%s'", key, text);
}

static const char *action_name(unsigned i)
{
    return hybrid_action_str(i);
}

static const char *reason_name(unsigned i)
{
    return hybrid_reason_str(i);
}

static void replay_header(Line *line, HybridRounds *r)
{
    HybridRoundsConfig cfg = {
        .max_rounds = take_number(line, "max-rounds", NULL),
        .min_gain = take_number(line, "min-gain", NULL),
        .max_resend = take_number(line, "max-resend", "0"),
        .max_time_us = take_number(line, "max-time-us", NULL),
        .max_bytes = take_number(line, "max-bytes", NULL),
        .downtime_limit_us = take_number(line, "downtime-limit-us", NULL),
        .page_size = take_number(line, "page-size", NULL),
        .rtt_us = take_number(line, "rtt-us", "0"),
    };

    hybrid_rounds_init(r, &cfg, take_number(line, "total-pages", NULL));
}

static void replay_sample(Line *line, HybridRounds *r)
{
    uint64_t over_us = take_number(line, "over-us", NULL);
    uint64_t pages = take_number(line, "pages", NULL);

    hybrid_rounds_sample(r, over_us, pages, take_number(line, "whole", "0"));
    if (g_hash_table_contains(line->keys, "runs")) {
        hybrid_rounds_sample_runs(r, over_us, pages,
                                  take_number(line, "runs", NULL));
    }
}

static void replay_round(Line *line, HybridRounds *r)
{
    uint64_t round = take_number(line, "round", NULL);
    HybridAction action = take_name(line, "action", NULL, action_name);
    HybridReason reason = take_name(line, "reason", "none", reason_name);
    HybridRoundRecord rec = {
        .pages = take_number(line, "pages", NULL),
        .zero_pages = take_number(line, "zero-pages", NULL),
        .bytes = take_number(line, "bytes", NULL),
        .remaining_pages = take_number(line, "remaining-pages", NULL),
        .dirtied_pages = take_number(line, "dirtied-pages", NULL),
        .unsent_pages = take_number(line, "unsent-pages", "0"),
        .deferred_pages = take_number(line, "deferred-pages", "0"),
        .hot_pages = take_number(line, "hot-pages", "0"),
        .whole.remaining = take_number(line, "whole-remaining", "0"),
        .whole.dirtied = take_number(line, "whole-dirtied", "0"),
        .whole.hot = take_number(line, "whole-hot", "0"),
        .grown = take_signed(line, "grown", "0"),
        .handoff_pages = take_number(line, "handoff-pages", "0"),
        .time_us = take_number(line, "time-us", NULL),
        .bandwidth = take_number(line, "bandwidth", NULL),
        .cut = take_bool(line, "cut"),
    };
    bool ease = take_number(line, "ease", "0");
    const char *cut_default = rec.cut ? hybrid_reason_str(reason) : "none";

    rec.cut_reason = take_name(line, "cut-reason", cut_default, reason_name);
    if (rec.cut && g_hash_table_contains(line->keys, "elapsed-us")) {
        uint64_t elapsed = take_number(line, "elapsed-us", NULL);
        uint64_t bytes = take_number(line, "total-bytes", NULL);
        bool requested = rec.cut_reason == HYBRID_REASON_REQUESTED;
        HybridReason tick = hybrid_rounds_tick(r, elapsed, bytes, requested);

        if (tick != rec.cut_reason) {
            fail(line, "was cut by %s, the policy says %s now",
                 hybrid_reason_str(rec.cut_reason), hybrid_reason_str(tick));
        }
    }

    hybrid_rounds_end(r, &rec);
    if (rec.round != round || rec.action != action || rec.reason != reason ||
        rec.answers.ease != ease) {
        fail(line, "recorded: round %u %s %s, ease %d; the policy says now: "
             "%u %s %s, ease %d", (unsigned)round, hybrid_action_str(action),
             hybrid_reason_str(reason), ease, rec.round,
             hybrid_action_str(rec.action), hybrid_reason_str(rec.reason),
             rec.answers.ease);
    }
}

static void test_replay(gconstpointer data)
{
    g_autofree char *text = NULL;
    g_autoptr(GError) err = NULL;
    g_auto(GStrv) lines = NULL;
    Line line = { .file = data };
    HybridRounds r;
    bool header = false;
    unsigned rounds = 0;

    g_file_get_contents(line.file, &text, NULL, &err);
    g_assert_no_error(err);
    lines = g_strsplit(text, "\n", 0);
    for (unsigned i = 0; lines[i]; i++) {
        g_auto(GStrv) words = NULL;

        g_strstrip(lines[i]);
        if (!lines[i][0] || lines[i][0] == '#') {
            continue;
        }
        line.number = i + 1;
        words = g_strsplit_set(lines[i], " \t", 0);
        if (!header && strcmp(words[0], "hybrid-rounds")) {
            fail(&line, "does not begin with 'hybrid-rounds'");
        }
        line_parse(&line, words + (!header || !strcmp(words[0], "sample") ||
                                   !strcmp(words[0], "limit")));
        if (header && !strcmp(words[0], "sample")) {
            replay_sample(&line, &r);
        } else if (header && !strcmp(words[0], "limit")) {
            hybrid_rounds_limit(&r, take_number(&line, "downtime-limit-us",
                                                NULL));
        } else if (header) {
            replay_round(&line, &r);
            rounds++;
        } else {
            replay_header(&line, &r);
            header = true;
        }
        line_end(&line);
    }
    g_assert_cmpuint(rounds, >, 0);
}

/* A replay that finds nothing wrong with a wrong trace proves nothing */
static void test_wrong_traces(void)
{
    static const char good[] =
        "hybrid-rounds page-size=4096 total-pages=1000 max-rounds=9 "
        "min-gain=25 max-time-us=0 max-bytes=0 downtime-limit-us=1000\n"
        "round=1 pages=1000 zero-pages=0 bytes=4096000 remaining-pages=100 "
        "dirtied-pages=100 time-us=40960 bandwidth=0 cut=false "
        "action=continue\n";
    static const char *const wrong[][2] = {
        { "action=continue", "action=handoff" },
        { "action=continue", "action=continue reason=fits" },
        { "round=1", "round=2" },
        { "remaining-pages=100", "remaining-pages=900" },
        { "pages=1000 zero", "zero" },
        { "cut=false", "cut=no" },
        { "cut=false", "cut=false typo=1" },
        { "bandwidth=0", "bandwidth=0 bandwidth=1" },
        { "bandwidth=0", "bandwidth=-1" },
        { "cut=false action=continue", "cut=true cut-reason=time-limit "
          "elapsed-us=1 total-bytes=1 action=handoff reason=time-limit" },
        { "hybrid-rounds ", "" },
        { "max-rounds=9", "max-rounds=1" },
    };
    g_autofree char *file = NULL;
    int fd = g_file_open_tmp("hybrid-XXXXXX.rounds", &file, NULL);

    g_assert_cmpint(fd, >=, 0);
    g_close(fd, NULL);
    g_assert_true(g_file_set_contents(file, good, -1, NULL));
    test_replay(file);
    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_auto(GStrv) parts = g_strsplit(good, wrong[i][0], 2);
        g_autofree char *text = g_strjoinv(wrong[i][1], parts);

        g_assert_cmpuint(g_strv_length(parts), ==, 2);
        g_assert_true(g_file_set_contents(file, text, -1, NULL));
        g_setenv("HYBRID_ROUNDS_WRONG", file, true);
        g_test_trap_subprocess("/hybrid/rounds/replay/subprocess/one", 0, 0);
        g_test_trap_assert_failed();
        g_test_trap_assert_stderr("*hybrid-*.rounds:*: *");
    }
    g_unlink(file);
}

static void test_one(void)
{
    test_replay(g_getenv("HYBRID_ROUNDS_WRONG"));
}

int main(int argc, char **argv)
{
    g_autofree char *dir = NULL;
    g_autoptr(GDir) entries = NULL;
    const char *name;
    unsigned traces = 0;

    g_test_init(&argc, &argv, NULL);
    dir = g_test_build_filename(G_TEST_DIST, "data", NULL);
    entries = g_dir_open(dir, 0, NULL);
    while (entries && (name = g_dir_read_name(entries))) {
        if (g_str_has_suffix(name, ".rounds")) {
            g_autofree char *path = g_strdup_printf("/hybrid/rounds/replay/%s",
                                                    name);

            g_test_add_data_func_full(path, g_build_filename(dir, name, NULL),
                                      test_replay, g_free);
            traces++;
        }
    }
    g_assert_cmpuint(traces, >=, 3);
    g_test_add_func("/hybrid/rounds/replay/wrong", test_wrong_traces);
    g_test_add_func("/hybrid/rounds/replay/subprocess/one", test_one);
    return g_test_run();
}
