#!/usr/bin/env bash
# Writes the files of secrets into this folder, each with generated passwords. Existing files stay.
# Users that an earlier version did not have are added.
set -euo pipefail
cd "$(dirname "$0")"
umask 077
secret() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
new=yes
[ ! -e mongodb.env ] || new=
for name in rabbitmq mongodb worker producer viewer watcher backup signing; do
  if [ -e "$name.env" ]; then
    echo "$name.env is there already: left as it is"
    continue
  fi
  case $name in
    rabbitmq | mongodb) printf 'username=warren\npassword=%s\n' "$(secret)" ;; # the administrators
    worker | producer) printf 'rabbitmq_password=%s\nmongodb_password=%s\n' "$(secret)" "$(secret)" ;;
    viewer | backup) printf 'mongodb_password=%s\n' "$(secret)" ;;
    watcher) printf 'username=watcher\npassword=%s\n' "$(secret)" ;;
    signing) printf 'key=%s\n' "${new:+$(secret)}" ;;
  esac > "$name.env"
  echo "$name.env made"
done
if grep -q '^key=$' signing.env; then
  echo "signing.env has no key: studies from before are not signed, and one would refuse them; ../README.md says how to begin"
fi
