#!/bin/sh
# Makes .venv with everything pinned: what `make setup` runs. Returns at once when nothing has changed.
# Needs Python 3.11 or newer; on Debian and Ubuntu, root gets missing system packages by apt-get, others are told.
set -eu

cd "$(dirname "$0")/.."
venv=.venv
stamp=$venv/setup-stamp

say() { echo "setup: $*"; }

fail() {
    echo "setup: $*" >&2
    exit 1
}

# Shows what a command wrote only when it failed.
quietly() {
    output=$(mktemp)
    if "$@" > "$output" 2>&1; then
        rm -f "$output"
    else
        cat "$output" >&2
        rm -f "$output"
        return 1
    fi
}

# Installs a Debian package, or says how to: package, what for.
need_package() {
    command -v apt-get > /dev/null || fail "$2 is missing; install it as your system does (Debian calls it $1)"
    [ "$(id -u)" -eq 0 ] || fail "$2 is missing; run: sudo apt-get install -y $1"
    say "installing $1 with apt-get ($2)"
    # The package lists may be missing, as in a fresh image, or old.
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$1" > /dev/null 2>&1 && return
    quietly apt-get update -qq &&
        DEBIAN_FRONTEND=noninteractive quietly apt-get install -qq -y --no-install-recommends "$1" ||
        fail "apt-get could not install $1"
}

# What the installation depends on. The folder too: a virtual environment can't be moved.
fingerprint() { { pwd && cat requirements*.txt pyproject.toml scripts/setup.sh; } | cksum; }

if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$(fingerprint)" ] && "$venv/bin/python" -c ''; then
    exit 0
fi

if ! "$venv/bin/python" -c 'import pip' 2> /dev/null; then
    python=
    for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null; then
            python=$candidate
            break
        fi
    done
    [ -n "$python" ] || fail "no Python 3.11 or newer on the PATH (python3 is $(python3 --version 2>&1 || true));" \
        "install one, on Debian 12 or Ubuntu 24.04: apt-get install -y python3 python3-venv"
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    # Debian keeps ensurepip, without which a virtual environment has no pip, in a package of its own.
    "$python" -c 'import ensurepip' 2> /dev/null || need_package "python$version-venv" "Python's venv module"
    say "making $venv with Python $version"
    quietly "$python" -m venv --clear "$venv" || fail "$python can't make $venv"
fi

if [ "$(uname -s)" = Linux ] && ! "$venv/bin/python" -c 'import ctypes; ctypes.CDLL("libgomp.so.1")' 2> /dev/null; then
    need_package libgomp1 "libgomp.so.1, which LightGBM needs"
fi

say "installing what requirements-dev.txt pins: a minute or two the first time"
rm -f "$stamp"
quietly "$venv/bin/python" -m pip install --disable-pip-version-check -r requirements-dev.txt ||
    fail "pip could not install requirements-dev.txt; is there a network?"
quietly "$venv/bin/python" -m pip install --disable-pip-version-check --no-deps -e . ||
    fail "pip could not install this repository"
fingerprint > "$stamp"
say "done"
