/*
 * Hybrid live migration: locks that clang's thread safety analysis knows.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * QemuMutex carries no capability, and in C an attribute cannot name another
 * member of a struct.  So a name that is never defined stands for the lock of
 * an object of which there is one at a time.  Within a function the analysis
 * takes it for held from where it is taken first.
 *
 *     HYBRID_LOCK_NAME(hybrid_thing);         its name: hybrid_thing_locked
 *     struct HybridThing {
 *         QemuMutex lock;
 *         int count TSA_GUARDED_BY(hybrid_thing_locked);
 *     };
 *     HYBRID_LOCK_OF(HybridThing, hybrid_thing)
 */

#ifndef QEMU_MIGRATION_HYBRID_GUARD_H
#define QEMU_MIGRATION_HYBRID_GUARD_H

#include "qemu/thread.h"

/* Of another kind than a mutex of an object: the BQL, a role */
#define HYBRID_CAPABILITY(kind, name)                                   \
    extern struct TSA_CAPABILITY(kind) name##_capability name

#define HYBRID_LOCK_NAME(name) HYBRID_CAPABILITY("mutex", name##_locked)

/* name_lock() and name_unlock(), for the macros below */
#define HYBRID_LOCK_OF(Type, name)                                      \
    static inline Type *TSA_ASSERT(name##_locked) TSA_NO_TSA            \
    name##_lock(Type *object)                                           \
    {                                                                   \
        qemu_mutex_lock(&object->lock);                                 \
        return object;                                                  \
    }                                                                   \
                                                                        \
    static inline void TSA_NO_TSA name##_unlock(Type **object)          \
    {                                                                   \
        if (*object) {                                                  \
            qemu_mutex_unlock(&(*object)->lock);                        \
            *object = NULL;                                             \
        }                                                               \
    }

/* The lock of @object until the end of the scope */
#define HYBRID_LOCK_GUARD(name, object)                                 \
    __attribute__((cleanup(name##_unlock), unused))                     \
    typeof(object) glue(locked, __COUNTER__) = name##_lock(object)

/* And of the block that follows */
#define WITH_HYBRID_LOCK(name, object)                                  \
    for (typeof(object) locked_ __attribute__((cleanup(name##_unlock))) \
             = name##_lock(object), *once_ = &locked_;                  \
         once_; once_ = NULL, name##_unlock(&locked_))

#endif
