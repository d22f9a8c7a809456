#!/usr/bin/env bash
# Runs `make demo`, `make lint` and `make test-all` like a new user on a new Debian 13, for `make
# test-debian13`.
#
#   scripts/debian13.sh                      everything: half an hour and more
#   scripts/debian13.sh make lint            one command in the same chroot
#   DEBIAN=bookworm DEBIAN_ROOT=/srv/debian12 scripts/debian13.sh make demo     another release
#
# Needs root and debootstrap. The chroot stays in DEBIAN_ROOT (.debian13 in this folder) for the
# next run; delete it to start again. However this script ends, its mounts and all its processes are
# removed. Mirrors, proxies and certificates are this machine's own, as apt and pip have them.
set -euo pipefail
cd "$(dirname "$0")/.."
release=${DEBIAN:-trixie}
root=${DEBIAN_ROOT:-$PWD/.debian13}
user=newcomer
home=/home/$user/warren

say() { echo "debian13: $*"; }

fail() {
  echo "debian13: $*" >&2
  exit 1
}

[ "$(id -u)" -eq 0 ] || fail "only root can make a chroot: sudo make test-debian13"
command -v debootstrap >/dev/null || fail "debootstrap is missing: apt-get install -y debootstrap"

# A separate namespace for mounts and processes: the kernel removes them with its last process. Only
# one run at a time.
if [ -z "${DEBIAN_INSIDE:-}" ]; then
  mkdir -p "$(dirname "$root")"
  exec 9>"$root.lock"
  flock --nonblock 9 || fail "$root is in use by another run"
  exec env DEBIAN_INSIDE=1 unshare --mount --pid --fork --kill-child "$0" "$@"
fi

# The Debian mirror of this machine's apt. On other systems debootstrap has a default.
mirror=$(apt-get indextargets --format "\$(LABEL) \$(REPO_URI)" 'Created-By: Packages' 2>/dev/null |
  awk '$1 == "Debian" { print $2; exit }' || true)

bootstrap() {
  # A folder from an interrupted run is replaced. Any other folder is not ours.
  if [ -n "$(ls -A "$root" 2>/dev/null)" ] && [ ! -e "$root/.warren" ]; then
    fail "$root is not empty, and no chroot of ours: name another folder in DEBIAN_ROOT"
  fi
  say "making a Debian ($release) in $root: a few minutes, once"
  rm -rf "$root"
  mkdir -p "$root"
  touch "$root/.warren"
  # shellcheck disable=SC2086 # without a mirror there is one argument less
  debootstrap --variant=minbase --include=ca-certificates "$release" "$root" $mirror >"$root.log" 2>&1 ||
    { tail -5 "$root.log" >&2 && fail "debootstrap failed; $root.log has all that it wrote"; }
  rm "$root.log"
}

furnish() {
  apt-config dump Acquire | grep -i '::proxy' >"$root/etc/apt/apt.conf.d/50host" || true
  # No progress output without a terminal. Services can't run here.
  echo 'DPkg::Use-Pty "0";' >>"$root/etc/apt/apt.conf.d/50host"
  # A power cut may destroy this system: without a sync for every file, the installation is much
  # faster.
  echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/50host"
  printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
  chmod 755 "$root/usr/sbin/policy-rc.d"
  # The certificates that this machine trusts, for pip and for a proxy that inspects TLS.
  cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
  # What a new user has after cloning this repository. Tests that need the last two are skipped
  # without them.
  as_root apt-get update -qq
  as_root apt-get install -qq -y --no-install-recommends git make procps python3 shellcheck chromium >/dev/null
  as_root useradd --create-home --shell /bin/bash "$user"
  touch "$root/.complete"
}

as_root() { LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive HOME=/root TMPDIR=/tmp chroot "$root" "$@"; }

# Runs a command as the new user, in the copy of this repository, with this machine's pip settings
# in the environment.
as_newcomer() {
  chroot --userspec="$user" "$root" env -i "${environment[@]}" HOME="/home/$user" USER="$user" LOGNAME="$user" \
    PATH=/usr/local/bin:/usr/bin:/bin LC_ALL=C.UTF-8 env --chdir="$home" "$@" 9>&-
}

# Variables for network access, and pip's configuration files as variables. Folders of this machine
# don't exist there.
environment=()
while IFS= read -r line; do
  environment+=("$line")
done < <(
  env | grep -iE '^((https?|no|all)_proxy|pip_(index_url|extra_index_url|trusted_host|default_timeout))=' || true
  python3 -m pip config list 2>/dev/null |
    sed -nE "s/^global\.(index-url|extra-index-url|trusted-host|proxy)='(.*)'$/\1 \2/p" |
    while read -r name value; do
      case $value in *file:*) ;; *) echo "PIP_$(echo "$name" | tr 'a-z-' 'A-Z_')=$value" ;; esac
    done
)

mount_in() {
  mount -t proc proc "$root/proc"
  mount --rbind /sys "$root/sys"
  mount --rbind /dev "$root/dev"
  mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
  cp -L /etc/resolv.conf "$root/etc/resolv.conf"
  cp /etc/hosts "$root/etc/hosts"
}

# Copies files that git tracks and new files. .venv and the like stay from the last run; deleted
# files are deleted there too.
copy() {
  mkdir -p "$root$home"
  find "$root$home" -mindepth 1 -maxdepth 1 ! -name .venv ! -name .warren ! -name .mypy_cache -exec rm -rf {} +
  git ls-files -z --cached --others --exclude-standard |
    while IFS= read -r -d '' file; do [ ! -e "$file" ] || printf '%s\0' "$file"; done |
    tar -c --null -T - | tar -x -C "$root$home"
  as_root chown -R "$user:" "$home"
  # Some tests ask git which files belong to the repository.
  as_newcomer sh -c 'git init -q . && git add -A && git -c user.name=n -c user.email=n commit -q -m copy'
}

[ -e "$root/.complete" ] || bootstrap
mount_in
[ -e "$root/.complete" ] || furnish
copy

# Like a new user: installs once what the set-up asks for.
set_up() {
  local answer needed
  answer=$(as_newcomer scripts/setup.sh --servers 2>&1) && return
  needed=$(sed -n 's/^setup: missing: .*; run: //p' <<<"$answer")
  [ -n "$needed" ] || { echo "$answer" >&2 && fail "set-up failed, and said no command that helps"; }
  say "set-up asked for: $needed"
  as_root sh -c "${needed//sudo /}" >/dev/null
  as_newcomer scripts/setup.sh --servers
}
set_up

as_newcomer .venv/bin/python -c 'import sys, platform; print("debian13: Python", platform.python_version())'
if [ $# -gt 0 ]; then
  as_newcomer "$@"
else
  failed=()
  for target in demo lint test-all; do
    began=$SECONDS
    as_newcomer make "$target" || failed+=("make $target")
    say "make $target took $((SECONDS - began)) s"
  done
  [ "${#failed[@]}" -eq 0 ] || fail "failed: ${failed[*]}"
fi
