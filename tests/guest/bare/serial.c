/*
 * What the bare guest says and hears.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "machine.h"
#include "serial.h"

#define COM             0x3f8
#define COM_INTERRUPTS  0x3f9
#define COM_FIFO        0x3fa
#define COM_STATUS      0x3fd
#define COM_HEARD       0x01
#define COM_EMPTY       0x20
#define COM_ROOM        16
#define SAY_ROOM        8192

static char say_text[SAY_ROOM];
static uint64_t say_head, say_tail;     /* of all that was ever said */
static uint64_t line_number;
char heard_text[256];
static unsigned heard;
bool heard_line;

void begin_serial(void)
{
    outb(COM_INTERRUPTS, 0);
    outb(COM_FIFO, 0x07);
}

void exchange(void)
{
    uint8_t status = inb(COM_STATUS);

    while (status & COM_HEARD && !heard_line) {
        char c = inb(COM);

        if (c == '\n') {
            heard_text[heard] = 0;
            heard = 0;
            heard_line = true;
        } else if (heard < sizeof(heard_text) - 1) {
            heard_text[heard++] = c;
        }
        status = inb(COM_STATUS);
    }
    if (status & COM_EMPTY && say_tail < say_head) {
        uint64_t from = say_tail % SAY_ROOM, count = say_head - say_tail;

        if (count > COM_ROOM) {
            count = COM_ROOM;
        }
        if (count > SAY_ROOM - from) {
            count = SAY_ROOM - from;
        }
        outsb(COM, say_text + from, count);
        say_tail += count;
    }
}

static void say_char(char c)
{
    while (say_head - say_tail == SAY_ROOM) {
        exchange();
    }
    say_text[say_head++ % SAY_ROOM] = c;
}

void say_string(const char *text)
{
    while (*text) {
        say_char(*text++);
    }
}

void say_number(uint64_t value)
{
    char digits[21];
    unsigned at = sizeof(digits) - 1;

    digits[at] = 0;
    do {
        digits[--at] = '0' + value % 10;
        value /= 10;
    } while (value);
    say_string(digits + at);
}

void begin_line(const char *kind)
{
    say_char('@');
    say_number(line_number++);
    say_char(' ');
    say_string(kind);
}

void say_field(const char *name, uint64_t value)
{
    say_char(' ');
    say_string(name);
    say_char('=');
    say_number(value);
}

void say_word(const char *name, const char *value)
{
    say_char(' ');
    say_string(name);
    say_char('=');
    say_string(value);
}

void end_line(void)
{
    say_char('\n');
}

void die(const char *what)
{
    begin_line("fatal ");
    say_string(what);
    end_line();
    for (;;) {
        exchange();
    }
}
