/*
 * Hybrid live migration: which message is taken in which state.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The one copy of these rules, beside the handoff's own table: lists only.
 * protocol/gate.c holds each message against it before anything is done with
 * it, QEMU's own messages as well as the private ones; the unit test walks
 * all pairs; docs/handoff.md explains them.
 *
 * A message without a row in a state is an error of the stream.  It changes
 * nothing, and the connection ends as if it had been lost.
 */

#ifndef QEMU_MIGRATION_HYBRID_GATE_TABLE_H
#define QEMU_MIGRATION_HYBRID_GATE_TABLE_H

/*
 * VERDICT(name, why): PASS is handled, the others are ignored on purpose.
 */
#define HYBRID_GATE_VERDICTS(VERDICT)                                   \
    VERDICT(PASS, "is handled")                                         \
    VERDICT(LATE, "was on its way when this side went on")              \
    VERDICT(AGAIN, "was said before and changes nothing")               \
    VERDICT(NEWER, "is of a newer peer, harmless by contract")

/*
 * At the source.  MSG(name, kind): the private message's kind, 0: one of
 * QEMU's own.  ACK and ECHO are the two answers to the hello, PONG any other;
 * SHUT says that all has come, SHUT_EARLY the same while pages are missing,
 * SHUT_ERROR that the destination failed.  OTHER: kinds that are not known.
 */
#define HYBRID_GATE_SRC_MESSAGES(MSG)                                   \
    MSG(ACK, 0)                                                         \
    MSG(ECHO, 0)                                                        \
    MSG(PONG, 0)                                                        \
    MSG(SHUT, 0)                                                        \
    MSG(SHUT_EARLY, 0)                                                  \
    MSG(SHUT_ERROR, 0)                                                  \
    MSG(REQ_PAGES, 0)                                                   \
    MSG(RECV_BITMAP, 0)                                                 \
    MSG(RESUME_ACK, 0)                                                  \
    MSG(SWITCHOVER_ACK, 0)                                              \
    MSG(READY, HYBRID_MSG_READY)                                        \
    MSG(REFUSE, HYBRID_MSG_REFUSE)                                      \
    MSG(LOADED, HYBRID_MSG_LOADED)                                      \
    MSG(RUNNING, HYBRID_MSG_RUNNING)                                    \
    MSG(STATS, HYBRID_MSG_STATS)                                        \
    MSG(PLACED, HYBRID_MSG_PLACED)                                      \
    MSG(FAILED, HYBRID_MSG_FAILED)                                      \
    MSG(ALIVE, HYBRID_MSG_ALIVE)                                        \
    MSG(DELTAS, HYBRID_MSG_DELTAS)                                      \
    MSG(RAW, HYBRID_MSG_RAW)                                            \
    MSG(DROPPED, HYBRID_MSG_DROPPED)                                    \
    MSG(OTHER, 0)

/* What may come in any state in which the connection is in use */
#define HYBRID_GATE_SRC_ALWAYS(ROW, state)                              \
    ROW(state, PONG, PASS)                                              \
    ROW(state, SHUT_ERROR, PASS)

/* And between peers that have agreed */
#define HYBRID_GATE_SRC_AGREED(ROW, state)                              \
    HYBRID_GATE_SRC_ALWAYS(ROW, state)                                  \
    ROW(state, FAILED, PASS)                                            \
    ROW(state, ALIVE, PASS)                                             \
    ROW(state, OTHER, NEWER)

/* The destination has the package: it may need pages */
#define HYBRID_GATE_SRC_PAGING(ROW, state)                              \
    HYBRID_GATE_SRC_AGREED(ROW, state)                                  \
    ROW(state, REQ_PAGES, PASS)                                         \
    ROW(state, PLACED, PASS)                                            \
    ROW(state, RAW, PASS)

/*
 * The connection is of no use any more.  Not RECV_BITMAP: the bitmap comes
 * behind it, and nobody would read that.
 */
