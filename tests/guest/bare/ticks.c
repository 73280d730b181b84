/*
 * Whether the bare guest stood still, and how much it got done.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "../shared/pages.h"
#include "machine.h"
#include "serial.h"
#include "ticks.h"
#include "work.h"

#define TICK_PORT       0xe9
#define TICK_NS         1000000
#define REPORT_TICKS    100
#define GAP_NS          5000000

uint64_t tick_due;

static uint64_t ticks, tick_last, report_due, reported;
static uint64_t gap_max, gap_max_at;

void begin_ticks(void)
{
    tick_last = tick_due = report_due = now_ns();
}

static void report(uint64_t now)
{
    uint64_t done = work_done();

    begin_line("tp");
    say_field("t", now / 1000);
    say_field("done", done - reported);
    say_field("total", done);
    say_field("writes", atomic_load(&writes));
    say_field("files", 0);
    end_line();
    reported = done;
}

void tick_if_due(void)
{
    uint64_t now = now_ns(), gap = now - tick_last;

    if (now < tick_due) {
        return;
    }
    outb(TICK_PORT, 'a' + ticks++ % 26);
    if (gap > gap_max) {
        gap_max = gap;
        gap_max_at = now;
    }
    if (gap > GAP_NS) {
        begin_line("gap");
        say_field("us", gap / 1000);
        say_field("at", now / 1000);
        end_line();
    }
    tick_last = now;
    tick_due += TICK_NS;
    if (now > tick_due + TICK_NS) {
        tick_due = now + TICK_NS;
    }
    if (now >= report_due) {
        report_due += REPORT_TICKS * TICK_NS;
        if (now > report_due) {
            report_due = now + REPORT_TICKS * TICK_NS;
        }
        report(now);
    }
    exchange();
}

void stats(bool reset)
{
    begin_line("stats");
    say_field("pages", set_pages);
    say_string(" gap");
    say_field("max", gap_max / 1000);
    say_string("us at ");
    say_number(gap_max_at / 1000);
    say_field("ticks", ticks);
    say_field("writes", atomic_load(&writes));
    say_field("misread", work_misread());
    say_word("work", work_name());
    end_line();
    if (reset) {
        gap_max = 0;
    }
}
