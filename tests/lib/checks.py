"""What a case says of what it found.

SPDX-License-Identifier: GPL-2.0-or-later
"""


class Skip(Exception):
    """This machine lacks what the case needs."""


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def equal(got, wanted, what):
    check(got == wanted, f'{what}: {got!r}, expected {wanted!r}')


def near(got, wanted, slack, what):
    check(got is not None and abs(got - wanted) <= slack,
          f'{what}: {got!r}, expected {wanted!r} within {slack}')


def has(text, part):
    check(part in text, f'not in the text: {part!r}')
