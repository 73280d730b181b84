/*
 * Capability and parameters of hybrid migration
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "monitor/monitor.h"
#include "qapi/error.h"
#include "hw/qdev-properties.h"
#include "qapi/qapi-builtin-visit.h"
#include "qapi/qapi-visit-migration.h"
#include "qapi/qmp/qerror.h"
#include "qapi/visitor.h"
#include "migration/migration.h"
#include "migration/hybrid/common/params.h"

static void get_enum(Object *obj, Visitor *v, const char *name, void *opaque,
                     Error **errp)
{
    const Property *prop = opaque;
    int value = *(int *)object_field_prop_ptr(obj, prop);

    visit_type_enum(v, name, &value, prop->info->enum_table, errp);
}

static void set_enum(Object *obj, Visitor *v, const char *name, void *opaque,
                     Error **errp)
{
    const Property *prop = opaque;

    visit_type_enum(v, name, object_field_prop_ptr(obj, prop),
                    prop->info->enum_table, errp);
}

static void set_default_enum(ObjectProperty *op, const Property *prop)
{
    object_property_set_default_str(op,
        qapi_enum_lookup(prop->info->enum_table, prop->defval.i));
}

const PropertyInfo hybrid_prop_push_policy = {
    .type = "MigrationHybridPushPolicy",
    .enum_table = &MigrationHybridPushPolicy_lookup,
    .get = get_enum,
    .set = set_enum,
    .set_default_value = set_default_enum,
};

const PropertyInfo hybrid_prop_memory_check = {
    .type = "MigrationHybridMemoryCheck",
    .enum_table = &MigrationHybridMemoryCheck_lookup,
    .get = get_enum,
    .set = set_enum,
    .set_default_value = set_default_enum,
};

bool migrate_hybrid(void)
{
    return migrate_get_current()->capabilities[MIGRATION_CAPABILITY_HYBRID];
}

#define ACCESSOR(kind, ctype, name, ...)                                \
    ctype migrate_hybrid_##name(void)                                   \
    {                                                                   \
        return migrate_get_current()->parameters.hybrid_##name;         \
    }
HYBRID_PARAMS(ACCESSOR)

void hybrid_params_init(MigrationHybridParameters *params)
{
    /* The values are set by the properties. */
#define INIT(kind, ctype, name, ...) \
    params->has_hybrid_##name = true;
    HYBRID_PARAMS(INIT)
}

static bool check_range(MigrationParameter param, uint64_t value,
                        uint64_t min, uint64_t max, bool is_size,
                        Error **errp)
{
    g_autofree char *expected = NULL;
    g_autofree char *got = NULL;

    if (value >= min && value <= max) {
        return true;
    }

    /*
     * QMP and -global accept -1 for an unsigned number and wrap it: show
     * what was typed.  A size may well be as large as that.
     */
    got = is_size ? g_strdup_printf("%" PRIu64, value)
                  : g_strdup_printf("%" PRId64, (int64_t)value);
    expected = g_strdup_printf("a value between %" PRIu64 " and %" PRIu64
                               ", not %s", min, max, got);
    error_setg(errp, QERR_INVALID_PARAMETER_VALUE,
               MigrationParameter_str(param), expected);
    return false;
}

/* Its range has a hole, behind 0 */
static bool check_peer_timeout(const MigrationHybridParameters *params,
                               Error **errp)
{
    g_autofree char *expected = NULL;
    uint64_t value = params->hybrid_peer_timeout;

    if (!params->has_hybrid_peer_timeout || !value ||
        (value >= HYBRID_PEER_TIMEOUT_MIN &&
         value <= HYBRID_PEER_TIMEOUT_MAX)) {
        return true;
    }
    expected = g_strdup_printf("0 (off) or a value between %d and %d, not "
                               "%" PRId64, HYBRID_PEER_TIMEOUT_MIN,
                               HYBRID_PEER_TIMEOUT_MAX, (int64_t)value);
    error_setg(errp, QERR_INVALID_PARAMETER_VALUE,
               MigrationParameter_str(MIGRATION_PARAMETER_HYBRID_PEER_TIMEOUT),
               expected);
    return false;
}

