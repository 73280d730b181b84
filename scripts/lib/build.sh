# shellcheck shell=bash
# Tools, the two QEMU builds and the build of the unit tests.
# SPDX-License-Identifier: GPL-2.0-or-later

MESON_MIN=1.5
QEMU_TARGETS=(qemu-system-x86_64 tests/qtest/migration-test)

# The build needs Debian's own python3 (QEMU's configure makes a venv of it).
find_python() {
    local python
    for python in /usr/bin/python3 "$(command -v python3 || true)"; do
        [ -x "$python" ] || continue
        if "$python" -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 9))' \
            2>/dev/null; then
            echo "$python"
            return
        fi
    done
    die "python 3.9 or newer with ensurepip is needed" "install python3 and python3-venv"
}

# A python environment below build/tools that holds the meson of trixie's
# package: for releases whose own meson is too old. Nothing is installed.
make_private_meson() {
    local venv=$BUILD/tools/python deb lib
    stamp_is "$venv/stamp" "$1" && return 0
    step "unpack a meson that is new enough in build/tools"
    deb=$(fetch_deb trixie meson)
    rm -rf "$venv" "$BUILD/tools/meson"
    mkdir -p "$BUILD/tools/meson"
    dpkg-deb -x "$deb" "$BUILD/tools/meson"
    "$1" -m venv --system-site-packages --without-pip "$venv"
    lib=$("$venv/bin/python3" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    cp -r "$BUILD"/tools/meson/usr/lib/python3/dist-packages/* "$lib/"
    stamp_write "$venv/stamp" "$1"
}

# Sets PYTHON, and MESON as a command with that python.
find_meson() {
    local version
    PYTHON=$(find_python)
    version=$("$PYTHON" -c 'import mesonbuild.coredata as c; print(c.version)' \
              2>/dev/null || echo 0)
    if ! version_ge "$version" "$MESON_MIN"; then
        make_private_meson "$PYTHON"
        PYTHON=$BUILD/tools/python/bin/python3
    fi
    MESON=("$PYTHON" -m mesonbuild.mesonmain)
}

# The compiler as the builds call it. Both trees have the same shape, so with
# paths made relative the second build finds most of the first in the cache.
make_compiler() {
    local cc=${CC:-gcc}
    {
        echo '#!/bin/sh'
        if [ "$OPT_CCACHE" = yes ]; then
            echo "CCACHE_BASEDIR='$BUILD' CCACHE_NOHASHDIR=1 exec ccache $cc \"\$@\""
        else
            echo "exec $cc \"\$@\""
        fi
    } >"$BUILD/tools/cc.new"
    chmod +x "$BUILD/tools/cc.new"
    if cmp -s "$BUILD/tools/cc.new" "$BUILD/tools/cc"; then
        rm "$BUILD/tools/cc.new"
    else
        mv "$BUILD/tools/cc.new" "$BUILD/tools/cc"
    fi
}

qemu_flags() {
    printf '%s\n' "--python=$PYTHON" "--cc=$BUILD/tools/cc" "--host-cc=$BUILD/tools/cc" \
        --target-list=x86_64-softmmu --without-default-features \
        --enable-kvm --enable-tcg --enable-system --enable-pixman \
        --enable-fdt=system --enable-gnutls --enable-vhost-user --disable-install-blobs \
        --disable-download --enable-trace-backends=log
    if [ "$OPT_WERROR" = no ]; then
        echo --disable-werror
    else
        echo --enable-werror
    fi
    [ "$OPT_DEBUG" = no ] || echo --enable-debug
    [ "$OPT_SANITIZERS" = no ] || printf '%s\n' --enable-asan --enable-ubsan
}

# configure_qemu TREE NAME [FOLDER [FLAG...]]: TREE/FOLDER, known as
# build/NAME. Done again from nothing when the flags changed: cheap with ccache,
# and never half right.
configure_qemu() {
    local tree=$1 name=$2 folder=${3:-build} flags stamp
    stamp=$tree/$folder/.hybrid-flags
    mapfile -t flags < <(qemu_flags)
    flags+=("${@:4}")
    ln -sfn "$(basename "$tree")/$folder" "$BUILD/$name"
    stamp_is "$stamp" "${flags[*]}" && [ -f "$tree/$folder/build.ninja" ] && return 0
    step "configure build/$name"
    rm -rf "${tree:?}/$folder"
    mkdir -p "$tree/$folder"
    run_logged "configure-$name" env -C "$tree/$folder" -u CC -u CFLAGS ../configure "${flags[@]}"
    stamp_write "$stamp" "${flags[*]}"
}

configure_unit() {
    [ -f "$ROOT/meson.build" ] || return 0
    [ ! -f "$BUILD/unit/build.ninja" ] || return 0
    step "configure the unit tests in build/unit"
    rm -rf "$BUILD/unit"
    CC=$BUILD/tools/cc run_logged configure-unit "${MESON[@]}" setup "$BUILD/unit" "$ROOT"
}

# SeaBIOS before 1.16.3 waits 32 seconds for a disk controller that QEMU's q35
# machine has, at each boot: take trixie's where the machine's own is older.
newer_seabios() {
    local version deb tmp=$BUILD/firmware.tmp
    version=$(dpkg-query -W -f '${Version}' seabios 2>/dev/null || true)
    if [ -z "$version" ] || dpkg --compare-versions "$version" ge 1.16.3 ||
        [ -d "$BUILD/firmware" ]; then
        return 0
    fi
    private_apt_setup trixie
    step "download seabios, as $version is slow to boot"
    deb=$(fetch_deb trixie seabios)
    rm -rf "$tmp"
    mkdir -p "$tmp"
    dpkg-deb --fsys-tarfile "$deb" |
        tar -xf - -C "$tmp" --strip-components=4 ./usr/share/seabios
    mv "$tmp" "$BUILD/firmware"
}

# Debian's source carries no firmware: link that of the packages.
link_firmware() {
    local share=$1/qemu-bundle/usr/local/share/qemu file
    mkdir -p "$share"
    newer_seabios
    for file in "$BUILD"/firmware/*; do
        [ ! -f "$file" ] || ln -sfn "$file" "$share/${file##*/}"
    done
    for file in /usr/share/qemu/* /usr/share/seabios/* /usr/lib/ipxe/qemu/*; do
        [ -f "$file" ] || continue
        [ -e "$share/${file##*/}" ] || ln -sfn "$file" "$share/${file##*/}"
    done
    [ -e "$share/bios-256k.bin" ] ||
        die "no firmware found" "install seabios, ipxe-qemu and qemu-system-data"
}

