#!/bin/sh
# Makes .env, which docker-compose.yml reads, from .env.example with passwords of its own. One that is there stays as it is.
set -eu
cd "$(dirname "$0")/.."
if [ -e .env ]; then
    echo ".env is there already: left as it is"
    exit 0
fi
umask 077
while IFS= read -r line; do
    case $line in
        '#'*) ;;
        *_PASSWORD= | *_TOKEN=) line=$line$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n') ;;
    esac
    printf '%s\n' "$line"
done <.env.example >.env.new
mv .env.new .env
echo ".env made, with passwords of its own"
