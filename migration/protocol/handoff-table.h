/*
 * Hybrid live migration: the transition tables of the handoff.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The one copy of the protocol's rules.  The C engine (protocol/handoff.c), the
 * Promela model (tests/model/handoff.pml) and the replay of real traces
 * (tests/model/replay) all include or read this file, so it holds nothing but
 * lists: no types, no code.  docs/handoff.md explains them.
 *
 * An event without a row in a state is refused and changes nothing.
 */

#ifndef QEMU_MIGRATION_HYBRID_HANDOFF_TABLE_H
#define QEMU_MIGRATION_HYBRID_HANDOFF_TABLE_H

/*
 * STATE(name, owner): owner is 1 where this side owns the guest, that is,
 * where it runs the guest or may start it again.  Never both sides at once.
 * In PLAIN the peer does not take part and upstream's rules hold, with one
 * change: once the package is sent, the source never resumes by itself.
 */
#define HANDOFF_SRC_STATES(STATE)                                       \
    STATE(IDLE, 1)              /* connected, nothing said */           \
    STATE(HELLO, 1)             /* asked whether the peer is patched */ \
    STATE(ASKED, 1)             /* asked whether it takes the guest */  \
    STATE(PRECOPY, 1)           /* it does: the rounds */               \
    STATE(STOPPED, 1)           /* the guest is stopped */              \
    STATE(PACKAGED, 1)          /* the package is sent */               \
    STATE(GRANTED, 0)           /* decided: the guest is given away */  \
    STATE(RUNNING, 0)           /* the destination said RUNNING */      \
    STATE(PAUSED, 0)            /* as GRANTED, but the link is lost */  \
    STATE(DONE, 0)              /* the destination needs nothing more */ \
    STATE(BACK, 1)              /* final: the guest stays here */       \
    STATE(PLAIN, 1)             /* final: the peer is not patched */

#define HANDOFF_DST_STATES(STATE)                                       \
    STATE(WAIT, 0)              /* nothing heard */                     \
    STATE(AGREED, 0)            /* answered the hello */                \
    STATE(READY, 0)             /* takes the guest; RAM comes in */     \
    STATE(LOADING, 0)           /* loads the package */                 \
    STATE(LOADED, 0)            /* loaded, said so, waits for GRANT */  \
    STATE(RUNNING, 1)           /* has GRANT */                         \
    STATE(LOADED_PAUSED, 0)     /* as LOADED, but the link is lost */   \
    STATE(RUNNING_PAUSED, 1)    /* as RUNNING, but the link is lost */  \
    STATE(DONE, 1)              /* final: has everything */             \
    STATE(GONE, 0)              /* final: never started the guest */

/*
 * LINK_LOST is also any local failure that ends the use of the connection.
 * RUNNING may come more than once: after each GRANT, and when the management
 * layer starts the vCPUs later.
 */
#define HANDOFF_EVENTS(EVENT)                                           \
    EVENT(HELLO_SENT)           /* source */                            \
    EVENT(PEER_AGREES)                                                  \
    EVENT(PEER_PLAIN)                                                   \
    EVENT(PEER_READY)                                                   \
    EVENT(PEER_REFUSES)                                                 \
    EVENT(VM_STOPPED)                                                   \
    EVENT(PACKAGE_SENT)                                                 \
    EVENT(PEER_LOADED)          /* LOADED, and with it the decision */  \
    EVENT(PEER_RUNNING)                                                 \
    EVENT(PEER_DONE)                                                    \
    EVENT(CANCEL)                                                       \
    EVENT(TIMEOUT)                                                      \
    EVENT(LINK_LOST)            /* both sides */                        \
    EVENT(RECOVER)              /* on a new connection */               \
    EVENT(HELLO)                /* destination */                       \
    EVENT(SETTINGS_OK)                                                  \
    EVENT(SETTINGS_REFUSED)                                             \
    EVENT(PACKAGE)                                                      \
    EVENT(LOADED_SENT)                                                  \
    EVENT(LOAD_FAILED)                                                  \
    EVENT(GRANT)                                                        \
    EVENT(ABORT)                                                        \
    EVENT(STREAM_END)

