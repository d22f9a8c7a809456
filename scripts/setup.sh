#!/bin/sh
# Creates .venv with all pinned versions, for `make setup`. Returns at once if nothing has changed.
# Needs Python 3.11 or newer. First checks the whole machine. On Debian and Ubuntu, root gets
# missing system packages by apt-get, and other users see one command. `--servers` also checks for a
# broker.
set -eu

cd "$(dirname "$0")/.."
venv=.venv
stamp=$venv/setup-stamp

say() { echo "setup: $*"; }

fail() {
    echo "setup: $*" >&2
    exit 1
}

# Shows the output of a command only if it fails.
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

# The first Python 3.11 or newer on the PATH.
find_python() {
    for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
        "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null || continue
        echo "$candidate"
        break
    done
}

# Whether the stack can have a broker here: a RabbitMQ, a Docker engine, or one in AMQP_URL.
has_broker() {
    [ -n "${AMQP_URL:-}" ] || command -v rabbitmq-server > /dev/null || docker version > /dev/null 2>&1 && return
    # As in producer/stack/broker.py: it may not be on the PATH.
    for place in /usr/lib /usr/local/lib; do
        [ ! -x $place/rabbitmq/bin/rabbitmq-server ] || return 0
    done
    for place in /opt/homebrew /usr/local /home/linuxbrew/.linuxbrew; do
        [ ! -x $place/opt/rabbitmq/sbin/rabbitmq-server ] || return 0
    done
    return 1
}

# Installs Debian packages.
apt_install() {
    say "installing $* with apt-get"
    # The package lists may be missing, as in a new image, or old.
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" > /dev/null 2>&1 && return
    quietly apt-get update -qq || fail "apt-get could not fetch the lists of packages"
    DEBIAN_FRONTEND=noninteractive quietly apt-get install -qq -y --no-install-recommends "$@" ||
        fail "apt-get could not install $*"
}

# Prints the command that installs Debian packages for a user who is not root.
apt_command() {
    # A new machine has no package lists yet.
    apt-cache show "$@" > /dev/null 2>&1 || printf 'sudo apt-get update && '
    echo "sudo apt-get install -y $*"
}

# What the installation depends on. This includes the folder: a virtual environment can't be moved.
fingerprint() { { pwd && cat requirements*.txt pyproject.toml scripts/setup.sh; } | cksum; }

if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$(fingerprint)" ] && "$venv/bin/python" -c ''; then
    exit 0
fi

# Collects everything that the machine lacks, before anything slow. First as Debian's packages, then
# in words.
packages=
lacking=
lack() {
    packages="$packages $1"
    lacking="${lacking:+$lacking; }$2"
}

python=$(find_python)
if [ -z "$python" ]; then
    found=$(python3 --version 2> /dev/null) && fail "Python 3.11 or newer is needed, and python3 is $found"
    lack "python3 python3-venv" "Python 3.11 or newer"
# Debian has ensurepip, without which a virtual environment has no pip, in a separate package.
elif ! "$venv/bin/python" -c 'import pip' 2> /dev/null && ! "$python" -c 'import ensurepip' 2> /dev/null; then
    lack "$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')" "Python's venv module"
fi
if [ "$(uname -s)" = Linux ] && ! "${python:-false}" -c 'import ctypes; ctypes.CDLL("libgomp.so.1")' 2> /dev/null; then
    lack libgomp1 "libgomp.so.1, which LightGBM needs"
fi
needed=$packages
# For root, the stack installs RabbitMQ when it first needs it, without its service.
if [ "$(id -u)" -ne 0 ] && ! has_broker; then
    lack rabbitmq-server "RabbitMQ, which the demo and the tests need"
    [ "${1:-}" != --servers ] || needed=$packages
fi
# shellcheck disable=SC2086 # $packages are words
if [ -z "$packages" ]; then
    :
elif ! command -v apt-get > /dev/null; then
    way="install them as your system does (Debian's packages:$packages)"
elif [ "$(id -u)" -ne 0 ]; then
    way="run: $(apt_command $packages)"
else
    apt_install $packages
    python=$(find_python)
    [ -n "$python" ] || fail "Python 3.11 or newer is needed, and apt-get has $(python3 --version 2>&1)"
    needed=
    packages=
fi
[ -z "$needed" ] || fail "missing: $lacking; $way"
[ -z "$packages" ] || say "missing: $lacking; $way"

if ! "$venv/bin/python" -c 'import pip' 2> /dev/null; then
    say "making $venv with $("$python" --version)"
    quietly "$python" -m venv --clear "$venv" || fail "$python can't make $venv"
fi

say "installing what requirements-dev.txt pins: a minute or two the first time"
rm -f "$stamp"
quietly "$venv/bin/python" -m pip install --disable-pip-version-check -r requirements-dev.txt ||
    fail "pip could not install requirements-dev.txt; is there a network?"
quietly "$venv/bin/python" -m pip install --disable-pip-version-check --no-deps -e . ||
    fail "pip could not install this repository"
fingerprint > "$stamp"
say "done"
