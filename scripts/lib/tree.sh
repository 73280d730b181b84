# shellcheck shell=bash
# The patched tree: a git repository with one commit for the unpatched source
# (tag "base") and one for each patch, with the module's files in place.
# SPDX-License-Identifier: GPL-2.0-or-later

PATCHED_SRC=$BUILD/qemu-src

series_patches() {
    find "$SERIES_DIR" -name '[0-9]*.patch' ! -name '0000-*' 2>/dev/null | sort
}

series_hash() {
    local patches
    mapfile -t patches < <(series_patches)
    {
        cat "$BASE_SRC.stamp"
        [ "${#patches[@]}" -eq 0 ] || sha256sum <(cat "${patches[@]}") | cut -d ' ' -f 1
    } | sha256sum | cut -d ' ' -f 1
}

# This project's files that live in QEMU's tree: "file path-in-the-tree".
module_files() {
    find "$ROOT/migration" -type f ! -name '.*' -printf '%p migration/hybrid/%P\n' |
        sort
    find "$ROOT/tests/unit" -type f ! -name '.*' -printf '%p tests/unit/hybrid/%P\n' \
        2>/dev/null | sort || true
    find "$ROOT/tests/qtest" -name 'hybrid*.[ch]' \
        -printf '%p tests/qtest/migration/%f\n' 2>/dev/null | sort || true
}

# make_git_tree DIR: a copy of the base as a git repository, tagged "base".
make_git_tree() {
    local dir=$1
    rm -rf "$dir"
    mkdir -p "$dir"
    tar -C "$BASE_SRC" --exclude=./build --exclude=./build-tools --exclude=./roms \
        --exclude=./.pc -cf - . |
        tar -C "$dir" -xf -
    tool_git init -q -b hybrid "$dir"
    tool_git -C "$dir" config core.compression 0
    printf '%s\n' /build '/build-*' /debian /migration/hybrid/ \
        /tests/unit/hybrid/ '/tests/qtest/migration/hybrid*.[ch]' >>"$dir/.git/info/exclude"
    tool_git -C "$dir" add -A
    GIT_AUTHOR_DATE='2025-01-01T00:00:00Z' GIT_COMMITTER_DATE='2025-01-01T00:00:00Z' \
        tool_git -C "$dir" commit -q -m "QEMU $(cat "$dir/VERSION"), unpatched"
    tool_git -C "$dir" tag base
}

# apply_series DIR: git am of each patch in order, in a repository's work tree.
apply_series() {
    local dir=$1 log=$BUILD/logs/git-am.log patches
    mapfile -t patches < <(series_patches)
    [ "${#patches[@]}" -gt 0 ] || return 0
    mkdir -p "$BUILD/logs"
    if ! tool_git -C "$dir" am --quiet --committer-date-is-author-date --keep-non-patch \
        "${patches[@]}" >"$log" 2>&1; then
        cat "$log" >&2
        tool_git -C "$dir" am --abort >/dev/null 2>&1 || true
        return 1
    fi
}

# Applies the series beside the tree, so that the tree changes in one step.
# Prints the resulting commit.
series_commit() {
    local tmp=$BUILD/series-apply
    rm -rf "$tmp"
    tool_git -C "$PATCHED_SRC" worktree prune
    tool_git -C "$PATCHED_SRC" worktree add -q --detach "$tmp" base >&2
    apply_series "$tmp" ||
        die "the series does not apply to QEMU $(cat "$BASE_SRC/VERSION")"
    tool_git -C "$tmp" rev-parse HEAD
    tool_git -C "$PATCHED_SRC" worktree remove --force "$tmp" >&2
}

# The tree is generated: edits that would be lost stop the set-up instead.
refuse_lost_edits() {
    local head
    [ ! -e "$PATCHED_SRC/.git/hybrid-updating" ] || return 0
    head=$(tool_git -C "$PATCHED_SRC" rev-parse HEAD)
    if [ "$head" = "$(tool_git -C "$PATCHED_SRC" rev-parse applied)" ] &&
        [ -z "$(tool_git -C "$PATCHED_SRC" status --porcelain -uno)" ]; then
        return 0
    fi
    die "$PATCHED_SRC has changes that are not in the series" \
        "to keep them: commit them there, then scripts/series write $PATCHED_SRC" \
        "to drop them: git -C $PATCHED_SRC reset --hard applied"
}

# git rewrites only the files that differ between the two commits.
move_tree_to() {
    local mark=$PATCHED_SRC/.git/hybrid-updating
    touch "$mark"
    rm -f "$PATCHED_SRC/.git/index.lock"
    tool_git -C "$PATCHED_SRC" checkout -q -f -B hybrid "$1"
    tool_git -C "$PATCHED_SRC" tag -f applied >/dev/null
    rm -f "$mark"
}

sync_series() {
    local hash commit
    hash=$(series_hash)
    stamp_is "$PATCHED_SRC.stamp" "$hash" && return 0
    refuse_lost_edits
    step "apply $(series_patches | wc -l) patches to QEMU $(cat "$BASE_SRC/VERSION")"
    commit=$(series_commit)
    move_tree_to "$commit"
    stamp_write "$PATCHED_SRC.stamp" "$hash"
}

# Puts the module's files into a tree; drops those that the project dropped.
sync_module_files() {
    local tree=$1 file path names=' '
    while read -r file path; do
        mkdir -p "$tree/${path%/*}"
        copy_changed "$file" "$tree/$path"
        names+="$path "
    done < <(module_files)
    while IFS= read -r path; do
        [[ $names == *" $path "* ]] ||
            tool_git -C "$tree" ls-files --error-unmatch "$path" >/dev/null 2>&1 ||
            rm -f "${tree:?}/$path"
    done < <(cd "$tree" && find migration tests/qtest/migration tests/unit -type f \
        \( -path '*/hybrid/*' -o -path 'tests/qtest/*' -name 'hybrid*.[ch]' \))
}

# sync_patched_tree: makes build/qemu-src what the project says it is.
sync_patched_tree() {
    local base
    base=$(cat "$BASE_SRC.stamp")
    if ! stamp_is "$PATCHED_SRC.base" "$base"; then
        step "make a git repository of the source"
        rm -f "$PATCHED_SRC.base" "$PATCHED_SRC.stamp"
        make_git_tree "$PATCHED_SRC.tmp"
        tool_git -C "$PATCHED_SRC.tmp" tag applied
        rm -rf "$PATCHED_SRC"
        mv "$PATCHED_SRC.tmp" "$PATCHED_SRC"
        stamp_write "$PATCHED_SRC.base" "$base"
    fi
    sync_series
    sync_module_files "$PATCHED_SRC"
}