#define HYBRID_GATE_SRC_OVER(ROW, state)                                \
    ROW(state, ACK, LATE)                                               \
    ROW(state, ECHO, LATE)                                              \
    ROW(state, PONG, LATE)                                              \
    ROW(state, SHUT, PASS)      /* ends it */                           \
    ROW(state, SHUT_EARLY, PASS)                                        \
    ROW(state, SHUT_ERROR, PASS)                                        \
    ROW(state, REQ_PAGES, LATE)                                         \
    ROW(state, RESUME_ACK, LATE)                                        \
    ROW(state, SWITCHOVER_ACK, LATE)                                    \
    ROW(state, READY, LATE)                                             \
    ROW(state, REFUSE, LATE)                                            \
    ROW(state, LOADED, LATE)    /* the guest stays here all the same */ \
    ROW(state, RUNNING, LATE)                                           \
    ROW(state, STATS, LATE)                                             \
    ROW(state, PLACED, LATE)                                            \
    ROW(state, FAILED, PASS)    /* may tell why */                      \
    ROW(state, ALIVE, LATE)                                             \
    ROW(state, DELTAS, LATE)                                            \
    ROW(state, RAW, LATE)                                               \
    ROW(state, DROPPED, LATE)                                           \
    ROW(state, OTHER, LATE)

#define HYBRID_GATE_SRC_TABLE(ROW)                                      \
    HYBRID_GATE_SRC_ALWAYS(ROW, IDLE)                                   \
    ROW(IDLE, SWITCHOVER_ACK, PASS)                                     \
    HYBRID_GATE_SRC_ALWAYS(ROW, HELLO)                                  \
    ROW(HELLO, SWITCHOVER_ACK, PASS)                                    \
    ROW(HELLO, ACK, PASS)                                               \
    ROW(HELLO, ECHO, PASS)                                              \
    HYBRID_GATE_SRC_AGREED(ROW, ASKED)                                  \
    ROW(ASKED, SWITCHOVER_ACK, PASS)                                    \
    ROW(ASKED, READY, PASS)                                             \
    ROW(ASKED, REFUSE, PASS)                                            \
    HYBRID_GATE_SRC_AGREED(ROW, PRECOPY)                                \
    ROW(PRECOPY, SWITCHOVER_ACK, PASS)                                  \
    ROW(PRECOPY, DROPPED, PASS)                                         \
    HYBRID_GATE_SRC_AGREED(ROW, STOPPED)                                \
    ROW(STOPPED, SWITCHOVER_ACK, PASS)                                  \
    ROW(STOPPED, DROPPED, PASS)                                         \
    HYBRID_GATE_SRC_PAGING(ROW, PACKAGED)                               \
    ROW(PACKAGED, LOADED, PASS)                                         \
    ROW(PACKAGED, DROPPED, LATE)   /* RAW follows */                    \
    HYBRID_GATE_SRC_PAGING(ROW, GRANTED)                                \
    ROW(GRANTED, LOADED, AGAIN)                                         \
    ROW(GRANTED, RUNNING, PASS)                                         \
    /* a recovery: GRANT is said, then the bitmaps are asked for */     \
    ROW(GRANTED, RECV_BITMAP, PASS)                                     \
    ROW(GRANTED, RESUME_ACK, PASS)                                      \
    ROW(GRANTED, DELTAS, PASS)                                          \
    HYBRID_GATE_SRC_PAGING(ROW, RUNNING)                                \
    ROW(RUNNING, LOADED, AGAIN)                                         \
    ROW(RUNNING, RUNNING, PASS)                                         \
    ROW(RUNNING, STATS, PASS)                                           \
    ROW(RUNNING, SHUT, PASS)                                            \
    ROW(RUNNING, RECV_BITMAP, PASS)                                     \
    ROW(RUNNING, RESUME_ACK, PASS)                                      \
    ROW(RUNNING, DELTAS, PASS)                                          \
    /* of the lost connection; or "cont" there, before GRANT was heard */ \
    HYBRID_GATE_SRC_OVER(ROW, PAUSED)                                   \
    HYBRID_GATE_SRC_OVER(ROW, DONE)                                     \
    HYBRID_GATE_SRC_OVER(ROW, BACK)                                     \
    /* Upstream's rules */                                              \
    HYBRID_GATE_SRC_ALWAYS(ROW, PLAIN)                                  \
    ROW(PLAIN, ACK, LATE)                                               \
    ROW(PLAIN, ECHO, AGAIN)                                             \
    ROW(PLAIN, SHUT, PASS)                                              \
    ROW(PLAIN, SHUT_EARLY, PASS)                                        \
    ROW(PLAIN, REQ_PAGES, PASS)                                         \
    ROW(PLAIN, RECV_BITMAP, PASS)                                       \
    ROW(PLAIN, RESUME_ACK, PASS)                                        \
    ROW(PLAIN, SWITCHOVER_ACK, PASS)

