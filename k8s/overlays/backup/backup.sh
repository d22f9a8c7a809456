#!/bin/sh
# Dumps the database that MONGO_URL names into one compressed file, and keeps the last BACKUP_KEEP of them.
set -eu
umask 077
if ! [ "$BACKUP_KEEP" -ge 1 ]; then # with 0 the new one would go too
  echo "BACKUP_KEEP=$BACKUP_KEEP: how many dumps are kept, 1 or more" >&2
  exit 2
fi
cd "$BACKUP_FOLDER"
# Not an argument: those are seen by whoever looks at processes. And beside the URL, which mongodump repeats in its errors.
printf 'uri: "%s"\npassword: "%s"\n' "$MONGO_URL" "$MONGO_PASSWORD" > /tmp/tools.yaml
name=tuning-$(date -u +%Y%m%dT%H%M%SZ).archive.gz
rm -f ./*.part
mongodump --config=/tmp/tools.yaml --gzip --archive="$name.part"
gzip -t "$name.part"
# A database that was lost and made anew would push the dumps of the old one out, night by night. Names come first in a dump.
if ! gzip -dc "$name.part" 2>/dev/null | grep -aq studies; then
  rm -f "$name.part"
  echo "there are no studies in the database: this dump is not kept, and no other is removed" >&2
  exit 1
fi
mv "$name.part" "$name"
ls -l "$name"
# Names are in the order of time.
printf '%s\n' tuning-*.archive.gz | sort -r | tail -n "+$((BACKUP_KEEP + 1))" | while read -r old; do
  rm -f -- "$old"
  echo "removed $old"
done
