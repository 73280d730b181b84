/*
 * The bare guest: does what ../linux/main.c does, without an operating system.
 *
 * It runs in user mode from its first page table on (start.S says why), so
 * KVM's dirty log and real page faults can be tested where no Linux boots. It
 * starts in a fraction of the time that one takes.
 *
 * The serial protocol is that of ../linux/main.c: ping, work, stop, audit,
 * corrupt, stats. So is the command line: hm.pages= hm.zero= hm.untouched=
 * hm.work=,
 * and of this guest alone
 *
 *   hm.large=1     the set lies in pages of 2 MiB
 *   hm.mixed=0     neighbours in the set are neighbours in memory
 *   hm.nap=NS      the first CPU sleeps no longer at a time
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "../shared/pages.h"
#include "machine.h"
#include "memory.h"
#include "serial.h"
#include "smp.h"
#include "start.h"
#include "ticks.h"
#include "work.h"

#define MAX_ADDRESS     0x40000000      /* what start.S maps */

static char settings[2048];
static uint64_t code_sum;
static unsigned cpus;
static uint64_t nap_ns;

void *memset(void *to, int value, size_t size)
{
    void *at = to;

    asm volatile("rep stosb" : "+D"(at), "+c"(size) : "a"(value) : "memory");
    return to;
}

void *memcpy(void *to, const void *from, size_t size)
{
    void *at = to;

    asm volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(size) : : "memory");
    return to;
}

/* What is left of the text behind the word, or NULL */
static const char *after(const char *text, const char *word)
{
    while (*word) {
        if (*text++ != *word++) {
            return NULL;
        }
    }
    return text;
}

static bool read_number(const char **text, uint64_t *value)
{
    const char *at = *text;

    for (*value = 0; *at >= '0' && *at <= '9'; at++) {
        *value = *value * 10 + (*at - '0');
    }
    if (at == *text) {
        return false;
    }
    *text = at;
    return true;
}

static bool between_words(char c)
{
    return c == ' ' || c == ',';
}

static const char *start_work(const char *args)
{
    static const char *const names[] = {
        "pages=", "rate=", "threads=", "bytes=", "spread="
    };
    uint64_t values[] = { data_pages, 0, 1, PAGE_SIZE, 0 };
    const Workload *job = NULL;

    for (unsigned i = 0; i < workloads_count; i++) {
        const char *rest = after(args, workloads[i].name);

        if (rest && (!*rest || between_words(*rest))) {
            job = &workloads[i];
            args = rest;
            break;
        }
    }
    if (!job) {
        return "unknown workload";
    }
    while (*args == ',' || (*args == ' ' && !after(args, " hm."))) {
        const char *rest = NULL;
        unsigned i = 0;

        for (args++; !rest && i < sizeof(names) / sizeof(*names); i++) {
            rest = after(args, names[i]);
        }
        if (!rest || !read_number(&rest, &values[i - 1])) {
            return "unknown setting of a workload";
        }
        args = rest;
    }
    if (!values[0] || values[0] > data_pages ||
        !values[2] || values[2] > cpus || !part_is_sized(values[3])) {
        return "setting of a workload is out of range";
    }
    park(tick_if_due);
    set_part(values[3], values[4]);
    set_work(job, values[0], values[1], values[2]);
    return NULL;
}

static uint64_t sum_code(void)
{
    uint64_t sum = 0;

    for (const uint8_t *byte = code_begin; byte < code_end; byte++) {
        sum = sum * 31 + *byte;
    }
    return sum;
}

static const char *word_for(bool right)
{
    return right ? "ok" : "bad";
}

static void audit(void)
{
    uint64_t start = now_ns();
    SetAudit found;

    park(tick_if_due);
    found = audit_set(tick_if_due);
    begin_line("audit");
    say_field("pages", set_pages);
    say_field("wrong", found.wrong);
    say_string(" first=");
    for (uint64_t i = 0; i < found.wrong && i < 8; i++) {
        say_string(i ? "," : "");
        say_number(found.first[i]);
    }
    say_string(found.wrong ? "" : "-");
    say_word("table", word_for(found.table_right));
    say_word("code", word_for(sum_code() == code_sum));
    say_word("pagetables", word_for(tables_are_right()));
    say_word("registers", word_for(registers_are_right()));
    say_field("misread", work_misread());
    say_field("writes", atomic_load(&writes));
    say_field("us", (now_ns() - start) / 1000);
    end_line();
}