/*
 * At the destination.  Besides the handoff's states: PLAIN, the source has
 * begun an ordinary migration without a hello, and PACKAGE, inside of the
 * package, which the main thread loads while the state is LOADING for what
 * comes behind it.
 */
#define HYBRID_GATE_PLACES(STATE)                                       \
    STATE(PLAIN, 0)                                                     \
    STATE(PACKAGE, 0)

/*
 * MSG(name, sort, number): a SECTION of QEMU's stream of that type, a COMMAND
 * of that number, or a PRIVATE message of that kind.  All are what is on the
 * wire.  DATA is a part of an iterable's state, that is of pages; STATE the
 * beginning of it, or a device's.
 */
#define HYBRID_GATE_DST_MESSAGES(MSG)                                   \
    MSG(END, SECTION, 0x00)                                             \
    MSG(START, SECTION, 0x01)                                           \
    MSG(DATA, SECTION, 0x02)                                            \
    MSG(DATA_END, SECTION, 0x03)                                        \
    MSG(STATE, SECTION, 0x04)                                           \
    MSG(OPEN_RETURN_PATH, COMMAND, 1)                                   \
    MSG(PING, COMMAND, 2)                                               \
    MSG(ADVISE, COMMAND, 3)                                             \
    MSG(LISTEN, COMMAND, 4)                                             \
    MSG(RUN, COMMAND, 5)                                                \
    MSG(RAM_DISCARD, COMMAND, 6)                                        \
    MSG(PACKAGED, COMMAND, 7)                                           \
    MSG(ENABLE_COLO, COMMAND, 8)                                        \
    MSG(RESUME, COMMAND, 9)                                             \
    MSG(RECV_BITMAP, COMMAND, 10)                                       \
    MSG(SWITCHOVER_START, COMMAND, 11)                                  \
    MSG(HELLO, HELLO, 0)                                                \
    MSG(SETTINGS, PRIVATE, HYBRID_MSG_SETTINGS)                         \
    MSG(GRANT, PRIVATE, HYBRID_MSG_GRANT)                               \
    MSG(ABORT, PRIVATE, HYBRID_MSG_ABORT)                               \
    MSG(DISCARD, PRIVATE, HYBRID_MSG_DISCARD)                           \
    MSG(ALIVE, PRIVATE, HYBRID_MSG_ALIVE_TO_DST)                        \
    MSG(SECTIONS, PRIVATE, HYBRID_MSG_SECTIONS)                         \
    MSG(BASE, PRIVATE, HYBRID_MSG_BASE)                                 \
    MSG(DELTAS, PRIVATE, HYBRID_MSG_DELTAS_TO_DST)                      \
    MSG(BLOCKS, PRIVATE, HYBRID_MSG_BLOCKS)                             \
    MSG(OTHER, OTHER, 0)

/* A hello that is not the first gets QEMU's ordinary answer to a PING */
#define HYBRID_GATE_DST_AGREED(ROW, state)                              \
    ROW(state, PING, PASS)                                              \
    ROW(state, HELLO, AGAIN)                                            \
    ROW(state, ALIVE, PASS)                                             \
    ROW(state, OTHER, NEWER)

