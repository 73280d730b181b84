"""Results as TAP: the one place that prints them.

scripts/test sums them up; it is what knows that under continuous integration
(CI=true) nothing may be skipped but for want of KVM.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import traceback

#: Of what went wrong the last lines say most.
LINES = 12
#: How many were not ok.
failures = 0


def note(text):
    for line in str(text).splitlines():
        print(f'# {line}', flush=True)


def ok(name, remark=None):
    print(f'ok - {name}' + (f' # {remark}' if remark else ''), flush=True)


def skip(name, reason):
    ok(name, f'SKIP {reason}')


def not_ok(name, why=None, remark=None):
    global failures
    failures += 1
    print(f'not ok - {name}' + (f' # {remark}' if remark else ''), flush=True)
    if why:
        note('\n'.join(str(why).splitlines()[-LINES:]))


def result(right, name, why=None):
    """why: what to say if it is not right."""
    if right:
        ok(name)
    else:
        not_ok(name, why)
    return right


def told(exc):
    """What an exception says, and what who raised it added in "about"."""
    text = ''.join(traceback.format_exception(type(exc), exc,
                                              exc.__traceback__)).rstrip()
    text = '\n'.join(text.splitlines()[-LINES:])
    about = getattr(exc, 'about', None)
    return f'{text}\n{about}' if about else text
