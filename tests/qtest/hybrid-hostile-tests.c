/*
 * QTest testcases for hybrid migration: a destination that breaks the
 * protocol
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Which message may come in which state is checked pair by pair by the unit
 * test of the gate.  Here it is checked that QEMU asks it, and what becomes of
 * the guest: it runs on at the source, or, given away, runs nowhere and the
 * migration can be recovered.
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/units.h"
#include "libqtest.h"
#include "migration/framework.h"
#include "migration/hybrid-peer.h"
#include "migration/hybrid-util.h"
#include "migration/migration-qmp.h"
#include "migration/migration-util.h"
#include "qobject/qdict.h"

/* As in migration/migration.c and migration/protocol/messages.h */
#define RP_SHUT             1
#define RP_PONG             2
#define RP_REQ_PAGES_ID     3
#define RP_REQ_PAGES        4
#define RP_RECV_BITMAP      5
#define RP_RESUME_ACK       6
#define RP_HYBRID           0x6879

typedef struct Said {
    uint16_t type;
    const char *body;           /* hexadecimal, blanks between */
    const char *error;          /* NULL: ignored */
} Said;

#define PRIVATE(kind) "00" kind " 0001"
#define DELTAS PRIVATE("19")
#define RAW PRIVATE("1a")
#define DROPPED PRIVATE("1b")
#define RAM_NAME " 0006 70632e72616d "  /* pc.ram */
#define NOT_SENT "asks for a page again that was not sent as a difference"
#define RAM_ID "06 70632e72616d"        /* pc.ram */
#define ZERO8 "0000000000000000"

static const Said any_before_package[] = {
    { RP_REQ_PAGES_ID, ZERO8 " 00001000 " RAM_ID, "it said REQ_PAGES in" },
    { RP_REQ_PAGES, ZERO8 " 00001000", "it said REQ_PAGES in" },
    { RP_RECV_BITMAP, RAM_ID, "it said RECV_BITMAP in" },
    { RP_RESUME_ACK, "00000001", "it said RESUME_ACK in" },
    { RP_SHUT, "00000000", "it said SHUT" },
    { RP_PONG, "48794201", "it said ECHO in" },
};

static const Said any_agreed[] = {
    { RP_HYBRID, PRIVATE("12"), "it said LOADED in" },
    { RP_HYBRID, PRIVATE("13") "00000001", "it said RUNNING in" },
    { RP_HYBRID, PRIVATE("14") ZERO8 "00000000", "it said STATS in" },
    { RP_HYBRID, PRIVATE("15") "00000000", NULL },  /* was VCPU */
    { RP_HYBRID, PRIVATE("63") ZERO8, NULL },
    { RP_HYBRID, DELTAS "00000000", "it said DELTAS in" },
    { RP_HYBRID, RAW RAM_NAME ZERO8, "it said RAW in" },
    { RP_HYBRID, "00", "hybrid message of 1 bytes" },
    { RP_PONG, "48794281", "it said ACK in" },
    { RP_PONG, "12345678", NULL },
};

static const Said in_hello[] = {
    { RP_HYBRID, PRIVATE("10") ZERO8 ZERO8, "Received invalid message 0x6879" },
    { RP_HYBRID, PRIVATE("12"), "Received invalid message 0x6879" },
    { RP_SHUT, "00000000", "it said SHUT" },
    { RP_REQ_PAGES_ID, ZERO8 " 00001000 " RAM_ID, "it said REQ_PAGES in" },
};

static const Said in_precopy[] = {
    { RP_HYBRID, PRIVATE("10") ZERO8 ZERO8, "it said READY in" },
    { RP_HYBRID, PRIVATE("11") ZERO8 ZERO8 "0000", "it said REFUSE in" },
    { RP_HYBRID, DROPPED, NULL },   /* of what it never had */
};

