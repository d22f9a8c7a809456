#!/bin/sh
# Dumps the database in MONGO_URL into one compressed file, and keeps the last BACKUP_KEEP files.
set -eu
umask 077
if ! [ "$BACKUP_KEEP" -ge 1 ]; then # 0 would delete the new one too
  echo "BACKUP_KEEP=$BACKUP_KEEP: how many dumps are kept, 1 or more" >&2
  exit 2
fi
cd "$BACKUP_FOLDER"
# Not as an argument, because lists of processes show arguments; and not in the URL, because
# mongodump repeats the URL in its errors.
printf 'uri: "%s"\npassword: "%s"\n' "$MONGO_URL" "$MONGO_PASSWORD" > /tmp/tools.yaml
name=tuning-$(date -u +%Y%m%dT%H%M%SZ).archive.gz
rm -f ./*.part
mongodump --config=/tmp/tools.yaml --gzip --archive="$name.part"
gzip -t "$name.part"
# An empty database, created after the old one was lost, would replace the old one's dumps night by
# night. Names come first in a dump.
if ! gzip -dc "$name.part" 2>/dev/null | grep -aq studies; then
  rm -f "$name.part"
  echo "there are no studies in the database: this dump is not kept, and no other is removed" >&2
  exit 1
fi
mv "$name.part" "$name"
ls -l "$name"
# Names sort by time.
printf '%s\n' tuning-*.archive.gz | sort -r | tail -n "+$((BACKUP_KEEP + 1))" | while read -r old; do
  rm -f -- "$old"
  echo "removed $old"
done
