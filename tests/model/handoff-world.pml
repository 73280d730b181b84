/*
 * Hybrid live migration: model of the handoff, what surrounds the two sides.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Included by handoff.pml: the link, the operator, what is promised for the
 * end of every run, and the formulas.
 */

/* migrate-recover at a paused destination, "migrate -r" at the source */
inline reconnect(d)
{
    dst_close(d);
    src_close();
    do
    :: bwd[d]?_
    :: empty(bwd[d]) -> break
    od;
    cur = d;
    link[d] = true;
    src_open = true;
    dst_open[d] = true
}

#define RECOVERABLE(n) \
    (!bad && src_alive && src == SRC_PAUSED && !src_open && dst_alive[n] && \
     D_PAUSED(n) && !dst_open[n])

proctype world()
{
    do
    :: atomic { breaks > 0 && link[cur] && !bad ->
#ifndef MUTANT_BREAKS_FOREVER
            breaks--;
#endif
            link[cur] = false
       }
    :: atomic { breaks > 0 && link[cur] && src_open && !half_closed && !bad ->
            breaks--;
            half_closed = true
       }
    :: atomic { RECOVERABLE(mig) -> reconnect(mig) }
#if ATTEMPTS > 1
    :: atomic { blunders > 0 && mig == 1 && RECOVERABLE(0) ->
            blunders--;
            reconnect(0)
       }
#endif
    :: over -> break
    od
}

#ifndef REPLAY
/*
 * Once nothing can move any more the guest must be where docs/handoff.md
 * promises it, for each combination of hosts that are left.
 */
#define D_AT_REST(n)                                                    \
    (dst[n] == DST_GONE || dst[n] == DST_LOADED_PAUSED ||               \
     (dst[n] == DST_WAIT && !patched[n]))
#define D_HAS_GUEST(n) (started[n] && vcpus[n])
#define END_BOTH_LIVE                                                   \
    ((src == SRC_BACK && !src_open && D_AT_REST(mig)) ||                \
     (src == SRC_DONE && dst[mig] == DST_DONE && D_HAS_GUEST(mig)) ||   \
     (src == SRC_PAUSED && dst[mig] == DST_DONE && D_HAS_GUEST(mig)))
#define END_SRC_LIVE                                                    \
    ((src == SRC_BACK && !granted[mig]) ||                              \
     ((src == SRC_PAUSED || src == SRC_DONE) && granted[mig]))
#define END_DST_LIVE                                                    \
    (D_AT_REST(mig) || (granted[mig] && D_HAS_GUEST(mig) &&             \
     (dst[mig] == DST_RUNNING_PAUSED || dst[mig] == DST_DONE)))

proctype monitor()
{
    byte n;

    timeout ->
    if
    :: src == SRC_PLAIN -> PROMISE(!src_open)
    :: src != SRC_PLAIN && src_alive && dst_alive[mig] ->
        PROMISE(END_BOTH_LIVE)
    :: src != SRC_PLAIN && src_alive && !dst_alive[mig] ->
        PROMISE(END_SRC_LIVE)
    :: src != SRC_PLAIN && !src_alive && dst_alive[mig] ->
        PROMISE(END_DST_LIVE)
    :: else                     /* no host is left */
    fi;
    /* destinations of earlier attempts: safe to quit */
    do
    :: n < mig -> PROMISE(!dst_alive[n] || D_AT_REST(n)); n++
    :: else -> break
    od;
    over = true
}
#endif

inline maybe(flag)
{
    if
    :: flag = true
    :: flag = false
    fi
}

init
{
    byte n;

    atomic {
        fill_table();
        select (n : 0 .. BREAKS);
        breaks = n;
        blunders = (ATTEMPTS > 1 -> 1 : 0);
        maybe(may_cancel);
        maybe(src_mortal);
        n = 0;
        do
        :: n < ATTEMPTS ->
            maybe(patched[n]);
            maybe(dst_mortal[n]);
            run destination(n);
            n++
        :: else -> break
        od;
        n = 0;
        link[0] = true;
        dst_open[0] = true;
        run source();
#ifndef REPLAY
        run monitor();
#endif
        run world()
    }
}

#ifdef LTL
#define ALL_LIVE (src_alive && dst_alive[0] && dst_alive[LAST])
#define MOVED (vcpus[0] || vcpus[LAST])
/* The source never owns the guest again once it has given it away */
ltl given_for_good { [] (GIVEN -> [] !SRC_OWNS) }
/* No destination owns it before it was given */
ltl never_before { (!DST_OWNS(0) && !DST_OWNS(LAST)) W GIVEN }
/* As long as the hosts live, the guest comes to run on exactly one side */
ltl one_in_the_end {
    <> [] (!ALL_LIVE || src == SRC_PLAIN || (SRC_OWNS != MOVED))
}
#endif