/* ROW(state, event, next state) */
#define HANDOFF_SRC_TABLE(ROW)                                          \
    ROW(IDLE, HELLO_SENT, HELLO)                                        \
    ROW(HELLO, PEER_AGREES, ASKED)                                      \
    ROW(HELLO, PEER_PLAIN, PLAIN)                                       \
    ROW(ASKED, PEER_READY, PRECOPY)                                     \
    ROW(ASKED, PEER_REFUSES, BACK)                                      \
    ROW(PRECOPY, VM_STOPPED, STOPPED)                                   \
    ROW(STOPPED, PACKAGE_SENT, PACKAGED)                                \
    ROW(PACKAGED, PEER_LOADED, GRANTED)                                 \
    ROW(GRANTED, PEER_RUNNING, RUNNING)                                 \
    ROW(RUNNING, PEER_RUNNING, RUNNING)                                 \
    ROW(RUNNING, PEER_DONE, DONE)                                       \
    ROW(PAUSED, RECOVER, GRANTED)       /* and GRANT is said again */   \
    /* until GRANT, whatever goes wrong leaves the guest here */        \
    ROW(IDLE, LINK_LOST, BACK)                                          \
    ROW(IDLE, CANCEL, BACK)                                             \
    ROW(IDLE, TIMEOUT, BACK)                                            \
    ROW(HELLO, LINK_LOST, BACK)                                         \
    ROW(HELLO, CANCEL, BACK)                                            \
    ROW(HELLO, TIMEOUT, BACK)                                           \
    ROW(ASKED, LINK_LOST, BACK)                                         \
    ROW(ASKED, CANCEL, BACK)                                            \
    ROW(ASKED, TIMEOUT, BACK)                                           \
    ROW(PRECOPY, LINK_LOST, BACK)                                       \
    ROW(PRECOPY, CANCEL, BACK)                                          \
    ROW(PRECOPY, TIMEOUT, BACK)                                         \
    ROW(STOPPED, LINK_LOST, BACK)                                       \
    ROW(STOPPED, CANCEL, BACK)                                          \
    ROW(STOPPED, TIMEOUT, BACK)                                         \
    ROW(PACKAGED, LINK_LOST, BACK)                                      \
    ROW(PACKAGED, CANCEL, BACK)                                         \
    ROW(PACKAGED, TIMEOUT, BACK)                                        \
    /* afterwards it is a pause, and no cancel, no time-out */          \
    ROW(GRANTED, LINK_LOST, PAUSED)                                     \
    ROW(RUNNING, LINK_LOST, PAUSED)                                     \
    ROW(PAUSED, LINK_LOST, PAUSED)

#define HANDOFF_DST_TABLE(ROW)                                          \
    ROW(WAIT, HELLO, AGREED)                                            \
    ROW(AGREED, SETTINGS_OK, READY)                                     \
    ROW(AGREED, SETTINGS_REFUSED, GONE)                                 \
    ROW(READY, PACKAGE, LOADING)                                        \
    ROW(LOADING, LOADED_SENT, LOADED)                                   \
    ROW(LOADING, LOAD_FAILED, GONE)                                     \
    ROW(LOADED, GRANT, RUNNING)                                         \
    ROW(RUNNING, GRANT, RUNNING)        /* said again: answer again */  \
    ROW(RUNNING, STREAM_END, DONE)                                      \
    ROW(LOADED_PAUSED, RECOVER, LOADED)                                 \
    ROW(RUNNING_PAUSED, RECOVER, RUNNING)                               \
    /* the source keeps the guest */                                    \
    ROW(AGREED, ABORT, GONE)                                            \
    ROW(READY, ABORT, GONE)                                             \
    ROW(LOADING, ABORT, GONE)                                           \
    ROW(LOADED, ABORT, GONE)                                            \
    /* before LOADED is sent GRANT cannot be on its way, then it may be */ \
    ROW(WAIT, LINK_LOST, GONE)                                          \
    ROW(AGREED, LINK_LOST, GONE)                                        \
    ROW(READY, LINK_LOST, GONE)                                         \
    ROW(LOADING, LINK_LOST, GONE)                                       \
    ROW(LOADED, LINK_LOST, LOADED_PAUSED)                               \
    ROW(RUNNING, LINK_LOST, RUNNING_PAUSED)                             \
    /* a recovery that broke before GRANT was said again */             \
    ROW(LOADED_PAUSED, LINK_LOST, LOADED_PAUSED)                        \
    ROW(RUNNING_PAUSED, LINK_LOST, RUNNING_PAUSED)

#endif
