/*
 * Hybrid live migration: model of the handoff, for spin.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The rules are not here: both sides take their steps from the transition
 * table that QEMU is compiled with.  What is here is everything around the
 * table: messages in flight, threads, an operator, and all that goes wrong.
 *
 * A connection is ordered and loses nothing until it breaks (TCP, TLS, unix).
 * It breaks at any time.  Then what is in flight arrives up to some message
 * and the rest is lost, separately in both directions; each side notices when
 * it likes, and what it sends until then goes nowhere.  Or only what the
 * destination says comes no more (a connection that is closed by halves): then
 * the source, when it has noticed, can still say ABORT.  Both hosts may die at
 * any time, the operator may cancel at any time, and the source's time-out
 * may strike whenever it is armed, as no message has a bounded delay.
 *
 * There are ATTEMPTS destinations, one for each migration: a source that kept
 * its guest migrates again, to a new destination, while the old one may still
 * be waiting in a pause.  The operator recovers a paused migration, and once
 * picks the wrong destination for it.
 *
 * Every run ends (tests/model/run has spin prove it), so what is promised for
 * the end is checked once nothing can move any more: see handoff-world.pml.
 *
 * With MUTANT_x defined the protocol is broken on purpose; with REPLAY, the
 * steps are held to those of a trace, see tests/model/replay.
 */

#include "../../migration/protocol/handoff-table.h"

#ifndef ATTEMPTS
#define ATTEMPTS 2
#endif
#ifndef BREAKS
#define BREAKS 2
#endif

#define DECLARE_SRC(name, owner) mtype = { SRC_##name };
#define DECLARE_DST(name, owner) mtype = { DST_##name };
#define DECLARE_EVENT(name) mtype = { EV_##name };
HANDOFF_SRC_STATES(DECLARE_SRC)
HANDOFF_DST_STATES(DECLARE_DST)
HANDOFF_EVENTS(DECLARE_EVENT)

/* DONE is QEMU's own SHUT; ECHO the answer of a QEMU without this module */
mtype = { MSG_HELLO, MSG_SETTINGS, MSG_PACKAGE, MSG_GRANT, MSG_ABORT, MSG_END,
          MSG_ACK, MSG_ECHO, MSG_READY, MSG_REFUSE, MSG_LOADED, MSG_RUNNING,
          MSG_DONE };

/* The source; a migration is named by the number of its destination */
mtype src = SRC_IDLE;
byte mig;                   /* which migration */
byte cur;                   /* which destination it is connected to */
bool src_alive = true;
bool src_open = true;       /* it holds its end of the connection */
bool agreed;                /* the peer acknowledged the hello */
byte said;                  /* the migration thread's progress, see SAID_x */
bool heard_loaded;
bool half_closed;           /* nothing comes from the destination any more */
bool grant_due;             /* decided, but not in the socket yet */
bool end_said;
bool plain_given;           /* package sent to a peer without the protocol */

#define SAID_HELLO    0
#define SAID_SETTINGS 1
#define SAID_READY    2     /* the peer said it */
#define SAID_PACKAGE  3

/* The destinations */
mtype dst[ATTEMPTS] = DST_WAIT;
bool dst_alive[ATTEMPTS] = true;
bool dst_open[ATTEMPTS];
bool patched[ATTEMPTS];
bool started[ATTEMPTS];     /* the guest was started, or left to "cont" */
bool vcpus[ATTEMPTS];       /* its vCPUs were started */
bool plain_runs[ATTEMPTS];

/* The connections.  A message carries the migration that it is about. */
bool link[ATTEMPTS];
chan fwd[ATTEMPTS] = [4] of { mtype, byte };
chan bwd[ATTEMPTS] = [5] of { mtype };

/* What may still go wrong in this run, chosen at its start */
byte breaks;
byte blunders;
bool may_cancel;
bool src_mortal;
bool dst_mortal[ATTEMPTS];

/* For the properties: GRANT of this migration was decided */
bool granted[ATTEMPTS];

bool over;                  /* nothing moves any more */
bool bad;                   /* replay: a step that the trace does not have */
byte src_at, dst_at;        /* replay: steps of the trace taken */

/* Used within one atomic step only, so no part of the state */
hidden byte took;           /* the next state, 0: refused */
hidden mtype msg;
hidden byte about;

/*
 * The table, written by init and constant from then on, therefore no part of
 * the state either: who owns the guest in which state, and what comes next by
 * state and event (0: refused).
 */
