# shellcheck shell=bash
# Debian packages: which are needed, which are missing, and their installation.
# SPDX-License-Identifier: GPL-2.0-or-later

BUILD_PACKAGES=(
    gcc libc6-dev pkgconf ninja-build git perl flex bison patch
    python3 python3-venv python3-setuptools
    libglib2.0-dev libpixman-1-dev libfdt-dev zlib1g-dev libgnutls28-dev
)
# The source and the guest's kernel come as Debian packages.
FETCH_PACKAGES=(dpkg-dev debian-archive-keyring ca-certificates xz-utils bzip2)
RUN_PACKAGES=(
    seabios ipxe-qemu qemu-system-data iproute2 cpio gzip
    python3-matplotlib ccache
)
TEST_PACKAGES=(
    spin gnutls-bin shellcheck libvirt-daemon libvirt-clients
    libvirt-daemon-driver-qemu procps clang libclang-rt-dev
)
#: For scripts/image only.
IMAGE_PACKAGES=(debootstrap e2fsprogs fdisk qemu-utils cpio gzip xz-utils)

# Prints those of the packages named that are not installed.
missing_packages() {
    local installed
    installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" \
                2>/dev/null | sed -n 's/^installed //p') || true
    printf '%s\n' "$@" | grep -vxF -f <(printf '%s\n' "$installed") || true
}

# How to become root: nothing for root, sudo when it can be used, else fail.
root_prefix() {
    if [ "$(id -u)" = 0 ]; then
        echo env
    elif have sudo && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
        echo sudo
    else
        return 1
    fi
}

# need_packages PACKAGE...: installs what is missing; apt is not called when
# nothing is. Without a way to become root it says what to run.
need_packages() {
    have dpkg-query || die "this set-up installs Debian packages, and this is no Debian" \
        "install the equivalents of these yourself and use ./configure:" "$*"
    local missing prefix
    mapfile -t missing < <(missing_packages "$@")
    [ "${#missing[@]}" -gt 0 ] || return 0
    local install=(apt-get install -y --no-install-recommends "${missing[@]}")
    if ! prefix=$(root_prefix); then
        die "packages are missing and this is neither root nor a user with sudo" \
            "have these run as root, then start again:" \
            "    apt-get update" "    ${install[*]}"
    fi
    step "install ${#missing[@]} packages: ${missing[*]}"
    run_logged apt-update "$prefix" apt-get update
    run_logged apt-install "$prefix" env DEBIAN_FRONTEND=noninteractive "${install[@]}"
}
