#!/usr/bin/env bash
# Makes a Debian package of what install.sh installs, and prints its name.
#
#   package.sh [DIRECTORY]      where the package goes; the current directory by default
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
case ${1-} in -*) sed -n '2,4s/^# \{0,1\}//p' "$0"; exit 2 ;; esac
to=$(cd "${1:-.}" && pwd)
command -v dpkg-deb > /dev/null || { echo "package.sh: dpkg-deb is missing" >&2; exit 1; }
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$root/Cargo.toml" | head -n 1)
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
chmod 755 "$tree"
DESTDIR=$tree "$root/scripts/install.sh" /usr > /dev/null
gzip -9n "$tree"/usr/share/man/man1/*.1
# Debian's place for completions of zsh.
mkdir -p "$tree/usr/share/zsh/vendor-completions" "$tree/DEBIAN"
mv "$tree"/usr/share/zsh/site-functions/* "$tree/usr/share/zsh/vendor-completions/"
rmdir "$tree/usr/share/zsh/site-functions"
# Debian's form of what the licences are: it has a copy of Apache-2.0 itself, and none of MIT.
{
    printf '%s\n' "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/" "Upstream-Name: floe" "" \
        "Files: *" "Copyright: the floe authors" "License: Expat or Apache-2.0" "" "License: Expat"
    tail -n +5 "$root/LICENSE-MIT" | sed 's/^$/./; s/^/ /'
    printf '%s\n' "" "License: Apache-2.0" " The text is in /usr/share/common-licenses/Apache-2.0."
} > "$tree/usr/share/doc/floe/copyright"
strip --strip-unneeded "$tree"/usr/bin/{freeze,dumpmnt,dumpfs,aufsfix,dumpmem,servemem,imgpack,restore,criu-front}
# The newest symbols of libc that a tool needs say which version of it.
libc=$(objdump -T "$tree"/usr/bin/{freeze,restore,imgpack} | grep -o 'GLIBC_[0-9.]*' | sed 's/GLIBC_//' | sort -Vu | tail -n 1)
cat > "$tree/DEBIAN/control" <<CONTROL
Package: floe
Version: $version
Architecture: amd64
Section: admin
Priority: optional
Depends: libc6 (>= $libc), libgcc-s1, bash
Maintainer: floe
Installed-Size: $(du -sk "$tree/usr" | cut -f 1)
Description: checkpoint a process tree and restore it, in user space
 Tools that pipe one stream: freeze, dumpmnt, dumpfs, aufsfix, dumpmem and imgpack write what
 a running process tree is, and restore brings it back to life.
CONTROL
name=floe_${version}_amd64.deb
dpkg-deb --root-owner-group --build "$tree" "$to/$name" > /dev/null
echo "$to/$name"