#define NAMES 80            /* more than there are names in the mtype */
hidden byte owner[NAMES];
hidden byte rows[NAMES * NAMES];
#define FILL_OWNER_SRC(name, is_owner) owner[SRC_##name] = is_owner;
#define FILL_OWNER_DST(name, is_owner) owner[DST_##name] = is_owner;
#define SRC_ROW(s, e, n) rows[SRC_##s * NAMES + EV_##e] = SRC_##n;
#define DST_ROW(s, e, n) rows[DST_##s * NAMES + EV_##e] = DST_##n;

inline fill_table()
{
    HANDOFF_SRC_STATES(FILL_OWNER_SRC)
    HANDOFF_DST_STATES(FILL_OWNER_DST)
    HANDOFF_SRC_TABLE(SRC_ROW)
    HANDOFF_DST_TABLE(DST_ROW)
#ifdef MUTANT_RESUME_ON_LINK_LOSS
    SRC_ROW(GRANTED, LINK_LOST, BACK)
#endif
#ifdef MUTANT_CANCEL_AFTER_GRANT
    SRC_ROW(GRANTED, CANCEL, BACK)
#endif
#ifdef MUTANT_TIMEOUT_AFTER_GRANT
    SRC_ROW(GRANTED, TIMEOUT, BACK)
#endif
#ifdef MUTANT_RESUME_FROM_PAUSE
    SRC_ROW(PAUSED, CANCEL, BACK)
#endif
#ifdef MUTANT_START_WITHOUT_GRANT
    DST_ROW(LOADING, LOADED_SENT, RUNNING)
#endif
#ifdef MUTANT_EXIT_WHEN_LOADED
    DST_ROW(LOADED, LINK_LOST, GONE)
#endif
    skip
}

#define SRC_OWNS (owner[src] && !plain_given)
#define DST_OWNS(n) (owner[dst[n]] || plain_runs[n])

/* The other destination, or the same if there is only one */
#define LAST (ATTEMPTS - 1)
#define GIVEN (granted[0] || granted[LAST] || plain_given)

/* ---- steps of the table ---- */

#ifdef REPLAY
/* The trace: SRC_STEPS, SRC_FITS(ev), DST_STEPS, DST_FITS(ev) */
#include REPLAY
#define CHECK_SRC(ev)                                                   \
    if                                                                  \
    :: SRC_FITS(ev) -> src_at = src_at + (SRC_STEPS > 0)                \
    :: else -> bad = true                                               \
    fi;                                                                 \
    assert(bad || src_at < SRC_STEPS || dst_at < DST_STEPS)
#define CHECK_DST(ev)                                                   \
    if                                                                  \
    :: DST_FITS(ev) -> dst_at = dst_at + (DST_STEPS > 0)                \
    :: else -> bad = true                                               \
    fi;                                                                 \
    assert(bad || src_at < SRC_STEPS || dst_at < DST_STEPS)
#else
/* Where a formula is checked (LTL), nothing else shall find the faults */
#ifdef LTL
#define PROMISE(condition) skip
#else
#define PROMISE(condition) assert(condition)
#endif

/* Never two copies, never one that was not granted, no way back */
#define CHECK                                                            \
    PROMISE(SRC_OWNS + DST_OWNS(0) + (LAST > 0 && DST_OWNS(LAST)) <= 1); \
    PROMISE(!DST_OWNS(0) || granted[0] || plain_runs[0]);                \
    PROMISE(!DST_OWNS(LAST) || granted[LAST] || plain_runs[LAST]);       \
    PROMISE(!granted[mig] || !SRC_OWNS)
#define CHECK_SRC(ev) CHECK
#define CHECK_DST(ev) CHECK
#endif

inline src_step(ev)
{
    took = rows[src * NAMES + ev];
    if
    :: took ->
        src = took;
        CHECK_SRC(ev)
    :: else
    fi
}

inline dst_step(d, ev)
{
    took = rows[dst[d] * NAMES + ev];
    if
    :: took ->
        dst[d] = took;
        CHECK_DST(ev)
    :: else
    fi
}

/* ---- connections ---- */

/* A connection that is broken, or closed by the peer, swallows everything */
inline tell(m)
{
    if
    :: src_open && link[cur] -> assert(nfull(fwd[cur])); fwd[cur]!m(mig)
    :: else
    fi
}

inline answer(d, m)
{
    if
    :: dst_open[d] && link[d] -> assert(nfull(bwd[d])); bwd[d]!m
    :: else
    fi
}

/* What was sent before still arrives, if the peer reads it */
inline src_close()
{
    src_open = false;
    link[cur] = false;
    half_closed = false;
    heard_loaded = false;
    grant_due = false;
    do
    :: bwd[cur]?_
    :: empty(bwd[cur]) -> break
    od
}

