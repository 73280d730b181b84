# shellcheck shell=bash
# What a check in shell prints: TAP, one line each.
# SPDX-License-Identifier: GPL-2.0-or-later

FAILED=0

# ok NAME
ok() {
    printf 'ok - %s\n' "$1"
}

# not_ok NAME [FILE]: the end of FILE, which has the reason, becomes comments.
not_ok() {
    printf 'not ok - %s\n' "$1"
    [ -z "${2:-}" ] || tail -n 100 "$2" | sed 's/^/# /'
    FAILED=1
}

# faults NAME: standard input is the list of faults; none is a pass.
faults() {
    local found
    found=$(cat)
    if [ -z "$found" ]; then
        ok "$1"
    else
        not_ok "$1"
        printf '%s\n' "$found" | sed 's/^/# /'
    fi
}
