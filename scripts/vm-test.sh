#!/usr/bin/env bash
# Runs tests on another kernel, in an emulated machine: a tenth of the usual speed.
#
#   vm-test.sh 6.1|6.12|newest|aufs [FILTER…]
#
# 6.1, 6.12 and newest are Debian's kernels, of its releases 12 and 13 and of its unstable branch; they are downloaded once
# (into target/vm). FILTER names tests of tests/e2e, by default those of resources. For `aufs` set KERNEL to the bzImage of a
# kernel with AUFS, and MODULES to its lib/modules/VERSION where it has any; see doc/aufsfix.md. Exit codes: that of the
# tests; 69 where a tool or kernel cannot be had; 124 too slow; 125 no machine came up.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
usage() { sed -n '4p' "$0" | sed 's/^# *//' >&2; exit 2; }
unavailable() { echo "vm-test.sh: $*" >&2; exit 69; }
(($#)) || usage
name=$1; shift
case $name in
    6.1) suite=bookworm ;;
    6.12) suite=trixie ;;
    newest) suite=sid ;;
    aufs) suite='' ;;
    *) usage ;;
esac

missing=()
need() { command -v "$1" > /dev/null || missing+=("$2"); }
need qemu-system-x86_64 qemu-system-x86
need busybox busybox-static
need cpio cpio
need depmod kmod
need xz xz-utils
need zstd zstd
if ((${#missing[@]})); then
    command -v apt-get > /dev/null || unavailable "these are missing: ${missing[*]}"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"; } \
        > /dev/null || unavailable "unable to install ${missing[*]}"
fi
ldd "$(type -P busybox)" > /dev/null 2>&1 && unavailable "busybox is not static: install busybox-static"

# Where this system gets its packages from, there are those of the other releases, too.
mirror() {
    local found
    found=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2> /dev/null | grep -oE '(^URIs:|^deb.*) *https?://[^ ]*/debian/?( |$)' |
        grep -oE 'https?://[^ ]*' | head -n 1) || true
    echo "${found:-http://deb.debian.org/debian}"
}

# Downloads and unpacks a release's kernel into $store.
get() {
    local keys=/usr/share/keyrings/debian-archive-keyring.gpg image packages
    command -v apt-get > /dev/null || unavailable "Debian's kernels need apt-get"
    [[ -e $keys ]] || unavailable "there is no $keys"
    rm -rf "$store.new"
    mkdir -p "$store.new"/{state/lists/partial,cache/archives/partial,debs,tree}
    echo "deb [signed-by=$keys] $(mirror) $suite main" > "$store.new/sources.list"
    export APT_CONFIG=$store.new/apt.conf
    cat > "$APT_CONFIG" <<CONF
Dir::Etc::sourcelist "$store.new/sources.list";
Dir::Etc::sourceparts "-";
Dir::State "$store.new/state";
Dir::State::status "/dev/null";
Dir::Cache "$store.new/cache";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
APT::Sandbox::User "root";
CONF
    apt-get update -qq || unavailable "unable to read the list of packages of $suite"
    image=$(apt-cache depends linux-image-amd64 | grep -oE 'linux-image-[0-9][^ ]*' | head -n 1)
    # Newer ones are packages of their own for the kernel and for its modules.
    packages=$(apt-cache depends "$image" | grep -oE 'linux-(binary|modules)-[0-9][^ ]*' || true)
    (cd "$store.new/debs" && apt-get download -qq "$image" $packages) || unavailable "unable to download $image"
    unset APT_CONFIG
    for deb in "$store.new"/debs/*.deb; do dpkg-deb -x "$deb" "$store.new/tree"; done
    [[ -d $store.new/tree/lib/modules ]] || ln -s usr/lib "$store.new/tree/lib"
    depmod -b "$store.new/tree" "${image#linux-image-}" 2> /dev/null
    rm -rf "$store" "$store.new"/{state,cache,debs}
    mv "$store.new" "$store"
}

if [[ $name == aufs ]]; then
    [[ -n ${KERNEL-} ]] || unavailable "set KERNEL to the bzImage of a kernel with AUFS (doc/aufsfix.md)"
    export KERNEL MODULES=${MODULES-}
else
    store=$root/target/vm/$suite
    [[ -d $store ]] || get
    KERNEL=$(find "$store/tree" -name 'vmlinuz*' | head -n 1)
    MODULES=$(echo "$store"/tree/lib/modules/*)
    export KERNEL MODULES
fi

cargo build --profile suite --workspace --bins
tests=$(cargo test --profile suite -p floe-tests --test e2e --no-run --message-format=json | grep -oE '"executable":"[^"]*/e2e-[^"]*"' | cut -d'"' -f4 | tail -n 1)
filters=("$@")
if ((!$#)); then filters=(resource::); [[ $name != aufs ]] || filters+=(aufs); fi
exec scripts/vm/run -t "${VM_SECONDS:-3000}" env FLOE_SCENARIO_SECONDS=900 FLOE_PATIENCE=10 "$tests" --color never --test-threads=2 "${filters[@]}"