/* Requests are served; these are not for whole pages that there are */
static const Said in_package[] = {
    { RP_HYBRID, PRIVATE("10") ZERO8 ZERO8, "it said READY in" },
    { RP_HYBRID, PRIVATE("13") "00000001", "it said RUNNING in" },
    { RP_HYBRID, PRIVATE("14") ZERO8 "00000000", "it said STATS in" },
    { RP_RECV_BITMAP, RAM_ID, "it said RECV_BITMAP in" },
    { RP_SHUT, "00000000", "it said SHUT_EARLY in" },
    { RP_REQ_PAGES, ZERO8 " 00001000", "no previous block" },
    { RP_REQ_PAGES_ID, ZERO8 " 00001000 03 07080a", "no block '\\007\\b\\n'" },
    { RP_REQ_PAGES_ID, ZERO8 " 00000000 " RAM_ID, "whole pages" },
    { RP_REQ_PAGES_ID, ZERO8 " 00000800 " RAM_ID, "aligned" },
    { RP_REQ_PAGES_ID, "fffffffffffff000 00002000 " RAM_ID, "overrun" },
    { RP_REQ_PAGES_ID, "0000100000000000 00001000 " RAM_ID, "overrun" },
    { RP_REQ_PAGES_ID, ZERO8 " fffff000 " RAM_ID, "overrun" },
    { RP_REQ_PAGES_ID, ZERO8, "with length 8" },
    { RP_REQ_PAGES_ID, ZERO8 " 00001000 " RAM_ID, NULL },
    { RP_HYBRID, DELTAS "00000000", "it said DELTAS in" },
    { RP_HYBRID, DROPPED, NULL },
    { RP_HYBRID, RAW RAM_NAME ZERO8, NOT_SENT },
    { RP_HYBRID, RAW RAM_NAME "0000100000000000", NOT_SENT },
    { RP_HYBRID, RAW RAM_NAME "fffffffffffff000", NOT_SENT },
    { RP_HYBRID, RAW " 0003 07080a " ZERO8, NOT_SENT },
    { RP_HYBRID, RAW RAM_NAME "0000", "RAW is too short" },
    { RP_HYBRID, RAW " ffff 70632e72616d " ZERO8, "RAW is too short" },
};

static const Said in_granted[] = {
    { RP_SHUT, "00000000", "it said SHUT_EARLY in" },
    { RP_HYBRID, PRIVATE("10") ZERO8 ZERO8, "it said READY in" },
    { RP_RESUME_ACK, "00000001", "resume_ack before" },
    { RP_REQ_PAGES_ID, ZERO8 " fffff000 " RAM_ID, "overrun" },
    { RP_HYBRID, DELTAS "00000005", "has placed 5 differences, sent were 0" },
    { RP_HYBRID, DELTAS "0000", "DELTAS is too short" },
    { RP_HYBRID, RAW RAM_NAME ZERO8, NOT_SENT },
};

static void say(HybridPeer *peer, const Said *said)
{
    g_autoptr(GByteArray) body = g_byte_array_new();

    for (const char *p = said->body; *p; p++) {
        uint8_t byte;

        if (*p != ' ') {
            byte = g_ascii_xdigit_value(*p) << 4 | g_ascii_xdigit_value(p[1]);
            g_byte_array_append(body, &byte, 1);
            p++;
        }
    }
    hybrid_peer_say(peer, said->type, body->data, body->len);
}

static void check_error(HybridRig *rig, const Said *said)
{
    const char *why = said->error ?: "onnection";
    QDict *rsp = migrate_query(rig->from);
    const char *desc = qdict_get_try_str(rsp, "error-desc");

    if (!desc || (said->error && !strstr(desc, why))) {
        g_test_message("message of type %u, '%s'", said->type, said->body);
        g_assert_cmpstr(desc, ==, why);
    }
    qobject_unref(rsp);
}

