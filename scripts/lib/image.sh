# shellcheck shell=bash
# A Debian disk image for guests that boot by themselves: debootstrap's minimal
# system with its own kernel and GRUB, whose first process is a script that
# starts the test guest's program. (With systemd an emulated guest takes minutes
# to start on a machine that is busy.) Needs root (for chroot), no loop device
# and no mount.
# SPDX-License-Identifier: GPL-2.0-or-later

IMAGES=$BUILD/images
IMAGE_SUITE=trixie
IMAGE_MIB=1024
#: tiny-initramfs, linux-base and kmod are what the kernel's package needs.
IMAGE_INCLUDE=kmod,tiny-initramfs,linux-base,grub-common,grub-pc-bin
#: The first serial port belongs to the guest's program, the second is for
#: messages. "mitigations" and "tsc" as for the small guest.
IMAGE_CMDLINE="root=/dev/vda1 rw console=ttyS1 net.ifnames=0 mitigations=off
 tsc=reliable clocksource=tsc no_timer_check random.trust_cpu=on panic=-1"

# in_image COMMAND...: runs in the system that is being made.
in_image() {
    chroot "$IMAGES/root.tmp" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin \
        DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 "$@"
}

# The kernel is the small guest's; its initramfs has the disk's module.
image_kernel() {
    local root=$IMAGES/root.tmp deb version
    deb=$(fetch_deb "$IMAGE_SUITE" "$(guest_kernel_package)")
    write_file "$root/etc/tiny-initramfs/tiny-initramfs.conf" <<'END'
MICROCODE=no
AUTO_MODULES=no
INCLUDE_MODULES=virtio_blk
END
    cp "$deb" "$root/kernel.deb"
    run_logged image-kernel in_image dpkg -i /kernel.deb
    rm "$root/kernel.deb"
    version=$(basename "$root"/boot/vmlinuz-*)
    version=${version#vmlinuz-}
    run_logged image-initramfs in_image \
        mktirfs -o "/boot/initrd.img-$version" "$version"
    ln -sfn "boot/initrd.img-$version" "$root/initrd.img"
}

image_settings() {
    local root=$IMAGES/root.tmp
    echo hybridmig >"$root/etc/hostname"
    : >"$root/etc/fstab"
    write_file "$root/usr/sbin/init" <<'END'
#!/bin/sh
# The first process of the image: what the guest's program needs, and itself.
# SPDX-License-Identifier: GPL-2.0-or-later
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mountpoint -q /dev || mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /run
modprobe virtio_net
/usr/local/sbin/hybridmig-guest
echo "the guest's program has ended with status $?"
sync
exec sleep infinity
END
    chmod 755 "$root/usr/sbin/init"
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
    local stamp
    stamp=$(sha256sum <"$ROOT/scripts/lib/image.sh")
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
