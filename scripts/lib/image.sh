# shellcheck shell=bash
# A Debian disk image for guests that boot by themselves: debootstrap's minimal
# system with its own kernel, GRUB, systemd, and the test guest's program as a
# service. Needs root (for chroot), no loop device and no mount.
# SPDX-License-Identifier: GPL-2.0-or-later

IMAGES=$BUILD/images
IMAGE_SUITE=trixie
IMAGE_MIB=1024
#: initramfs-tools, linux-base and kmod are what the kernel's package needs.
IMAGE_INCLUDE=systemd-sysv,udev,kmod,initramfs-tools,linux-base,zstd,grub-common,grub-pc-bin
#: Nothing for people, nothing that works by the clock.
IMAGE_MASKED=(
    getty@tty1.service serial-getty@ttyS1.service apt-daily.timer
    apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer
    e2scrub_reap.service fstrim.timer systemd-tmpfiles-clean.timer
    systemd-update-utmp.service systemd-update-utmp-runlevel.service
    systemd-random-seed.service systemd-pcrmachine.service
)
#: The first serial port belongs to the guest's program, the second is for
#: messages. "mitigations" and "tsc" as for the small guest.
IMAGE_CMDLINE="root=/dev/vda1 rw console=ttyS1 net.ifnames=0 mitigations=off
 tsc=reliable clocksource=tsc random.trust_cpu=on panic=-1 quiet
 systemd.show_status=false"

# in_image COMMAND...: runs in the system that is being made.
in_image() {
    chroot "$IMAGES/root.tmp" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin \
        DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 "$@"
}

# The kernel is the small guest's; its initramfs has only what a disk needs.
image_kernel() {
    local package deb
    package=$(guest_kernel_package)
    deb=$(fetch_deb "$IMAGE_SUITE" "$package")
    echo MODULES=list >"$IMAGES/root.tmp/etc/initramfs-tools/conf.d/hybridmig"
    echo virtio_blk >>"$IMAGES/root.tmp/etc/initramfs-tools/modules"
    cp "$deb" "$IMAGES/root.tmp/kernel.deb"
    run_logged image-kernel in_image dpkg -i /kernel.deb
    rm "$IMAGES/root.tmp/kernel.deb"
}

image_settings() {
    local root=$IMAGES/root.tmp unit
    echo hybridmig >"$root/etc/hostname"
    echo 00000000000000000000000000000001 >"$root/etc/machine-id"
    : >"$root/etc/fstab"
    for unit in "${IMAGE_MASKED[@]}"; do
        ln -sfn /dev/null "$root/etc/systemd/system/$unit"
    done
    mkdir -p "$root/etc/systemd/journald.conf.d"
    printf '[Journal]\nStorage=volatile\n' >"$root/etc/systemd/journald.conf.d/hybridmig.conf"
    write_file "$root/etc/systemd/system/hybridmig-guest.service" <<'END'
[Unit]
Description=Test guest of hybrid migration
[Service]
ExecStart=/usr/local/sbin/hybridmig-guest
[Install]
WantedBy=multi-user.target
END
    mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
    ln -sfn ../hybridmig-guest.service \
        "$root/etc/systemd/system/multi-user.target.wants/hybridmig-guest.service"
    ln -sfn /lib/systemd/system/multi-user.target \
        "$root/etc/systemd/system/default.target"
    rm -rf "$root"/usr/share/{doc,man,locale,info}/* "$root"/var/cache/apt/* \
        "$root"/var/lib/apt/lists/*
}

# GRUB's core goes between the partition table and the first partition, where
# its boot sector looks for it when nothing else is said.
image_loader() {
    local root=$IMAGES/root.tmp
    mkdir -p "$root/boot/grub"
    write_file "$root/boot/grub/grub.cfg" <<END
set timeout=0
linux /vmlinuz ${IMAGE_CMDLINE//$'\n'/}
initrd /initrd.img
boot
END
    run_logged image-grub in_image grub-mkimage -O i386-pc -o /boot/grub/core.img \
        -p '(hd0,msdos1)/boot/grub' biosdisk part_msdos ext2 linux normal
}

# image_root: the system's files in build/images/root.
image_root() {
    local stamp="$IMAGE_SUITE $IMAGE_INCLUDE ${IMAGE_MASKED[*]} $IMAGE_CMDLINE"
    ! stamp_is "$IMAGES/root.stamp" "$stamp" || return 0
    step "make a Debian system with debootstrap"
    rm -rf "$IMAGES/root.tmp" "$IMAGES/root" "$IMAGES/root.stamp"
    mkdir -p "$IMAGES/cache"
    run_logged debootstrap debootstrap --variant=minbase --include="$IMAGE_INCLUDE" \
        --cache-dir="$IMAGES/cache" "$IMAGE_SUITE" "$IMAGES/root.tmp" "$(machine_mirror)"
    step "install its kernel and boot loader"
    image_kernel
    image_settings
    image_loader
    mv "$IMAGES/root.tmp" "$IMAGES/root"
    stamp_write "$IMAGES/root.stamp" "$stamp"
}

# image_file FILE: a raw image of build/images/root.
image_file() {
    local file=$1 root=$IMAGES/root
    truncate -s "${IMAGE_MIB}M" "$file"
    run_logged image-table sfdisk "$file" <<'END'
label: dos
start=2048, type=83, bootable
END
    # GRUB 2.12 cannot read these two of mke2fs 1.47.
    run_logged image-files mke2fs -q -t ext4 -L hybridmig -d "$root" \
        -O ^metadata_csum_seed,^orphan_file -E offset=1048576,root_owner=0:0 "$file" \
        "$(((IMAGE_MIB - 1) * 1024))k"
    # The first 440 bytes are the loader's, then comes the partition table.
    dd if="$root/usr/lib/grub/i386-pc/boot.img" of="$file" bs=440 count=1 \
        conv=notrunc status=none
    dd if="$root/boot/grub/core.img" of="$file" bs=512 seek=1 conv=notrunc status=none
}

# build_image: build/images/debian.raw and debian.qcow2, whole or not at all.
build_image() {
    local stamp
    [ "$(id -u)" = 0 ] || die "a disk image is made in a chroot: run this as root"
    build_guest
    mkdir -p "$IMAGES"
    image_root
    stamp="$(cat "$IMAGES/root.stamp") $(cat "$GUEST/initrd.stamp") $IMAGE_MIB"
    [ ! -f "$IMAGES/debian.qcow2" ] || ! stamp_is "$IMAGES/debian.stamp" "$stamp" || return 0
    step "make the disk image"
    (cd "$IMAGES/root/usr/local/sbin" &&
        gzip -dc "$GUEST/initrd.gz" | cpio --quiet -i --to-stdout init >hybridmig-guest &&
        chmod 755 hybridmig-guest)
    rm -f "$IMAGES"/debian.*
    image_file "$IMAGES/tmp.raw"
    run_logged image-qcow2 qemu-img convert -O qcow2 "$IMAGES/tmp.raw" "$IMAGES/debian.qcow2"
    mv "$IMAGES/tmp.raw" "$IMAGES/debian.raw"
    stamp_write "$IMAGES/debian.stamp" "$stamp"
}