/* Migrations of one guest, one after the other; it stays at the source */
static void break_before_grant(HybridRig *rig, HybridPeerManner manner,
                               HybridHeard until, const Said *said, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        HybridPeer *peer = hybrid_peer_new(rig->from, manner);

        g_string_truncate(rig->phases, 0);
        if (until == HYBRID_HEARD_PACKAGE) {
            migrate_set_parameter_int(rig->from, "hybrid-max-rounds", 1);
            hybrid_migrate_fast(rig, HYBRID_PEER_URI, 1);
        } else {
            hybrid_migrate_slow(rig, HYBRID_PEER_URI);
        }
        hybrid_peer_wait(peer, until);
        if (until == HYBRID_HEARD_SETTINGS && manner == HYBRID_PEER_AGREES) {
            hybrid_wait_phase(rig, "rounds");
        }
        say(peer, &said[i]);
        if (!said[i].error) {
            g_autofree char *status = NULL;

            usleep(20 * 1000);
            status = migrate_query_status(rig->from);
            g_assert_cmpstr(status, !=, "failed");
            hybrid_peer_hang_up(peer);
        }
        hybrid_wait_status(rig->from, "failed");
        check_error(rig, &said[i]);
        g_assert(!hybrid_peer_heard(peer, HYBRID_HEARD_GRANT));
        hybrid_check_source_runs(rig);
        hybrid_peer_free(peer);
    }
}

static HybridRig *hostile_rig(void)
{
    MigrateStart start = { .hide_stderr = true };

    return hybrid_rig_new(&start, 0);
}

static void test_source_hello(void)
{
    HybridRig *rig = hostile_rig();

    if (!rig) {
        return;
    }
    break_before_grant(rig, HYBRID_PEER_SILENT, HYBRID_HEARD_HELLO,
                       in_hello, ARRAY_SIZE(in_hello));
    hybrid_rig_migrate_again(rig);
}

static void test_source_asked(void)
{
    HybridRig *rig = hostile_rig();

    if (!rig) {
        return;
    }
    break_before_grant(rig, HYBRID_PEER_UNREADY, HYBRID_HEARD_SETTINGS,
                       any_before_package, ARRAY_SIZE(any_before_package));
    break_before_grant(rig, HYBRID_PEER_UNREADY, HYBRID_HEARD_SETTINGS,
                       any_agreed, ARRAY_SIZE(any_agreed));
    hybrid_rig_migrate_again(rig);
}

static void test_source_rounds(void)
{
    HybridRig *rig = hostile_rig();

    if (!rig) {
        return;
    }
    break_before_grant(rig, HYBRID_PEER_AGREES, HYBRID_HEARD_SETTINGS,
                       any_before_package, ARRAY_SIZE(any_before_package));
    break_before_grant(rig, HYBRID_PEER_AGREES, HYBRID_HEARD_SETTINGS,
                       any_agreed, ARRAY_SIZE(any_agreed));
    break_before_grant(rig, HYBRID_PEER_AGREES, HYBRID_HEARD_SETTINGS,
                       in_precopy, ARRAY_SIZE(in_precopy));
    hybrid_rig_migrate_again(rig);
}

static void test_source_package(void)
{
    HybridRig *rig = hostile_rig();

    if (!rig) {
        return;
    }
    break_before_grant(rig, HYBRID_PEER_AGREES, HYBRID_HEARD_PACKAGE,
                       in_package, ARRAY_SIZE(in_package));
    hybrid_rig_migrate_again(rig);
}

/* The guest is the destination's: it runs nowhere, and is not taken back */
static void test_source_granted(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(in_granted); i++) {
        HybridRig *rig = hostile_rig();
        HybridPeer *peer;

        if (!rig) {
            return;
        }
        peer = hybrid_peer_new(rig->from, HYBRID_PEER_AGREES);
        migrate_set_parameter_int(rig->from, "hybrid-max-rounds", 1);
        hybrid_migrate_fast(rig, HYBRID_PEER_URI, 1);
        hybrid_peer_wait(peer, HYBRID_HEARD_PACKAGE);
        hybrid_peer_say_loaded(peer);
        hybrid_peer_wait(peer, HYBRID_HEARD_GRANT);
        hybrid_wait_status(rig->from, "postcopy-active");
        say(peer, &in_granted[i]);
        hybrid_wait_status(rig->from, "postcopy-paused");
        check_error(rig, &in_granted[i]);
        g_assert(!hybrid_guest_runs(rig->from));
        hybrid_check_cancel_refused(rig);
        hybrid_peer_free(peer);
        hybrid_rig_drop(rig);
    }
}

