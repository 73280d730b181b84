# shellcheck shell=bash
# A private apt configuration below the build folder: fetches packages of
# another Debian release than the machine's, and changes nothing outside.
# SPDX-License-Identifier: GPL-2.0-or-later

KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

# The first entry for Debian's main archive in deb822 files (*.sources).
mirror_from_deb822() {
    awk '
    function finish(    uri) {
        split(field["uris"], uri, " ")
        if (field["enabled"] !~ /^ *(no|false|0)/ &&
            " " field["types"] " " ~ / deb / &&
            " " field["components"] " " ~ / main / &&
            " " field["suites"] " " ~ / (bookworm|trixie|forky|sid|oldstable|stable|testing|unstable) / &&
            uri[1] != "" && !found) {
            print uri[1]
            found = 1
        }
        split("", field)
    }
    FNR == 1 { finish() }
    /^#/ { next }
    /^[ \t]*$/ { finish(); next }
    /^[^ \t]/ {
        colon = index($0, ":")
        key = tolower(substr($0, 1, colon - 1))
        field[key] = substr($0, colon + 1)
        next
    }
    { field[key] = field[key] " " $0 }
    END { finish() }' "$@"
}

# The same from one-line files (*.list).
mirror_from_lists() {
    sed -n 's/#.*//; s/^[ \t]*deb[ \t]\{1,\}\(\[[^]]*\]\)\{0,1\}[ \t]*//p' "$@" |
    awk '$1 !~ /^cdrom:/ && $2 ~ /^(bookworm|trixie|forky|sid|oldstable|stable|testing|unstable)$/ {
        for (i = 3; i <= NF && !found; i++) {
            if ($i == "main") { print $1; found = 1 }
        }
    }'
}

# The mirror that this machine already uses, unless one was given.
machine_mirror() {
    local dir=${APT_ETC:-/etc/apt} mirror='' files
    if [ -n "${OPT_MIRROR:-}" ]; then
        echo "$OPT_MIRROR"
        return
    fi
    mapfile -t files < <(find "$dir/sources.list.d" -name '*.sources' 2>/dev/null | sort)
    if [ "${#files[@]}" -gt 0 ]; then
        mirror=$(mirror_from_deb822 "${files[@]}")
    fi
    if [ -z "$mirror" ]; then
        mapfile -t files < <(find "$dir/sources.list" "$dir/sources.list.d" \
                             -name '*.list' 2>/dev/null | sort)
        [ "${#files[@]}" -eq 0 ] || mirror=$(mirror_from_lists "${files[@]}")
    fi
    [ -n "$mirror" ] || die "no Debian mirror in this machine's apt configuration" \
        "name one with --mirror URI, or give QEMU's source with --qemu-src"
    echo "$mirror"
}

# private_apt SUITE COMMAND ARGUMENT...: apt-get or apt-cache on that suite.
private_apt() {
    local dir=$BUILD/apt/$1 command=$2
    shift 2
    "$command" -q -o Dir::Etc::SourceList="$dir/sources.list" \
        -o Dir::Etc::SourceParts="$dir/parts" \
        -o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null \
        -o Dir::State::Lists="$dir/lists" -o Dir::Cache="$dir/cache" \
        -o APT::Sandbox::User="$(id -un)" -o Acquire::Languages=none \
        -o Acquire::Retries=3 -o APT::Get::List-Cleanup=false "$@"
}

# Makes the configuration of a suite and reads its lists, once.
private_apt_setup() {
    local suite=$1 dir=$BUILD/apt/$1 mirror
    have apt-get || die "apt-get is needed to fetch Debian packages" \
        "on other systems give QEMU's source with --qemu-src"
    [ -r "$KEYRING" ] || die "$KEYRING is missing" "install debian-archive-keyring"
    mirror=$(machine_mirror)
    stamp_is "$dir/stamp" "$mirror" && return 0
    step "read Debian's package lists for $suite"
    mkdir -p "$dir/parts" "$dir/lists/partial" "$dir/cache/archives/partial"
    printf '%s [signed-by=%s] %s %s main\n' deb "$KEYRING" "$mirror" "$suite" \
        deb-src "$KEYRING" "$mirror" "$suite" | write_file "$dir/sources.list"
    run_logged "apt-update-$suite" private_apt "$suite" apt-get \
        -o APT::Update::Error-Mode=any update
    stamp_write "$dir/stamp" "$mirror"
}

# Lists grow old: when a download fails, they are read once more.
private_apt_retry() {
    local suite=$1 log
    shift
    private_apt_setup "$suite"
    log=$BUILD/logs/apt-$suite.log
    mkdir -p "$BUILD/logs"
    private_apt "$suite" apt-get "$@" >"$log" 2>&1 && return 0
    rm -f "$BUILD/apt/$suite/stamp"
    private_apt_setup "$suite"
    run_logged "apt-$suite" private_apt "$suite" apt-get "$@"
}

# fetch_deb SUITE PACKAGE...: prints the names of the downloaded package files.
fetch_deb() {
    local suite=$1 dir=$BUILD/downloads/$2
    shift
    rm -rf "$dir.tmp"
    mkdir -p "$dir.tmp"
    (cd "$dir.tmp" && private_apt_retry "$suite" download "$@") >&2
    rm -rf "$dir"
    mv "$dir.tmp" "$dir"
    find "$dir" -name '*.deb'
}

# fetch_qemu_source SUITE DIR: Debian's source package of QEMU, unpacked.
fetch_qemu_source() {
    local suite=$1 dir=$2 get=$BUILD/downloads/qemu-$1 version
    private_apt_setup "$suite"
    version=$(private_apt "$suite" apt-cache showsrc --only-source qemu |
              sed -n 's/^Version: //p' |
              grep -E "^([0-9]+:)?${SERIES_VERSION//./\\.}\\." | sort -V | tail -n 1) || true
    [ -n "$version" ] || die "the mirror has no qemu $SERIES_VERSION.x in $suite" \
        "give a source with --qemu-src"
    step "download the source of qemu $version"
    mkdir -p "$get"
    (cd "$get" && private_apt_retry "$suite" source --download-only "qemu=$version") ||
        return 1
    step "unpack it"
    rm -rf "$dir" "$(dirname "$dir")"/qemu_*.tmp-extract.*
    run_logged "dpkg-source-$suite" dpkg-source --no-copy -x \
        "$get/qemu_${version#*:}.dsc" "$dir"
}
