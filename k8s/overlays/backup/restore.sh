#!/bin/sh
# Restores a dump, and replaces what is there. ARCHIVE names the dump; by default the latest.
set -eu
umask 077
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
# mongorestore drops a collection before it notices that the rest of the file is missing.
if ! gzip -t "$name"; then
  echo "$name is not whole: nothing was touched" >&2
  exit 1
fi
# mongorestore ignores what belongs to another database, and reports success.
database=${MONGO_URL##*/}
database=${database%%\?*}
if ! gzip -dc "$name" 2>/dev/null | head -c 4096 | grep -aqwF "$database"; then
  echo "$name holds no database $database, which MONGO_URL names: nothing was touched" >&2
  exit 1
fi
printf 'uri: "%s"\npassword: "%s"\n' "$MONGO_URL" "$MONGO_PASSWORD" > /tmp/tools.yaml # see backup.sh
echo "restoring $name"
exec mongorestore --config=/tmp/tools.yaml --gzip --archive="$name" --drop
