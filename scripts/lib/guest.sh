# shellcheck shell=bash
# The test guest: Debian's cloud kernel and an initramfs with one program; and
# the small programs that tests and harness run beside it.
# SPDX-License-Identifier: GPL-2.0-or-later

GUEST=$BUILD/guest
#: The programs of both guests are compiled with these; tests/style/run looks
#: that they have nothing to say.
GUEST_WARNINGS=(-Wall -Wextra -Wno-unused-parameter -Wno-missing-field-initializers
                -Wmissing-prototypes -Wshadow)
BARE_FLAGS=(-ffreestanding -nostdlib -static -no-pie -fno-pic -mgeneral-regs-only
            -mno-red-zone -fno-stack-protector -fcf-protection=none
            -fno-asynchronous-unwind-tables)
#: In the order of dependence; the guest loads them in this order.
GUEST_MODULES=(failover net_failover virtio_net)

# The meta package names the real one in its dependencies.
guest_kernel_package() {
    local package
    private_apt_setup trixie >&2
    package=$(private_apt trixie apt-cache show --no-all-versions linux-image-cloud-amd64 |
              sed -n 's/^Depends: \(linux-image-[^ ,]*\).*/\1/p')
    [ -n "$package" ] || die "the mirror has no linux-image-cloud-amd64"
    echo "$package"
}

guest_kernel() {
    local package deb name number=0 tmp=$GUEST/modules.tmp
    [ ! -f "$GUEST/vmlinuz" ] || [ ! -d "$GUEST/modules" ] || return 0
    package=$(guest_kernel_package)
    step "download the guest's kernel, $package"
    deb=$(fetch_deb trixie "$package")
    mkdir -p "$GUEST"
    dpkg-deb --fsys-tarfile "$deb" |
        tar -xOf - --wildcards './boot/vmlinuz-*' >"$GUEST/vmlinuz.tmp"
    rm -rf "$tmp" "$GUEST/modules"
    mkdir -p "$tmp"
    for name in "${GUEST_MODULES[@]}"; do
        number=$((number + 1))
        dpkg-deb --fsys-tarfile "$deb" |
            tar -xOf - --wildcards "*/$name.ko.xz" | xz -d >"$tmp/$number-$name.ko"
    done
    mv "$GUEST/vmlinuz.tmp" "$GUEST/vmlinuz"
    mv "$tmp" "$GUEST/modules"
}

# pack_initrd DIR: prints it as the kernel reads it.
pack_initrd() {
    (cd "$1" && find . | sort | cpio --quiet -o -H newc -R 0:0) | gzip -n
}

# guest_hash FOLDER...: of the source files, and of how they are compiled.
guest_hash() {
    find "$@" -type f -print0 | sort -z | xargs -0 cat "$ROOT/scripts/lib/guest.sh" |
        sha256sum
}

# Built again when one of its source files differs from last time.
guest_initrd() {
    local source=$ROOT/tests/guest hash tmp=$GUEST/initrd.tmp
    hash=$(guest_hash "$source/linux" "$source/shared")
    [ -f "$GUEST/initrd.gz" ] && stamp_is "$GUEST/initrd.stamp" "$hash" && return 0
    step "build the guest's initramfs"
    rm -rf "$tmp"
    mkdir -p "$tmp/dev" "$tmp/proc" "$tmp/sys" "$tmp/tmp"
    gcc -O2 -g "${GUEST_WARNINGS[@]}" -static -pthread -o "$tmp/init" \
        "$source"/{linux,shared}/*.c -lz -lm
    pack_initrd "$tmp" | write_file "$GUEST/initrd.gz"
    rm -rf "$tmp"
    stamp_write "$GUEST/initrd.stamp" "$hash"
}

# The guest without an operating system, its firmware, and what keeps QEMU
# from KVM's manual protection of its dirty log.
build_bare() {
    local source=$ROOT/tests/guest/bare hash tmp=$GUEST/bare.tmp
    hash=$(guest_hash "$source" "$source/../preload" "$source/../shared")
    [ -f "$GUEST/bare/kernel" ] && stamp_is "$GUEST/bare.stamp" "$hash" && return 0
    step "build the bare guest"
    rm -rf "$tmp" "$GUEST/bare"
    mkdir -p "$tmp"
    gcc -O2 -g "${GUEST_WARNINGS[@]}" "${BARE_FLAGS[@]}" \
        -Wl,--build-id=none,-z,max-page-size=4096 \
        -Wl,--no-warn-rwx-segments -Wl,-T,"$source/bare.ld" \
        -o "$tmp/kernel" "$source/start.S" "$source"/*.c "$source"/../shared/*.c
    gcc -c -o "$tmp/firmware.o" "$source/firmware.S"
    objcopy -O binary -j .text "$tmp/firmware.o" "$tmp/firmware"
    for name in no-manual no-register no-room; do
        gcc -O2 -g -Wall -shared -fPIC -o "$tmp/$name.so" "$source/../preload/$name.c"
    done
    rm "$tmp/firmware.o"
    mv "$tmp" "$GUEST/bare"
    stamp_write "$GUEST/bare.stamp" "$hash"
}

# The program that carries a link with delay.
build_link() {
    local source=$ROOT/scripts/link/delay.c program=$BUILD/tools/delay-link
    [ ! "$program" -nt "$source" ] || return 0
    step "build the link with delay"
    mkdir -p "$BUILD/tools"
    gcc -O2 -g -Wall -o "$program.tmp" "$source"
    mv "$program.tmp" "$program"
}

build_guest() {
    build_link
    build_bare
    guest_kernel
    guest_initrd
    programs_initrd
}
