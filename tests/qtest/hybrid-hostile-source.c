/*
 * QTest testcases for hybrid migration: a source that breaks the protocol
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Between a real source and a real destination, something is added to what
 * the source says.  See hybrid-hostile-tests.c for the other direction.
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "qobject/qdict.h"
#include "libqtest.h"
#include "migration/framework.h"
#include "migration/hybrid-relay.h"
#include "migration/hybrid-util.h"
#include "migration/migration-qmp.h"
#include "migration/migration-util.h"

/* Messages of the source; a private one: command, length, kind, version */
#define HELLO           "08 0002 0004 48794201"
#define SETTINGS        "08 6879 ???? 0001 0001"
#define ADVISE          "08 0003 0010"
#define PACKAGED        "08 0007 0004"
#define GRANT           "08 6879 000c 0002 0001"
#define GRANT_SIZE      17
#define RECV_BITMAP     "08 000a"
/* What is added */
#define A_SETTINGS      "08 6879 0014 0001 0001 00000064 00000003 " \
                        "1122334455667788"
#define A_GRANT         "08 6879 000c 0002 0001 1122334455667788"
#define AN_ABORT        "08 6879 0004 0003 0001"
#define AN_UNKNOWN      "08 6879 0004 0063 0001"
#define AN_ADVISE       "08 0003 0010 0000000000001000 0000000000001000"
#define A_LISTEN        "08 0004 0000"
#define A_RUN           "08 0005 0000"
#define A_PACKAGE       "08 0007 0004 00000003 080500"
#define A_BITMAP        "08 000a 0007 06 70632e72616d"
#define A_RESUME        "08 0009 0000"
#define A_SECTION_TOLD  "08 6879 0011 0006 0001 00000000 00000004 0003 72616d"
#define ONE_TOO_NEW     "08 6879 0011 0006 0001 00000000 00000063 0003 72616d"
#define HALF_A_SECTION  "08 6879 000a 0006 0001 00000000 0000"
#define A_SECTION       "02 00000002"
#define THE_END         "00"
/* Differences: kind, slot, version, name of the block, offset, the page */
#define PC_RAM          "0006 70632e72616d"
#define BASE(slot, version, name, offset) \
                        "08 6879 101c 0007 0001 " slot " " version " " name \
                        " " offset " 5a*4096 "
#define A_BASE          BASE("00000000", "00000001", PC_RAM, PAGE_1)
#define PAGE_1          "0000000000001000"
#define NO_SUCH         "The source sent a base for slot"
#define DELTAS(pages)   "08 6879 0008 0008 0001 " pages " "
/* A section of RAM with one page: slot, version, length, checksum */
#define DIFFERENCE(length) \
                        "02 00000001 0000000000001040 06 70632e72616d " \
                        "00000000 00000001 " length " 12345678 " \
                        "0000000000000010 7e 00000001"

/* The destination gives up, with nothing started; the source has the guest */
static const HybridAdded gives_up[] = {
    { HELLO, 0, A_SETTINGS },
    { HELLO, 0, A_GRANT },
    { SETTINGS, 0, THE_END },
    { SETTINGS, 0, A_SECTION },
    { SETTINGS, 0, A_GRANT },
    { SETTINGS, 0, ONE_TOO_NEW },
    { SETTINGS, 0, HALF_A_SECTION },
    { SETTINGS, 0, A_LISTEN },
    { ADVISE, 0, A_SETTINGS },
    { ADVISE, 0, A_GRANT },
    { ADVISE, 0, AN_ABORT },
    { ADVISE, 0, A_SECTION_TOLD },
    { ADVISE, 0, A_BITMAP },
    { ADVISE, 0, THE_END },
    { PACKAGED, 0, THE_END },
    { PACKAGED, 0, A_LISTEN },
    { PACKAGED, 0, A_RUN },
    { PACKAGED, 0, A_PACKAGE },
    { PACKAGED, 0, "08 6879 0004 0001 0001" },
};

static const HybridAdded bases_give_up[] = {
    { SETTINGS, 0, A_BASE, "its log says why" },
    { ADVISE, 0, BASE("ffffffff", "00000001", PC_RAM, PAGE_1), NO_SUCH },
    { ADVISE, 0, BASE("00000000", "00000001", "0006 70632e52414d", PAGE_1),
      NO_SUCH },
    { ADVISE, 0, BASE("00000000", "00000001", PC_RAM, "0000000000001800"),
      NO_SUCH },
    { ADVISE, 0, BASE("00000000", "00000001", PC_RAM, "0000100000000000"),
      NO_SUCH },
    { ADVISE, 0, BASE("00000000", "00000001", PC_RAM, "fffffffffffff000"),
      NO_SUCH },
    { ADVISE, 0, BASE("00000000", "00000001", "ffff 70632e72616d", PAGE_1),
      "BASE is too short" },
    { ADVISE, 0, A_BASE "08 6879 000c 0007 0001 00000000 00000001",
      "BASE is too short" },
    { ADVISE, 0, "08 6879 001e 0007 0001 00000000 00000001 " PC_RAM
                 " " PAGE_1 " 5a5a", "BASE is too short" },
    { ADVISE, 0, "08 6879 ffff 0007 0001 00*65531",
      "hybrid message of 65535 bytes" },
    { PACKAGED, 0, DELTAS("00000005"), "it sent DELTAS in state READY" },
};