# ninja's own progress on a terminal; one line in a hundred in a log.
run_ninja() {
    local line
    export NINJA_STATUS='[%f/%t, %es] '
    if [ -t 1 ]; then
        ninja "$@"
        return
    fi
    ninja "$@" | while IFS= read -r line; do
        case $line in
        \[*00/* | \[1/* | 'ninja: no work'*) printf '%s\n' "${line:0:100}" ;;
        \[* | 'ninja: Entering'*) ;;
        *) printf '%s\n' "$line" ;;
        esac
    done
}

# A ninja that is interrupted removes what its step was to make: the link.
restore_link() {
    case $1 in
    qemu) ln -sfn "$(basename "$PATCHED_SRC")/build" "$BUILD/$1" ;;
    qemu-points) ln -sfn "$(basename "$PATCHED_SRC")/build-points" "$BUILD/$1" ;;
    qemu-base) ln -sfn "$(basename "$BASE_SRC")/build" "$BUILD/$1" ;;
    esac
}

build_qemu() {
    local targets=("${QEMU_TARGETS[@]}")
    [ -e "$BUILD/$1" ] || restore_link "$1"
    [ "$1" != qemu-points ] || targets=(qemu-system-x86_64)
    step "build build/$1"
    run_ninja -C "$BUILD/$1" "${targets[@]}"
    link_firmware "$BUILD/$1"
}

build_unit() {
    [ -f "$BUILD/unit/build.ninja" ] || return 0
    step "build the unit tests"
    run_ninja -C "$BUILD/unit"
}
