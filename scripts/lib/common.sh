# shellcheck shell=bash
# Shared by configure and the scripts: names of places, messages, small helpers.
# SPDX-License-Identifier: GPL-2.0-or-later

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
BUILD=$(realpath -m "${HYBRID_BUILD:-$ROOT/build}")
SERIES_VERSION=10.0
SERIES_DIR=$ROOT/qemu-patches/$SERIES_VERSION
export LC_ALL=C.UTF-8
umask 022

# One heading per step of long work, with the seconds since the start.
step() {
    printf '[%4d s] %s\n' "$SECONDS" "$*"
}

say() {
    printf '         %s\n' "$*"
}

warn() {
    printf 'warning: %s\n' "$*" >&2
}

die() {
    printf 'error: %s\n' "$1" >&2
    shift
    local line
    for line in "$@"; do
        printf '       %s\n' "$line" >&2
    done
    exit 1
}

# QEMU's configure would say it too, when its source has been fetched.
check_paths() {
    local path
    for path in "$ROOT" "$BUILD"; do
        [[ $path != *[[:space:]:]* ]] ||
            die "QEMU cannot be built below a folder with a space or a colon in its name:" \
                "$path"
    done
}

have() {
    command -v "$1" >/dev/null 2>&1
}

# version_ge A B: true when version A is B or newer.
version_ge() {
    [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]
}

# write_file FILE: standard input becomes FILE in one step, or not at all.
write_file() {
    local tmp=$1.tmp.$$
    mkdir -p "$(dirname "$1")"
    cat >"$tmp"
    mv -f "$tmp" "$1"
}

# A stamp is written last, so that work that was interrupted is done again.
stamp_is() {
    [ -f "$1" ] && [ "$(cat "$1")" = "$2" ]
}

stamp_write() {
    printf '%s\n' "$2" | write_file "$1"
}

# Every 15 seconds the last line of a log, while this script lives.
heartbeat() {
    while sleep 15 >/dev/null 2>&1 9>&- && kill -0 "$$" 2>/dev/null; do
        say "... $(tail -n 1 "$1" | cut -c -70)"
    done
}

# run_logged NAME COMMAND...: output goes to a log; shown only on failure.
run_logged() {
    local log=$BUILD/logs/$1.log status=0 beat
    shift
    mkdir -p "$BUILD/logs"
    : >"$log"
    heartbeat "$log" >&2 &
    beat=$!
    "$@" >"$log" 2>&1 || status=$?
    kill "$beat" 2>/dev/null || true
    wait "$beat" 2>/dev/null || true
    [ "$status" != 0 ] || return 0
    tail -n 25 "$log" >&2
    die "this command failed: $*" "its whole output: $log"
}

# Copy only what differs, so that ninja rebuilds only what changed.
copy_changed() {
    cmp -s "$1" "$2" && return 0
    cp "$1" "$2.tmp.$$"
    mv -f "$2.tmp.$$" "$2"
}

# git as a tool, never as the user's own: no user configuration, no hooks,
# no signing, fixed identity and dates for commits that only we see.
tool_git() {
    env -u GIT_DIR -u GIT_WORK_TREE -u GIT_INDEX_FILE \
        GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null \
        git -c user.name='hybrid set-up' -c user.email='setup@localhost' \
            -c core.hooksPath=/dev/null -c core.autocrlf=false \
            -c core.safecrlf=false -c core.fileMode=true \
            -c commit.gpgSign=false -c gc.auto=0 -c advice.detachedHead=false \
            -c safe.directory='*' "$@"
}