/* Both pause, GRANT was said: it can be recovered */
static const HybridAdded pauses[] = {
    { GRANT, -1, THE_END },
    { GRANT, -1, A_GRANT },
    { GRANT, -1, AN_ADVISE },
    { GRANT, GRANT_SIZE, A_SETTINGS },
    { GRANT, GRANT_SIZE, A_LISTEN },
    { GRANT, GRANT_SIZE, AN_ADVISE },
    { GRANT, GRANT_SIZE, A_PACKAGE },
    /* The guest has stopped: nothing is kept any more */
    { GRANT, 0, A_BASE, "it sent BASE in state LOADED" },
    { GRANT, GRANT_SIZE, A_BASE, "it sent BASE in state RUNNING" },
    /* There is no base: asked for as a whole, which the source never did */
    { GRANT, GRANT_SIZE, DIFFERENCE("0000"),
      "asks for a page again that was not sent as a difference" },
    { GRANT, GRANT_SIZE, DIFFERENCE("0801"),
      "sent a difference of 2049 bytes" },
};

static const HybridAdded ignored[] = {
    { SETTINGS, 0, A_SECTION_TOLD },
    { SETTINGS, 0, AN_UNKNOWN },
    { GRANT, 0, AN_UNKNOWN },
    { GRANT, GRANT_SIZE, AN_ABORT " " AN_UNKNOWN },
    /* A slot's last base counts, whatever it is; nobody uses these */
    { ADVISE, 0, A_BASE A_BASE BASE("00000000", "ffffffff", PC_RAM, PAGE_1)
                 BASE("00000000", "00000000", PC_RAM, PAGE_1) },
    /* So many will never be there, or were */
    { GRANT, GRANT_SIZE, DELTAS("00000005") },
    { GRANT, GRANT_SIZE, DELTAS("00000000") DELTAS("ffffffff") },
};

/* On a recovered connection, in place of GRANT or before it */
static const HybridAdded not_granted[] = {
    { GRANT, -1, A_BITMAP },
    { GRANT, 0, A_RESUME },
    { GRANT, 0, A_SECTION },
    { GRANT, 0, A_GRANT },
    { GRANT, -1, THE_END },
};

static HybridRig *hostile_rig(void)
{
    MigrateStart start = { .hide_stderr = true, .oob = true };

    return hybrid_rig_new(&start, HYBRID_RIG_NEEDS_PEER);
}

static HybridRelay *migrate_through(HybridRig *rig, const HybridAdded *added)
{
    g_autofree char *uri = migrate_get_connect_uri(rig->to);
    HybridRelay *relay = hybrid_relay_new(rig->from, uri, added);

    g_test_message("at '%s' (%d) comes '%s'", added->at, added->skip,
                   added->add);
    migrate_set_parameter_int(rig->from, "hybrid-max-rounds", 1);
    hybrid_migrate_fast(rig, HYBRID_RELAY_URI, 1);
    return relay;
}

static void check_said(HybridRig *rig, const HybridAdded *added)
{
    QDict *rsp = migrate_query(rig->from);
    const char *desc = qdict_get_try_str(rsp, "error-desc");

    g_test_message("the source says '%s'", desc);
    g_assert(!added->said || (desc && strstr(desc, added->said)));
    qobject_unref(rsp);
}

static void give_up(const HybridAdded *added, size_t n)
{
    HybridRig *rig = hostile_rig();

    if (!rig) {
        return;
    }
    for (size_t i = 0; i < n; i++) {
        HybridRelay *relay = migrate_through(rig, &added[i]);

        hybrid_wait_status(rig->from, "failed");
        check_said(rig, &added[i]);
        hybrid_check_source_runs(rig);
        hybrid_relay_free(relay);
        hybrid_rig_replace_target(rig);
    }
    hybrid_rig_migrate_again(rig);
}

static void test_gives_up(void)
{
    give_up(gives_up, ARRAY_SIZE(gives_up));
}

static void test_bases_give_up(void)
{
    give_up(bases_give_up, ARRAY_SIZE(bases_give_up));
}

