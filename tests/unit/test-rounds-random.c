/*
 * The policy of the rounds: properties that hold for any input.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "osdep.h"
#include "rounds-sim.h"

static uint64_t any_u64(void)
{
    uint64_t v = (uint64_t)g_test_rand_int() << 32 |
                 (uint32_t)g_test_rand_int();

    /* Any magnitude, and the ends */
    switch (g_test_rand_int_range(0, 8)) {
    case 0:
        return 0;
    case 1:
        return UINT64_MAX;
    default:
        return v >> g_test_rand_int_range(0, 64);
    }
}

static HybridRoundRecord any_record(void)
{
    return (HybridRoundRecord) {
        .pages = any_u64(), .zero_pages = any_u64(), .bytes = any_u64(),
        .remaining_pages = any_u64(), .dirtied_pages = any_u64(),
        .unsent_pages = any_u64(), .time_us = any_u64(),
        .bandwidth = any_u64(), .cut = g_test_rand_int_range(0, 9) == 0,
        .cut_reason = g_test_rand_int_range(HYBRID_REASON_ROUND_LIMIT,
                                            HYBRID_REASON_CLEAN),
    };
}

/* Anything goes in, a decision that is consistent in itself comes out */
static void test_fuzz(void)
{
    for (unsigned i = 0; i < 20000; i++) {
        HybridRoundsConfig cfg = {
            .max_rounds = any_u64(), .min_gain = any_u64(),
            .max_time_us = any_u64(), .max_bytes = any_u64(),
            .downtime_limit_us = any_u64(), .page_size = any_u64(),
        };
        HybridRounds r, copy;

        hybrid_rounds_init(&r, &cfg, any_u64());
        for (unsigned n = 0; n < 10; n++) {
            HybridRoundRecord rec = any_record(), again = rec;

            copy = r;
            hybrid_rounds_end(&r, &rec);
            hybrid_rounds_end(&copy, &again);
            g_assert_cmpint(rec.action, ==, again.action);
            g_assert_cmpint(rec.reason, ==, again.reason);
            g_assert_true((rec.action == HYBRID_ACTION_CONTINUE) ==
                          (rec.reason == HYBRID_REASON_NONE));
            g_assert_true(!rec.cut || rec.action != HYBRID_ACTION_CONTINUE);
            g_assert_true(rec.reason != HYBRID_REASON_CLEAN ||
                          !rec.remaining_pages);
            g_assert_true(rec.reason != HYBRID_REASON_FITS ||
                          rec.action == HYBRID_ACTION_COMPLETE);
            g_assert_true(rec.reason != HYBRID_REASON_NO_GAIN ||
                          rec.action == HYBRID_ACTION_HANDOFF);
            g_assert_cmpuint(rec.round, ==, n + 1);
            g_assert_true(r.predicted >= 0);    /* and not a NaN */
        }
    }
}

static HybridRoundRecord decide(HybridRoundsConfig cfg, HybridRoundRecord rec)
{
    HybridRounds r;

    hybrid_rounds_init(&r, &cfg, 1 << 21);
    hybrid_rounds_end(&r, &rec);
    return rec;
}

static int stops(HybridRoundRecord rec)
{
    return rec.action != HYBRID_ACTION_CONTINUE;
}

/* More of one thing never turns the answer the wrong way round */
static void test_monotone(void)
{
    for (unsigned i = 0; i < 50000; i++) {
        HybridRoundsConfig cfg = sim_config(), other;
        uint64_t pages = 1 + any_u64() % (1 << 20);
        HybridRoundRecord rec = sim_full_round(pages, any_u64() % (1 << 20));
        HybridRoundRecord changed = rec;
        HybridRounds r;

        rec.time_us = 1 + any_u64() % 10000000;
        changed = rec;

        other = cfg;
        cfg.min_gain = g_test_rand_int_range(0, 100);
        other.min_gain = g_test_rand_int_range(cfg.min_gain, 100);
        g_assert_cmpint(stops(decide(cfg, rec)), <=, stops(decide(other, rec)));

        /* A larger downtime limit: completion instead of handoff only */
        cfg = sim_config();
        other = cfg;
        other.downtime_limit_us += any_u64() % 10000000;
        g_assert_cmpint(stops(decide(cfg, rec)), ==, stops(decide(other, rec)));
        g_assert_cmpint(decide(cfg, rec).action, <=, decide(other, rec).action);

        /* More left: the rounds end rather than go on, and fit less */
        changed.remaining_pages += any_u64() % (1 << 20);
        if (rec.remaining_pages) {
            g_assert_cmpint(stops(decide(cfg, rec)), <=,
                            stops(decide(cfg, changed)));
        }
        rec.cut = changed.cut = true;
        rec.cut_reason = changed.cut_reason = HYBRID_REASON_TIME_LIMIT;
        g_assert_cmpint(decide(cfg, rec).action, >=,
                        decide(cfg, changed).action);
        changed = rec;
        changed.bandwidth = 1 + any_u64() % 1000000000;
        rec.bandwidth = changed.bandwidth + any_u64() % 1000000000;
        g_assert_cmpint(decide(cfg, rec).action, >=,
                        decide(cfg, changed).action);

        /* Bounds: once cut, later and larger stays cut */
        cfg.max_time_us = any_u64();
        cfg.max_bytes = any_u64();
        hybrid_rounds_init(&r, &cfg, 1);
        if (hybrid_rounds_tick(&r, pages, pages, false)) {
            uint64_t more = pages + any_u64() / 2;

            g_assert_true(hybrid_rounds_tick(&r, more, pages, false));
            g_assert_true(hybrid_rounds_tick(&r, pages, more, false));
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/hybrid/rounds/random/fuzz", test_fuzz);
    g_test_add_func("/hybrid/rounds/random/monotone", test_monotone);
    return g_test_run();
}
