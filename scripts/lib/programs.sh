# shellcheck shell=bash
# The test guest's second initramfs: Redis, SQLite, a C compiler, what they are
# linked with, and the kernel's modules for the network card, as Debian packages
# have them.
# SPDX-License-Identifier: GPL-2.0-or-later

#: redis-tools has the server's program, redis-server only its service.
PROGRAM_PACKAGES=(
    redis-tools libatomic1 libc6 libcap2 libgcc-s1 libjemalloc2 liblzf1
    libssl3t64 libstdc++6 libsystemd0 libzstd1 zlib1g
    sqlite3 libsqlite3-0 libreadline8t64 libtinfo6 tcc
)

# copy_needed ROOT FILE DIR: the libraries that FILE needs, to DIR.
copy_needed() {
    local root=$1 file=$2 dir=$3 name found
    while read -r name; do
        [ ! -e "$dir/$name" ] || continue
        found=$(find "$root" -name "$name" | head -n 1)
        [ -n "$found" ] ||
            die "$name, which $file needs, is in none of: ${PROGRAM_PACKAGES[*]}"
        cp -L "$found" "$dir/$name"
        copy_needed "$root" "$found" "$dir"
    done < <(readelf -d "$file" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
}

# get_programs DIR: the programs and their libraries, as the guest has them.
get_programs() {
    local dir=$1 root=$BUILD/programs.tmp debs deb name
    rm -rf "$root" "$dir"
    mkdir -p "$root" "$dir/usr/bin" "$dir/lib/x86_64-linux-gnu" "$dir/lib64"
    private_apt_setup trixie
    step "download Redis, SQLite and tcc for the guest"
    debs=$(fetch_deb trixie "${PROGRAM_PACKAGES[@]}")
    for deb in $debs; do
        dpkg-deb -x "$deb" "$root"
    done
    # The program asks its own name what it is.
    cp "$root/usr/bin/redis-check-rdb" "$dir/usr/bin/redis-server"
    cp -L "$root/usr/bin/sqlite3" "$root/usr/bin/tcc" "$dir/usr/bin/"
    for name in redis-server sqlite3 tcc; do
        copy_needed "$root" "$dir/usr/bin/$name" "$dir/lib/x86_64-linux-gnu"
    done
    cp -L "$root"/usr/lib64/ld-linux-x86-64.so.2 "$dir/lib64/"
    rm -rf "$root"
}

# The kernel unpacks one archive after the other into the same root.
programs_initrd() {
    local tree=$GUEST/programs hash
    if ! stamp_is "$GUEST/programs.stamp" "${PROGRAM_PACKAGES[*]}"; then
        get_programs "$tree"
        stamp_write "$GUEST/programs.stamp" "${PROGRAM_PACKAGES[*]}"
        rm -f "$GUEST/initrd-programs.stamp"
    fi
    hash=$(sha256sum <"$GUEST/initrd.gz")
    [ -f "$GUEST/initrd-programs.gz" ] && stamp_is "$GUEST/initrd-programs.stamp" "$hash" &&
        return 0
    step "build the guest's initramfs with programs"
    rm -rf "$tree/modules"
    cp -r "$GUEST/modules" "$tree/modules"
    {
        cat "$GUEST/initrd.gz"
        pack_initrd "$tree"
    } | write_file "$GUEST/initrd-programs.gz"
    stamp_write "$GUEST/initrd-programs.stamp" "$hash"
}
