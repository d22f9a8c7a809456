#!/bin/sh
# Dumps the database that MONGO_URL names into one compressed file, and keeps the last BACKUP_KEEP of them.
set -eu
umask 077
cd "$BACKUP_FOLDER"
printf 'uri: %s\n' "$MONGO_URL" > /tmp/tools.yaml # not an argument: those are seen by whoever looks at processes
name=tuning-$(date -u +%Y%m%dT%H%M%SZ).archive.gz
rm -f ./*.part
mongodump --config=/tmp/tools.yaml --gzip --archive="$name.part"
[ -s "$name.part" ] # an empty one is none
mv "$name.part" "$name"
ls -l "$name"
# Names are in the order of time.
printf '%s\n' tuning-*.archive.gz | sort -r | tail -n "+$((BACKUP_KEEP + 1))" | while read -r old; do
  rm -f -- "$old"
  echo "removed $old"
done