#define IS_SIZE_UINT64 false
#define IS_SIZE_SIZE   true
#define IS_SIZE_BOOL   false
#define IS_SIZE_PUSH_POLICY false
#define IS_SIZE_MEMORY_CHECK false

bool hybrid_params_check(const MigrationHybridParameters *params,
                         Error **errp)
{
#define CHECK(kind, ctype, name, NAME, option, unit, min, max, def)     \
    if (params->has_hybrid_##name &&                                    \
        MIGRATION_PARAMETER_HYBRID_##NAME !=                            \
            MIGRATION_PARAMETER_HYBRID_PEER_TIMEOUT &&                  \
        !check_range(MIGRATION_PARAMETER_HYBRID_##NAME,                 \
                     params->hybrid_##name, min, max, IS_SIZE_##kind,   \
                     errp)) {                                           \
        return false;                                                   \
    }
    HYBRID_PARAMS(CHECK)

    return check_peer_timeout(params, errp);
}

void hybrid_params_merge(MigrationHybridParameters *dest,
                         const MigrationHybridParameters *src)
{
#define MERGE(kind, ctype, name, ...)                                   \
    if (src->has_hybrid_##name) {                                       \
        dest->has_hybrid_##name = true;                                 \
        dest->hybrid_##name = src->hybrid_##name;                       \
    }
    HYBRID_PARAMS(MERGE)
}

#define VISIT_UINT64 visit_type_uint64
#define VISIT_SIZE   visit_type_size
#define VISIT_BOOL   visit_type_bool
#define VISIT_PUSH_POLICY visit_type_MigrationHybridPushPolicy
#define VISIT_MEMORY_CHECK visit_type_MigrationHybridMemoryCheck

void hybrid_hmp_set_parameter(MigrationHybridParameters *params,
                              MigrationParameter param, Visitor *v,
                              Error **errp)
{
    const char *name = MigrationParameter_str(param);

#define SET(kind, ctype, field, NAME, ...)                              \
    if (param == MIGRATION_PARAMETER_HYBRID_##NAME) {                   \
        params->has_hybrid_##field =                                    \
            VISIT_##kind(v, name, &params->hybrid_##field, errp);       \
        return;                                                         \
    }
    HYBRID_PARAMS(SET)

    g_assert_not_reached();
}

static void print_number(Monitor *mon, MigrationParameter param,
                         uint64_t value, const char *unit)
{
    monitor_printf(mon, "%s: %" PRIu64 "%s\n",
                   MigrationParameter_str(param), value, unit);
}

static void print_bool(Monitor *mon, MigrationParameter param,
                       bool value, const char *unit)
{
    monitor_printf(mon, "%s: %s\n",
                   MigrationParameter_str(param), value ? "on" : "off");
}

static void print_push_policy(Monitor *mon, MigrationParameter param,
                              MigrationHybridPushPolicy value,
                              const char *unit)
{
    monitor_printf(mon, "%s: %s\n", MigrationParameter_str(param),
                   MigrationHybridPushPolicy_str(value));
}

static void print_memory_check(Monitor *mon, MigrationParameter param,
                               MigrationHybridMemoryCheck value,
                               const char *unit)
{
    monitor_printf(mon, "%s: %s\n", MigrationParameter_str(param),
                   MigrationHybridMemoryCheck_str(value));
}

#define PRINT_UINT64 print_number
#define PRINT_SIZE   print_number
#define PRINT_BOOL   print_bool
#define PRINT_PUSH_POLICY print_push_policy
#define PRINT_MEMORY_CHECK print_memory_check

void hybrid_hmp_info_parameters(Monitor *mon,
                                const MigrationHybridParameters *params)
{
#define PRINT(kind, ctype, name, NAME, option, unit, ...)               \
    PRINT_##kind(mon, MIGRATION_PARAMETER_HYBRID_##NAME,                \
                 params->hybrid_##name, unit);
    HYBRID_PARAMS(PRINT)
}
