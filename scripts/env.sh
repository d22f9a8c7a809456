#!/bin/sh
# Writes .env, which docker-compose.yml reads, from .env.example with generated passwords. Existing
# lines stay. Users that an older .env lacks are added, and `docker compose up -d` creates them.
set -eu
cd "$(dirname "$0")/.."
umask 077
old=/dev/null
[ ! -e .env ] || old=.env
added=
cat "$old" >.env.new
[ -z "$(tail -c 1 "$old")" ] || echo >>.env.new
while IFS= read -r line; do
    name=${line%%=*}
    case $line in
        '#'* | '') [ "$old" = .env ] || printf '%s\n' "$line" >>.env.new; continue ;;
    esac
    ! grep -q "^$name=" "$old" || continue
    case $line in
        WARREN_KEY=) # earlier studies are not signed, and a key would refuse them
            if [ "$old" = .env ]; then
                echo "no WARREN_KEY in .env: docs/docker.md says what it does, and how to begin"
                continue
            fi ;;
    esac
    case $line in
        *_PASSWORD= | *_TOKEN= | *_KEY=) line=$line$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n') ;;
    esac
    printf '%s\n' "$line" >>.env.new
    added="$added $name"
done <.env.example
if [ -z "$added" ]; then
    rm .env.new
    echo ".env is there already: left as it is"
elif [ "$old" = .env ]; then
    mv .env.new .env
    echo ".env has more now:$added"
else
    mv .env.new .env
    echo ".env made, with passwords of its own"
fi
