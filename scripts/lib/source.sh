# shellcheck shell=bash
# QEMU's source: fetched or given, checked, unpacked to build/qemu-base-src.
# SPDX-License-Identifier: GPL-2.0-or-later

BASE_SRC=$BUILD/qemu-base-src

# Refuses a source for which there is no series.
check_qemu_version() {
    local version
    if [ ! -f "$1/VERSION" ] || [ ! -f "$1/migration/migration.c" ]; then
        die "$2 is not QEMU's source (no VERSION or no migration/migration.c)"
    fi
    version=$(cat "$1/VERSION")
    case $version in
    "$SERIES_VERSION" | "$SERIES_VERSION".*) ;;
    *)
        die "$2 is QEMU $version, but the patch series is for QEMU $SERIES_VERSION.x" \
            "give a source of version $SERIES_VERSION.x"
        ;;
    esac
    [ -f "$1/subprojects/keycodemapdb/README" ] ||
        die "$2 lacks subprojects/keycodemapdb (a bare git tree?)" \
            "run 'meson subprojects download keycodemapdb' there, or give a release tarball"
}

# Prints a line that changes when the given source changes.
source_identity() {
    if [ -z "$1" ]; then
        echo "debian trixie"
    elif [ -d "$1" ]; then
        printf 'dir %s ' "$1"
        (cd "$1" && find . \( -path ./build -o -path ./.git -o -path ./roms \) -prune \
            -o -type f -printf '%P %s %T@\n' | sort | sha256sum)
    else
        printf 'tarball %s %s\n' "$1" "$(stat -c '%s %Y' "$1")"
    fi
}

# unpack_source GIVEN DIR: a folder or tarball, or Debian's package, to DIR.
unpack_source() {
    if [ -z "$1" ]; then
        fetch_qemu_source trixie "$2"
    elif [ -d "$1" ]; then
        check_qemu_version "$1" "$1"
        step "copy QEMU's source from $1"
        mkdir -p "$2"
        tar -C "$1" --exclude=./build --exclude=./.git --exclude=./roms -cf - . |
            tar -C "$2" -xf -
    else
        step "unpack $1"
        mkdir -p "$2"
        run_logged unpack tar -C "$2" --strip-components=1 -xf "$1"
    fi
    check_qemu_version "$2" "${1:-the source package}"
}

# get_base_source GIVEN: the unpatched tree, unpacked again only when another
# source is asked for.
get_base_source() {
    local given=$1 identity
    if [ -n "$given" ]; then
        [ -e "$given" ] || die "no such source: $given"
        given=$(realpath "$given")
    fi
    identity=$(source_identity "$given")
    stamp_is "$BASE_SRC.stamp" "$identity" && return 0
    rm -rf "$BASE_SRC.tmp"
    unpack_source "$given" "$BASE_SRC.tmp"
    rm -f "$BASE_SRC.stamp"
    rm -rf "$BASE_SRC"
    mv "$BASE_SRC.tmp" "$BASE_SRC"
    stamp_write "$BASE_SRC.stamp" "$identity"
    say "QEMU $(cat "$BASE_SRC/VERSION") is in ${BASE_SRC#"$ROOT"/}"
}
