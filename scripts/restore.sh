#!/usr/bin/env bash
# Restores a process tree from an image file; options go to restore.
#
#   restore.sh FILE [--detach] [--pidfile F] [--new-pidns] [--inherit FD] …
set -uo pipefail
# The tools are beside this script, on PATH, or where cargo builds them. No program is started to find that out: a small process
# is checkpointed in the time of a few.
here=$0
[[ ! -L $here ]] || here=$(readlink -f "$here")
[[ $here == */* ]] || here=./$here
here=${here%/*}/
PATH=$here:$PATH:${CARGO_TARGET_DIR:-${here}../target}/release
case ${1-} in
    -h | --help) echo "usage: restore.sh FILE [OPTION …], the options being those of restore:"; exec restore --help ;;
    -V | --version) exec restore --version ;;
    '' | -*) echo "usage: restore.sh FILE [OPTION …]" >&2; exit 2 ;;
esac
file=$1
shift
[[ -r $file ]] || { echo "restore.sh: unable to read $file" >&2; exit 1; }
exec restore "$@" < "$file"
