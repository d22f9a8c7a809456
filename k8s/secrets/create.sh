#!/usr/bin/env bash
# Makes rabbitmq.env and mongodb.env beside this script, each with a password of its own. What is there stays as it is.
set -euo pipefail
cd "$(dirname "$0")"
umask 077
for name in rabbitmq mongodb; do
  if [ -e "$name.env" ]; then
    echo "$name.env is there already: left as it is"
    continue
  fi
  password=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')
  printf 'username=warren\npassword=%s\n' "$password" > "$name.env"
  echo "$name.env made"
done
