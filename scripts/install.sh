#!/usr/bin/env bash
# Installs the tools, the scripts checkpoint.sh, restore.sh and migrate.sh, manual pages, and completions for bash, zsh and fish.
#
#   install.sh [PREFIX]      below PREFIX, /usr/local by default; with DESTDIR set, below $DESTDIR/PREFIX
#   install.sh --remove [PREFIX]
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
remove=''
if [[ ${1-} == --remove ]]; then remove=1; shift; fi
case ${1-} in -*) sed -n '2,5s/^# \{0,1\}//p' "$0"; exit 2 ;; esac
to=${DESTDIR-}${1:-/usr/local}
tools=(freeze dumpmnt dumpfs aufsfix dumpmem servemem imgpack restore)

# One list for both ways: put SOURCE PLACE MODE.
if [[ $remove ]]; then
    put() { rm -f "$to/$2"; }
else
    bin=$("$root/scripts/build.sh")
    made=$(mktemp -d)
    trap 'rm -rf "$made"' EXIT
    put() { install -D -m "$3" "$1" "$to/$2"; }
    version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$root/Cargo.toml" | head -n 1)
    for tool in "${tools[@]}"; do
        "$bin/floe-xtask" man "$root/doc/$tool.md" "$version" > "$made/$tool.1"
        for shell in bash zsh fish; do "$bin/$tool" --completions "$shell" > "$made/$tool.$shell"; done
    done
    "$bin/floe-xtask" man "$root/doc/criu-front.md" "$version" > "$made/criu-front.1"
fi
for tool in "${tools[@]}"; do
    put "${bin-}/$tool" "bin/$tool" 755
    put "${made-}/$tool.1" "share/man/man1/$tool.1" 644
    put "${made-}/$tool.bash" "share/bash-completion/completions/$tool" 644
    put "${made-}/$tool.zsh" "share/zsh/site-functions/_$tool" 644
    put "${made-}/$tool.fish" "share/fish/vendor_completions.d/$tool.fish" 644
done
# Engines look for criu on PATH: it is in a directory of its own, so that nobody gets it who has not asked for it.
put "${bin-}/criu-front" bin/criu-front 755
put "${made-}/criu-front.1" share/man/man1/criu-front.1 644
if [[ $remove ]]; then
    rm -f "$to/lib/floe/criu/criu"
    rmdir "$to/lib/floe/criu" "$to/lib/floe" 2> /dev/null || true
else
    mkdir -p "$to/lib/floe/criu"
    ln -sfn ../../../bin/criu-front "$to/lib/floe/criu/criu"
fi
for script in checkpoint.sh restore.sh migrate.sh; do put "$root/scripts/$script" "bin/$script" 755; done
for page in README.md FORMAT.md LICENSE-MIT LICENSE-APACHE; do put "$root/$page" "share/doc/floe/$page" 644; done
for page in "$root"/doc/*.md; do put "$page" "share/doc/floe/doc/${page##*/}" 644; done
if [[ $remove ]]; then
    # What else is in a directory stays.
    rmdir "$to/share/doc/floe/doc" "$to/share/doc/floe" 2> /dev/null || true
    echo "removed from $to"
else
    echo "installed below $to: ${tools[*]} criu-front checkpoint.sh restore.sh migrate.sh"
fi
