#!/usr/bin/env bash
# Installs the real programs that the suite checkpoints, where they are missing.
set -euo pipefail
missing=()
need() { command -v "$1" > /dev/null || missing+=("$2"); }
need cc gcc
need redis-server redis-server
need node nodejs
need Xvnc tigervnc-standalone-server
need xterm xterm
need xwd x11-apps
[[ -e /usr/share/nodejs/ws ]] || missing+=(node-ws)
need python3 python3
need curl curl
need strace strace
need setpriv util-linux
need ps procps
need less less
need vim vim
need tmux tmux
need script bsdutils
need dbus-daemon dbus-daemon
need dbus-send dbus-bin
need gdbus libglib2.0-bin
need ssh-agent openssh-client
need psql postgresql-client
need perl perl
need ruby ruby
need nginx nginx-light
need sshd openssh-server
need ssh openssh-client
need git git
need ip iproute2
need bwrap bubblewrap
need busybox busybox-static
need nft nftables
need mariadbd mariadb-server
need mariadb mariadb-client
need podman podman
need runc runc
need containerd containerd
need conmon conmon
need lxc-checkpoint lxc
# Debian keeps its servers out of PATH.
compgen -G '/usr/lib/postgresql/*/bin/postgres' > /dev/null || missing+=(postgresql postgresql-contrib)
if ((${#missing[@]})); then
    apt-get update -qq
    # A server that a package would start by itself is none of our business.
    policy=/usr/sbin/policy-rc.d
    if [[ ! -e $policy ]]; then
        trap 'rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' > "$policy" && chmod +x "$policy"
    fi
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" > /dev/null
fi