static void say_raw(HybridPeer *peer, uint64_t offset)
{
    uint8_t body[4 + 2 + 6 + 8] = "\0\x1a\0\1\0\6pc.ram";

    stq_be_p(body + 12, offset);
    hybrid_peer_say(peer, RP_HYBRID, body, sizeof(body));
}

static int64_t deltas(HybridRig *rig, const char *member)
{
    QDict *info = hybrid_info(rig->from);
    int64_t n = qdict_get_int(qdict_get_qdict(info, "deltas"), member);

    qobject_unref(info);
    return n;
}

/* Given away, with differences on their way to who keeps all bases there are */
static HybridPeer *keep_bases(HybridRig *rig)
{
    HybridPeer *peer = hybrid_peer_new(rig->from, HYBRID_PEER_KEEPS);

    /* Time for a sample, and no end for want of gain */
    migrate_set_parameter_int(rig->from, "max-bandwidth", 50 * 1000 * 1000);
    migrate_set_parameter_int(rig->from, "downtime-limit", 1);
    migrate_set_parameter_int(rig->from, "hybrid-max-rounds", 2);
    migrate_set_parameter_int(rig->from, "hybrid-min-gain", 0);
    migrate_qmp(rig->from, rig->to, HYBRID_PEER_URI, NULL, "{}");
    hybrid_peer_wait(peer, HYBRID_HEARD_PACKAGE);
    hybrid_peer_say_loaded(peer);
    hybrid_peer_wait(peer, HYBRID_HEARD_DIFFERENCE);
    return peer;
}

/* A page comes again as a whole once, and no base is taken for another */
static void test_source_differences(void)
{
    const Said said[] = {
        { RP_HYBRID, DELTAS "00000001", "has placed 1 differences" },
        { 0, NULL, NOT_SENT },
    };

    for (size_t i = 0; i < ARRAY_SIZE(said); i++) {
        HybridRig *rig = hostile_rig();
        HybridPeer *peer;

        if (!rig) {
            return;
        }
        peer = keep_bases(rig);
        if (said[i].body) {
            say(peer, &said[i]);
        } else {
            for (int n = 0; n < 100; n++) {
                say_raw(peer, hybrid_peer_difference(peer));
            }
        }
        hybrid_wait_status(rig->from, "postcopy-paused");
        check_error(rig, &said[i]);
        g_assert_cmpint(deltas(rig, "refused"), ==, !said[i].body);
        /* Whatever READY has: half of the guest's memory */
        g_assert_cmpint(deltas(rig, "memory-peak"), <=, 128 * MiB);
        g_assert(!hybrid_guest_runs(rig->from));
        hybrid_peer_free(peer);
        hybrid_rig_drop(rig);
    }
}

void hybrid_add_hostile_tests(MigrationTestEnv *env)
{
    migration_test_add("/migration/hybrid/hostile/source-hello",
                       test_source_hello);
    migration_test_add("/migration/hybrid/hostile/source-asked",
                       test_source_asked);
    migration_test_add("/migration/hybrid/hostile/source-rounds",
                       test_source_rounds);
    migration_test_add("/migration/hybrid/hostile/source-package",
                       test_source_package);
    migration_test_add("/migration/hybrid/hostile/source-granted",
                       test_source_granted);
    migration_test_add("/migration/hybrid/hostile/source-differences",
                       test_source_differences);
}
