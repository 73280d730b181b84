/*
 * Capability and parameters of hybrid migration
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_MIGRATION_HYBRID_PARAMS_H
#define QEMU_MIGRATION_HYBRID_PARAMS_H

#include "qapi/qapi-types-migration.h"
#include "migration/hybrid/policy/page-bitmap.h"

/*
 * If it is not 0, off; between two signs of life lies a third of it.  Chosen:
 * a busy host keeps a thread waiting for tens of milliseconds, and for more
 * than ten minutes nobody waits.
 */
#define HYBRID_PEER_TIMEOUT_MIN 100
#define HYBRID_PEER_TIMEOUT_MAX 600000

/*
 * No bound of its own: half of the guest's memory is one already.  1 EiB, which
 * who reads numbers of JSON as floating point can set again as it was reported.
 */
#define HYBRID_DELTA_CACHE_DEFAULT (1ull << 60)

/*
 * One row per parameter, in the order in which users see them.
 * What a parameter means is documented in qapi/migration.json, where
 * it is a member of MigrationHybridParameters.
 *
 * P(kind, ctype, name, NAME, option, unit, min, max, default)
 *
 *  kind    type of the QAPI member and of the property: UINT64, SIZE, BOOL,
 *          or an enumeration of ours.  Numbers are UINT64 even if they are
 *          small, so that each value out of range gets an error that names
 *          the range.
 *  ctype   what the accessor migrate_hybrid_<name>() returns; every
 *          value from min to max fits
 *  option  name for users, without the leading "hybrid-"
 *  unit    what 'info migrate_parameters' puts behind the value
 *
 * What follows P in the arguments (a comma, in an array) follows each row.
 */
#define HYBRID_PARAMS(P, ...)                                           \
    P(UINT64, uint32_t, max_rounds, MAX_ROUNDS, "max-rounds",           \
      "", 1, 1000, 32) __VA_ARGS__                                      \
    P(UINT64, uint32_t, max_precopy_time, MAX_PRECOPY_TIME,             \
      "max-precopy-time", " ms", 0, 86400000, 0) __VA_ARGS__            \
    P(SIZE, uint64_t, max_precopy_bytes, MAX_PRECOPY_BYTES,             \
      "max-precopy-bytes", " bytes", 0, INT64_MAX, 0) __VA_ARGS__       \
    P(UINT64, uint32_t, min_gain, MIN_GAIN, "min-gain",                 \
      " %", 0, 99, 25) __VA_ARGS__                                      \
    P(UINT64, uint32_t, max_resend, MAX_RESEND, "max-resend",           \
      " %", 0, 1000, 10) __VA_ARGS__                                    \
    P(UINT64, uint32_t, hot_threshold, HOT_THRESHOLD, "hot-threshold",  \
      "", 0, HYBRID_HEAT_SAMPLES, 2) __VA_ARGS__                         \
    P(UINT64, uint32_t, memory_overcommit, MEMORY_OVERCOMMIT,           \
      "memory-overcommit", " %", 0, 1000, 0) __VA_ARGS__                \
    P(MEMORY_CHECK, MigrationHybridMemoryCheck, memory_check,           \
      MEMORY_CHECK, "memory-check", "", 0,                              \
      MIGRATION_HYBRID_MEMORY_CHECK__MAX - 1,                           \
      MIGRATION_HYBRID_MEMORY_CHECK_AUTO) __VA_ARGS__                   \
    P(BOOL, bool, observe_only, OBSERVE_ONLY, "observe-only",           \
      "", 0, 1, false) __VA_ARGS__                                      \
    P(UINT64, uint32_t, handoff_timeout, HANDOFF_TIMEOUT,               \
      "handoff-timeout", " ms", 100, 600000, 10000) __VA_ARGS__         \
    P(UINT64, uint32_t, peer_timeout, PEER_TIMEOUT, "peer-timeout",     \
      " ms", 0, HYBRID_PEER_TIMEOUT_MAX, 0) __VA_ARGS__                 \
    P(PUSH_POLICY, MigrationHybridPushPolicy, push_policy, PUSH_POLICY, \
      "push-policy", "", 0, MIGRATION_HYBRID_PUSH_POLICY__MAX - 1,      \
      MIGRATION_HYBRID_PUSH_POLICY_BUBBLE) __VA_ARGS__                  \
    P(SIZE, uint64_t, delta_cache, DELTA_CACHE, "delta-cache",          \
      " bytes", 0, INT64_MAX, HYBRID_DELTA_CACHE_DEFAULT) __VA_ARGS__

extern const PropertyInfo hybrid_prop_push_policy;
#define DEFINE_PROP_PUSH_POLICY(n, s, f, def)                           \
    DEFINE_PROP_SIGNED(n, s, f, def, hybrid_prop_push_policy,           \
                       MigrationHybridPushPolicy)

extern const PropertyInfo hybrid_prop_memory_check;
#define DEFINE_PROP_MEMORY_CHECK(n, s, f, def)                          \
    DEFINE_PROP_SIGNED(n, s, f, def, hybrid_prop_memory_check,          \
                       MigrationHybridMemoryCheck)

/* Rows for migration_properties[]: -global migration.x-hybrid-... */
#define HYBRID_PROPERTY(kind, ctype, name, NAME, option, unit, min, max, def) \
    DEFINE_PROP_##kind("x-hybrid-" option, MigrationState,              \
                       parameters.hybrid_##name, def)
#define HYBRID_PROPERTIES \
    HYBRID_PARAMS(HYBRID_PROPERTY, , /* the comma after each row */)

bool migrate_hybrid(void);

/* uint32_t migrate_hybrid_max_rounds(void); and so on, one per row */
#define HYBRID_ACCESSOR(kind, ctype, name, ...) \
    ctype migrate_hybrid_##name(void);
HYBRID_PARAMS(HYBRID_ACCESSOR)
#undef HYBRID_ACCESSOR

/*
 * The parameters are the base of both MigrateSetParameters and
 * MigrationParameters, so the same functions serve both.
 */
void hybrid_params_init(MigrationHybridParameters *params);
bool hybrid_params_check(const MigrationHybridParameters *params,
                         Error **errp);
/* Takes over into @dest those parameters that are present in @src. */
void hybrid_params_merge(MigrationHybridParameters *dest,
                         const MigrationHybridParameters *src);

/* @param must be one of ours; @v holds the value that the user gave */
void hybrid_hmp_set_parameter(MigrationHybridParameters *params,
                              MigrationParameter param, Visitor *v,
                              Error **errp);
void hybrid_hmp_info_parameters(Monitor *mon,
                                const MigrationHybridParameters *params);

#endif