static const char *corrupt(const char *arg)
{
    uint64_t page;

    if (!read_number(&arg, &page) || page >= set_pages) {
        return "no such page";
    }
    corrupt_page(page);
    return NULL;
}

static void answer(const char *error)
{
    begin_line(error ? "error " : "ok");
    say_string(error ? error : "");
    end_line();
}

static bool is(const char *text, const char *word)
{
    const char *rest = after(text, word);

    return rest && !*rest;
}

static void obey(const char *line)
{
    if (is(line, "ping")) {
        begin_line("pong");
        end_line();
    } else if (after(line, "work ")) {
        answer(start_work(after(line, "work ")));
    } else if (is(line, "stop")) {
        park(tick_if_due);
        answer(NULL);
    } else if (is(line, "audit")) {
        audit();
    } else if (after(line, "corrupt ")) {
        answer(corrupt(after(line, "corrupt ")));
    } else if (is(line, "stats") || is(line, "stats reset")) {
        stats(is(line, "stats reset"));
    } else {
        answer("unknown command");
    }
}

static const char *setting(const char *name)
{
    for (const char *at = settings; *at; at++) {
        const char *rest = after(at, name);

        if (rest && (at == settings || at[-1] == ' ')) {
            return rest;
        }
    }
    return NULL;
}

static uint64_t number_setting(const char *name, uint64_t value)
{
    const char *text = setting(name);

    if (text) {
        read_number(&text, &value);
    }
    return value;
}

static void read_settings(void)
{
    uint32_t size = 0;
    uint16_t count = 0;

    fw_read(FW_CMDLINE_SIZE, &size, sizeof(size));
    fw_read(FW_CMDLINE, settings,
            size < sizeof(settings) ? size : sizeof(settings) - 1);
    fw_read(FW_CPUS, &count, sizeof(count));
    cpus = count;
    nap_ns = number_setting("hm.nap=", SLEEP_MOST);
    if (cpus > CPUS_MAX) {
        die("too many CPUs");
    }
}

static void make_set(void)
{
    uint64_t memory_end = 0;
    bool large = number_setting("hm.large=", 0);

    set_pages = number_setting("hm.pages=", 8192);
    zero_pages = number_setting("hm.zero=", 0);
    untouched_pages = number_setting("hm.untouched=", 0);
    if (zero_pages + untouched_pages >= set_pages) {
        die("the working set does not fit");
    }
    data_first = zero_pages;
    data_pages = set_pages - zero_pages - untouched_pages;
    fw_read(FW_RAM_SIZE, &memory_end, sizeof(memory_end));
    map_set(memory_end < MAX_ADDRESS ? memory_end : MAX_ADDRESS, large,
            number_setting("hm.mixed=", 1) && !large);
    fill_set();
}

void exception(uint64_t number, uint64_t first, uint64_t second, uint64_t at)
{
    begin_line("fatal exception");
    say_field("number", number);
    say_field("first", first);
    say_field("second", second);
    say_field("at", at);
    end_line();
    for (;;) {
        exchange();
    }
}

static void begin(void)
{
    const char *work, *error;

    begin_interrupts();
    begin_serial();
    measure_tsc();
    begin_timer();
    read_settings();
    code_sum = sum_code();
    make_set();
    begin_cpu(&workers[0]);
    if (cpus > 1) {
        begin_second();
    }
    work = setting("hm.work=");
    error = work ? start_work(work) : NULL;
    if (error) {
        die(error);
    }
    begin_line("ready");
    say_field("pages", set_pages);
    say_field("zero", zero_pages);
    say_field("untouched", untouched_pages);
    say_field("cpus", cpus);
    say_field("khz", tsc_khz);
    end_line();
}

void main0(void)
{
    Worker *w = &workers[0];

    begin();
    begin_ticks();
    for (;;) {
        tick_if_due();
        if (heard_line) {
            obey(heard_text);
            heard_line = false;
        }
        if (!work_step(w)) {
            check_cpu(w);
            sleep_until_or(tick_due, nap_ns);
        }
    }
}