static void recover(HybridRig *rig, const HybridAdded *added)
{
    g_autofree char *uri = g_strdup_printf("unix:%s/migsocket",
                                           migration_get_env()->tmpfs);
    HybridRelay *relay = NULL;

    hybrid_wait_status(rig->from, "postcopy-paused");
    hybrid_wait_status(rig->to, "postcopy-paused");
    g_assert(!hybrid_guest_runs(rig->from));
    migrate_recover(rig->to, uri);
    if (added) {
        relay = hybrid_relay_new(rig->from, uri, added);
        g_test_message("recovery: at '%s' (%d) comes '%s'", added->at,
                       added->skip, added->add);
    }
    migrate_qmp(rig->from, rig->to, relay ? HYBRID_RELAY_URI : uri, NULL,
                "{ 'resume': true }");
    if (relay) {
        hybrid_wait_status(rig->to, "postcopy-paused");
        hybrid_wait_status(rig->from, "postcopy-paused");
        hybrid_relay_free(relay);
    }
}

static void test_pauses(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(pauses); i++) {
        HybridRig *rig = hostile_rig();
        HybridRelay *relay;

        if (!rig) {
            return;
        }
        relay = migrate_through(rig, &pauses[i]);
        hybrid_wait_status(rig->from, "postcopy-paused");
        check_said(rig, &pauses[i]);
        recover(rig, NULL);
        hybrid_relay_free(relay);
        wait_for_migration_complete(rig->from);
        hybrid_rig_end(rig);
    }
}

static void test_not_granted(void)
{
    const HybridAdded lost = { GRANT, -1, THE_END };
    HybridRig *rig = hostile_rig();
    HybridRelay *relay;

    if (!rig) {
        return;
    }
    relay = migrate_through(rig, &lost);
    for (size_t i = 0; i < ARRAY_SIZE(not_granted); i++) {
        recover(rig, &not_granted[i]);
        /* Nothing was started by it */
        g_assert(!hybrid_guest_runs(rig->to));
    }
    recover(rig, NULL);
    hybrid_relay_free(relay);
    wait_for_migration_complete(rig->from);
    hybrid_rig_end(rig);
}

/* All that one slot takes, and only until the end */
static void check_memory(HybridRig *rig)
{
    QDict *info = hybrid_info(rig->to);
    QDict *deltas = qdict_get_qdict(info, "deltas");

    g_assert(deltas);
    g_assert_cmpint(qdict_get_int(deltas, "memory-peak"), <=, 4 * MiB);
    g_assert_cmpint(qdict_get_int(deltas, "memory"), ==, 0);
    g_assert_cmpint(qdict_get_int(deltas, "pages"), <=, 1);
    qobject_unref(info);
}

static void test_ignored(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(ignored); i++) {
        HybridRig *rig = hostile_rig();
        HybridRelay *relay;

        if (!rig) {
            return;
        }
        /* One slot: what else there is of bases and differences is added */
        migrate_set_parameter_int(rig->from, "hybrid-delta-cache", 4 * KiB);
        relay = migrate_through(rig, &ignored[i]);
        wait_for_migration_complete(rig->from);
        hybrid_relay_free(relay);
        check_memory(rig);
        hybrid_rig_end(rig);
    }
}

/* A hello in the middle of an ordinary postcopy is a PING like any other */
static void test_late_hello(void)
{
    const HybridAdded hello = { PACKAGED, 0, HELLO };
    HybridRig *rig = hostile_rig();
    HybridRelay *relay;
    g_autofree char *uri = NULL;

    if (!rig) {
        return;
    }
    migrate_set_capability(rig->from, "hybrid", false);
    uri = migrate_get_connect_uri(rig->to);
    relay = hybrid_relay_new(rig->from, uri, &hello);
    migrate_ensure_non_converge(rig->from);
    migrate_qmp(rig->from, rig->to, HYBRID_RELAY_URI, NULL, "{}");
    wait_for_migration_status(rig->from, "active", NULL);
    qtest_qmp_assert_success(rig->from,
                             "{ 'execute': 'migrate-start-postcopy' }");
    wait_for_migration_complete(rig->from);
    hybrid_relay_free(relay);
    hybrid_rig_end(rig);
}

void hybrid_add_hostile_source_tests(MigrationTestEnv *env)
{
    migration_test_add("/migration/hybrid/hostile/destination-gives-up",
                       test_gives_up);
    migration_test_add("/migration/hybrid/hostile/destination-bases",
                       test_bases_give_up);
    migration_test_add("/migration/hybrid/hostile/destination-pauses",
                       test_pauses);
    migration_test_add("/migration/hybrid/hostile/destination-not-granted",
                       test_not_granted);
    migration_test_add("/migration/hybrid/hostile/destination-ignores",
                       test_ignored);
    migration_test_add("/migration/hybrid/hostile/destination-late-hello",
                       test_late_hello);
}
