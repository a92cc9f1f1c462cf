#!/usr/bin/env bash
# Unpacks Debian trixie's criu with its libraries into a directory of its own and prints the command that starts it.
# The mirror is the one that apt uses already. Fails where it cannot be had; nothing is installed.
set -euo pipefail
cache=${FLOE_BENCH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/floe-bench}
root=$cache/root
if [[ ! -x $root/usr/sbin/criu ]]; then
    mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep '/debian$' | sort -u | head -n 1)
    key=/usr/share/keyrings/debian-archive-trixie-stable.gpg
    [[ -n $mirror && -r $key ]] || { echo "get-criu.sh: apt has no Debian mirror, or no key of trixie" >&2; exit 1; }
    mkdir -p "$cache"/{state/lists,archives}/partial "$root"
    echo "deb [signed-by=$key] $mirror trixie main" > "$cache/list"
    options=(
        -qq -o "Dir::Etc::SourceList=$cache/list" -o Dir::Etc::SourceParts=/dev/null
        -o "Dir::State=$cache/state" -o Dir::State::status=/dev/null -o "Dir::Cache=$cache"
    )
    apt-get "${options[@]}" update >&2
    apt-get "${options[@]}" install --download-only -y --no-install-recommends criu >&2
    for package in "$cache"/archives/*.deb; do
        dpkg-deb -x "$package" "$root"
    done
fi
lib=$root/usr/lib/x86_64-linux-gnu
[[ -d $lib ]] || { echo "get-criu.sh: only for x86_64" >&2; exit 1; }
echo "$lib/ld-linux-x86-64.so.2 --library-path $lib $root/usr/sbin/criu"