inline dst_close(d)
{
    dst_open[d] = false;
    link[d] = false;
    do
    :: fwd[d]?_(_)
    :: empty(fwd[d]) -> break
    od
}

/* ---- the source ---- */

#define S (src_alive && !bad)

proctype source()
{
    do
    /* the migration thread */
    :: atomic { S && src == SRC_IDLE && src_open ->
            src_step(EV_HELLO_SENT);
            tell(MSG_HELLO)
       }
    /* it may overlook a cancel and send on, until it closes */
    :: atomic { S && src_open && agreed && said == SAID_HELLO ->
            said = SAID_SETTINGS;
            tell(MSG_SETTINGS)
       }
    :: atomic { S && src == SRC_PRECOPY -> src_step(EV_VM_STOPPED) }
    :: atomic { S && src_open && said == SAID_READY &&
                (src == SRC_STOPPED || src == SRC_BACK) ->
            said = SAID_PACKAGE;
            tell(MSG_PACKAGE)
       }
    :: atomic { S && src == SRC_STOPPED && said == SAID_PACKAGE ->
            src_step(EV_PACKAGE_SENT)
       }
    :: atomic { S && src == SRC_PACKAGED && heard_loaded ->
            src_step(EV_PEER_LOADED);
            granted[mig] = true;
            grant_due = true
       }
    :: atomic { S && grant_due ->
            grant_due = false;
            tell(MSG_GRANT)
       }
    /* the last page is sent (ending as precopy, only after RUNNING) */
    :: atomic { S && src_open && !grant_due && !end_said &&
                (src == SRC_GRANTED || src == SRC_RUNNING) ->
            end_said = true;
            tell(MSG_END)
       }
    /* back: say ABORT, or just close (no time for it, or it is stuck) */
    :: atomic { S && src == SRC_BACK && src_open ->
            if
            :: agreed -> tell(MSG_ABORT)
            :: true
            fi;
            src_close()
       }

    /* the return path thread */
    :: atomic { S && src_open && nempty(bwd[cur]) ->
            bwd[cur]?msg;
            if
            :: msg == MSG_ACK ->
                src_step(EV_PEER_AGREES);
                agreed = (took > 0)
            :: msg == MSG_ECHO -> src_step(EV_PEER_PLAIN)
            :: msg == MSG_READY ->
                src_step(EV_PEER_READY);
                if
                :: said == SAID_SETTINGS -> said = SAID_READY
                :: else
                fi
            :: msg == MSG_REFUSE -> src_step(EV_PEER_REFUSES)
            :: msg == MSG_LOADED -> heard_loaded = true
            :: msg == MSG_RUNNING -> src_step(EV_PEER_RUNNING)
            :: msg == MSG_DONE ->
                src_step(EV_PEER_DONE);
                src_close()
            fi
       }

    /* what goes wrong */
    :: atomic { S && src_open && !link[cur] && src != SRC_PLAIN ->
            src_step(EV_LINK_LOST);
            src_close()
       }
    :: atomic { S && src_open && half_closed && src != SRC_PLAIN ->
            half_closed = false;
            src_step(EV_LINK_LOST);
            if
            :: src != SRC_BACK -> src_close()
            :: else             /* it can say ABORT */
            fi
       }
    :: atomic { S && may_cancel ->
            may_cancel = false;
            if
            :: src_step(EV_CANCEL)
            :: src_step(EV_TIMEOUT)     /* also where QEMU arms none */
            fi
       }
    :: atomic { S && (src == SRC_STOPPED || src == SRC_PACKAGED ||
                      grant_due && link[cur] && breaks > 0) ->
            src_step(EV_TIMEOUT);
            if
            :: !took -> breaks--; link[cur] = false /* break it off: stuck */
            :: else
            fi
       }

    /* a new connection after a pause; it may turn out to be broken */
    :: atomic { S && src == SRC_PAUSED && src_open ->
            src_step(EV_RECOVER);
            end_said = false;
#ifndef MUTANT_GRANT_ONLY_ONCE
            grant_due = true
#endif
       }

    /* a new migration, to another destination */
    :: atomic { S && src == SRC_BACK && !src_open && mig + 1 < ATTEMPTS ->
            mig++;
            cur = mig;
            src = SRC_IDLE;
            agreed = false;
            said = SAID_HELLO;
            end_said = false;
            src_open = dst_alive[cur];
            link[cur] = dst_alive[cur];
            dst_open[cur] = dst_alive[cur];
            if
            :: !src_open -> src_step(EV_LINK_LOST)
            :: else
            fi
       }

    /*
     * A peer without the protocol: it starts the guest as soon as it has the
     * package, so from then on the source keeps its hands off.
     */
    :: atomic { S && src == SRC_PLAIN && src_open && !plain_given ->
            if
            :: link[cur] -> plain_given = true; tell(MSG_PACKAGE)
            :: true -> src_close()
            fi
       }
    :: atomic { S && src == SRC_PLAIN && src_open && !link[cur] ->
#ifdef MUTANT_PLAIN_RESUMES
            plain_given = false;
#endif
            src_close()
       }

    :: atomic { S && src_mortal ->
            src_alive = false;
            src_close()
       }
    :: over -> break
    od
}

