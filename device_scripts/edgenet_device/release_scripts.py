"""Releases as shell scripts: what changes a device's releases, from another computer or on the device itself.

    HOME/releases/ID/      a bundle with the device scripts; ID is the hash of all files
    HOME/incoming-ID/      a release being copied
    HOME/current           link to the release in use

Each script gets edgenet's folder on the device (HOME) as $1. They run in dash, bash, and Android's mksh and toybox.
edgenet runs them through ssh or adb (its module `devices/releases.py` says how a release is laid out), and an update
that the device fetches itself runs them here (see `updates`).
"""

from __future__ import annotations

# Prints the files of a folder that edgenet did not write, or that are no longer as it wrote them. Names that are
# listed twice or more are edgenet's own. Whatever cannot be checked, because SHA256SUMS is lost, counts as changed.
CHANGES = r"""
changes() (
    cd "$1" 2>/dev/null || exit 0
    written=$(sed 's/^[0-9a-f]*  //' SHA256SUMS 2>/dev/null)
    {
        find . ! -type d ! -name '*.pyc' | sed 's|^\./||'
        for twice in 1 2; do printf '%s\n' SHA256SUMS environment previous verified "$written"; done
    } | sort | uniq -u
    LC_ALL=C sha256sum -c SHA256SUMS 2>/dev/null | sed -n 's/: FAILED$//p' |
        while read -r name; do [ ! -e "$name" ] || printf '%s\n' "$name"; done
)
"""
"""Shell function `changes FOLDER`: prints the files that somebody changed or added."""
SET_ASIDE = r"""
set_aside() {
    number=1
    while [ -e "$2/set-aside/$4-$number" ]; do number=$((number + 1)); done
    mkdir -p "$2/set-aside" && mv "$1" "$2/set-aside/$4-$number" || return
    printf '%s\n' "$2/set-aside/$4-$number" && printf '%s\n' "$3" | sed 's/^/ /'
}
"""
"""Shell function `set_aside FOLDER HOME CHANGES NAME`: prints the new path and then, indented, what was changed."""
WHOLE = """
cd "$1/releases/$2" 2>/dev/null && [ -e verified ] && sha256sum -c SHA256SUMS >/dev/null 2>&1
"""
"""Succeeds if the release $2 is there, verified, and has all its files as they were written."""
COMMIT = f"""{CHANGES}{SET_ASIDE}
cd "$1/incoming-$2" && sha256sum -c SHA256SUMS >/dev/null || exit 1
if [ -n "$3" ]; then ln -sfn "../../environments/$3" environment || exit 1; fi
sync
cd "$1" || exit 1
if [ -e "releases/$2" ]; then
    old=$(readlink "releases/$2/previous") && {{ ln -sfn "$old" "incoming-$2/previous" || exit 1; }}
    changed=$(changes "releases/$2")
    if [ -n "$changed" ]; then set_aside "releases/$2" "$1" "$changed" "$2" || exit 1
    else mv -T "releases/$2" "releases/$2.damaged" || exit 1; fi
fi
mv -T "incoming-$2" "releases/$2" && sync && rm -rf "releases/$2.damaged"
"""
"""Moves the copied release $2 to its final name ($3: its environment's key); a changed one there is set aside."""
VERIFIED = 'touch "$1/releases/$2/verified" && sync'
"""Records that the model of the release $2 has run on this device."""
ACTIVATE = """
cd "$1" && [ -e "releases/$2/verified" ] || exit 1
old=$(readlink current)
[ "$old" = "releases/$2" ] && exit 0
if [ -n "$old" ]; then ln -sfn "../${old#releases/}" "releases/$2/previous" || exit 1; fi
# toybox's mv refuses to replace a link to a folder, but its ln replaces a link by rename(2), as mv -T does.
ln -sfn "releases/$2" current.new && { mv -fT current.new current 2>/dev/null || ln -sfn "releases/$2" current; } &&
    rm -f current.new && [ "$(readlink current)" = "releases/$2" ] && sync
"""
"""Points `current` to the verified release $2, in one step."""
RUNNING = """
link=$(readlink "$1/current"); echo "${link#releases/}"
link=$(readlink "$1/current/previous"); echo "${link#../}"
"""
"""Prints the ID of the release in use, and of the one that ran before it."""
# Kept: the current release, the two before it, the three newest, every release with somebody's own files, and every
# environment that these use.
PRUNE = (
    CHANGES
    + SET_ASIDE
    + """
cd "$1/releases" || exit 1
home=$1
kept=" "
link=$(readlink ../current)
for turn in 1 2 3; do
    link=${link##*/}
    [ -n "$link" ] || break
    kept="$kept$link "
    link=$(readlink "$link/previous")
done
count=0
for release in $(ls -t); do
    count=$((count + 1))
    case "$kept" in *" $release "*) continue ;; esac
    [ $count -gt 3 ] || continue
    changed=$(changes "$release")
    if [ -n "$changed" ]; then set_aside "$release" "$home" "$changed" "$release" || exit 1
    else rm -rf "$release"; fi
done
cd "$1/environments" 2>/dev/null || exit 0
used=" "
for link in ../releases/*/environment ../set-aside/*/environment; do used="$used$(readlink "$link") "; done
case "$used" in *../../environments/*) ;; *) exit 0 ;; esac  # no link was understood: keep them all
for environment in *; do
    case "$used" in *" ../../environments/$environment "*) ;; *) rm -rf "$environment" ;; esac
done
"""
)
"""Removes old releases, and the environments that only they used; prints what was set aside instead."""
