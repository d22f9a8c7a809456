#!/bin/sh
# Puts a dump back, in the place of what is there. ARCHIVE names it; the latest by default.
set -eu
cd "$BACKUP_FOLDER"
name=${ARCHIVE:-latest}
if [ "$name" = latest ]; then
  name=$(printf '%s\n' tuning-*.archive.gz | sort | tail -n 1)
fi
if [ ! -f "$name" ]; then
  echo "no backup $name; there are:" >&2
  ls >&2
  exit 1
fi
printf 'uri: %s\n' "$MONGO_URL" > /tmp/tools.yaml
echo "restoring $name"
exec mongorestore --config=/tmp/tools.yaml --gzip --archive="$name" --drop