#define HYBRID_GATE_DST_UPSTREAM(ROW, state)                            \
    ROW(state, END, PASS)                                               \
    ROW(state, START, PASS)                                             \
    ROW(state, DATA, PASS)                                              \
    ROW(state, DATA_END, PASS)                                          \
    ROW(state, STATE, PASS)                                             \
    ROW(state, OPEN_RETURN_PATH, PASS)                                  \
    ROW(state, PING, PASS)                                              \
    ROW(state, ADVISE, PASS)                                            \
    ROW(state, LISTEN, PASS)                                            \
    ROW(state, RUN, PASS)                                               \
    ROW(state, RAM_DISCARD, PASS)                                       \
    ROW(state, RESUME, PASS)                                            \
    ROW(state, PACKAGED, PASS)                                          \
    ROW(state, ENABLE_COLO, PASS)                                       \
    ROW(state, RECV_BITMAP, PASS)                                       \
    ROW(state, SWITCHOVER_START, PASS)                                  \
    ROW(state, HELLO, LATE)

#define HYBRID_GATE_DST_TABLE(ROW)                                      \
    /* The first of anything else makes it PLAIN */                     \
    ROW(WAIT, OPEN_RETURN_PATH, PASS)                                   \
    ROW(WAIT, PING, PASS)                                               \
    ROW(WAIT, HELLO, PASS)                                              \
    HYBRID_GATE_DST_AGREED(ROW, AGREED)                                 \
    ROW(AGREED, SECTIONS, PASS)                                         \
    ROW(AGREED, BLOCKS, PASS)                                           \
    ROW(AGREED, SETTINGS, PASS)                                         \
    ROW(AGREED, ABORT, PASS)                                            \
    HYBRID_GATE_DST_AGREED(ROW, READY)                                  \
    ROW(READY, ADVISE, PASS)                                            \
    ROW(READY, START, PASS)                                             \
    ROW(READY, STATE, PASS)     /* of devices that go before RAM */     \
    ROW(READY, DATA, PASS)                                              \
    ROW(READY, DATA_END, PASS)                                          \
    ROW(READY, RAM_DISCARD, PASS)                                       \
    ROW(READY, DISCARD, PASS)                                           \
    ROW(READY, BASE, PASS)                                              \
    ROW(READY, SWITCHOVER_START, PASS)                                  \
    ROW(READY, PACKAGED, PASS)                                          \
    ROW(READY, ABORT, PASS)                                             \
    /* All that may be in the package */                                \
    ROW(PACKAGE, LISTEN, PASS)                                          \
    ROW(PACKAGE, STATE, PASS)                                           \
    ROW(PACKAGE, PING, PASS)                                            \
    ROW(PACKAGE, RUN, PASS)                                             \
    /* Behind it: pages */                                              \
    HYBRID_GATE_DST_AGREED(ROW, LOADING)                                \
    ROW(LOADING, DATA, PASS)                                            \
    ROW(LOADING, ABORT, PASS)                                           \
    HYBRID_GATE_DST_AGREED(ROW, LOADED)                                 \
    ROW(LOADED, DATA, PASS)                                             \
    ROW(LOADED, ABORT, PASS)                                            \
    ROW(LOADED, GRANT, PASS)                                            \
    HYBRID_GATE_DST_AGREED(ROW, RUNNING)                                \
    ROW(RUNNING, DATA, PASS)                                            \
    ROW(RUNNING, DATA_END, PASS)                                        \
    ROW(RUNNING, END, PASS)                                             \
    ROW(RUNNING, GRANT, PASS)   /* answered again */                    \
    ROW(RUNNING, DELTAS, PASS)                                          \
    ROW(RUNNING, ABORT, LATE)   /* of no meaning after GRANT */         \
    ROW(RUNNING, RECV_BITMAP, PASS)                                     \
    ROW(RUNNING, RESUME, PASS)                                          \
    /* Whoever connects has to show the right GRANT first */            \
    ROW(LOADED_PAUSED, GRANT, PASS)                                     \
    ROW(RUNNING_PAUSED, GRANT, PASS)                                    \
    /* Over; what is read now is a snapshot, or nothing */              \
    HYBRID_GATE_DST_UPSTREAM(ROW, DONE)                                 \
    HYBRID_GATE_DST_UPSTREAM(ROW, PLAIN)

#endif