/* ---- a destination ---- */

#define D (dst_alive[d] && !bad)
#define D_PAUSED(n) \
    (dst[n] == DST_LOADED_PAUSED || dst[n] == DST_RUNNING_PAUSED)

proctype destination(byte d)
{
    do
    /* the thread that reads the stream; at its end it waits for the start */
    :: atomic { D && dst_open[d] && nempty(fwd[d]) &&
                (started[d] || !fwd[d]?[MSG_END, _]) ->
            fwd[d]?msg(about);
            if
            :: msg == MSG_HELLO && !patched[d] -> answer(d, MSG_ECHO)
            :: msg == MSG_HELLO && patched[d] ->
                dst_step(d, EV_HELLO);
                answer(d, MSG_ACK)
            :: msg == MSG_SETTINGS ->
                dst_step(d, EV_SETTINGS_OK);
                answer(d, MSG_READY)
            :: msg == MSG_SETTINGS ->
                dst_step(d, EV_SETTINGS_REFUSED);
                answer(d, MSG_REFUSE);
                dst_close(d)
            :: msg == MSG_PACKAGE && patched[d] -> dst_step(d, EV_PACKAGE)
            :: msg == MSG_PACKAGE && !patched[d] ->
                plain_runs[d] = true;
                answer(d, MSG_DONE);
                dst_close(d)
#ifndef MUTANT_GRANT_WITHOUT_ID
            /* GRANT of another migration: as good as a broken link */
            :: msg == MSG_GRANT && about != d ->
                dst_step(d, EV_LINK_LOST);
                dst_close(d)
            :: msg == MSG_GRANT && about == d ->
#else
            :: msg == MSG_GRANT ->
#endif
                if
                :: D_PAUSED(d) -> dst_step(d, EV_RECOVER)
                :: else
                fi;
                dst_step(d, EV_GRANT);
#ifndef MUTANT_RUNNING_ONLY_ONCE
                if
                :: started[d] -> answer(d, MSG_RUNNING)
                :: else         /* the start itself will say it */
                fi
#endif
            :: msg == MSG_ABORT ->
                dst_step(d, EV_ABORT);
                if
                :: took -> dst_close(d)
                :: else
                fi
            :: msg == MSG_END ->
                dst_step(d, EV_STREAM_END);
                answer(d, MSG_DONE);
                dst_close(d)
            fi
       }
    /* the thread that loads the package */
    :: atomic { D && dst[d] == DST_LOADING ->
            dst_step(d, EV_LOADED_SENT);
            answer(d, MSG_LOADED)
       }
    :: atomic { D && dst[d] == DST_LOADING ->
            dst_step(d, EV_LOAD_FAILED);
            dst_close(d)
       }
#ifdef MUTANT_LOADED_AFTER_GONE
    /* one thread gives up, the other one does not look and says LOADED */
    :: atomic { D && dst[d] == DST_LOADING ->
            dst_step(d, EV_LINK_LOST);
            answer(d, MSG_LOADED);
            dst_close(d)
       }
#endif
    /* the main thread: started, or left to the management layer */
    :: atomic { D && !started[d] && patched[d] &&
                (dst[d] == DST_RUNNING || dst[d] == DST_RUNNING_PAUSED) ->
            started[d] = true;
            if
            :: vcpus[d] = true
            :: true             /* "cont" will follow */
            fi;
            answer(d, MSG_RUNNING)
       }
    :: atomic { D && started[d] && !vcpus[d] ->
            vcpus[d] = true;
            answer(d, MSG_RUNNING)
       }

    /* a new connection after a pause */
    :: atomic { D && D_PAUSED(d) && dst_open[d] && link[d] ->
            dst_step(d, EV_RECOVER)
       }

    /* what goes wrong */
    :: atomic { D && dst_open[d] && !link[d] ->
            if
            :: patched[d] -> dst_step(d, EV_LINK_LOST)
            :: else
            fi;
            dst_close(d)
       }
    :: atomic { D && dst_mortal[d] ->
            dst_alive[d] = false;
            dst_close(d)
       }
    :: over -> break
    od
}

#include "handoff-world.pml"
