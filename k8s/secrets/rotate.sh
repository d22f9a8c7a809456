#!/usr/bin/env bash
# Changes a password, or the key, while everything runs: k8s/secrets/rotate.sh worker. `usage` below
# lists the other names.
#
# First tells the servers, then changes the Secret, then restarts the pods that use it. Open
# connections stay open. Clients that connect in between try again, and no result is lost. The key
# is changed in two steps, so that no reader gets a signature of a key that it does not have: first
# the new key is accepted, then it signs. The old one is removed at the next rotation, or by
# `rotate.sh key-drop`. NAMESPACE is tuning unless set.
set -euo pipefail
cd "$(dirname "$0")"
umask 077
name=${1:-}
namespace=${NAMESPACE:-tuning}
file=$name
restart=
case $name in
  rabbitmq | watcher) servers=rabbitmq ;;
  mongodb | backup) servers=mongodb ;;
  viewer) servers=mongodb restart=tensorboard ;;
  worker) servers="rabbitmq mongodb" restart=worker ;;
  producer) servers="rabbitmq mongodb" ;;
  key | key-drop) servers='' restart=worker file=signing ;;
  *)
    echo "usage: k8s/secrets/rotate.sh worker, producer, viewer, watcher, backup, key, key-drop, or the administrators: rabbitmq, mongodb" >&2
    exit 2
    ;;
esac
[ -f "$file.env" ] || {
  echo "no $file.env here: it has what is to be changed" >&2
  exit 2
}
if [ -e "$file.env.new" ]; then
  echo "$file.env.new is left of a rotation that failed: put it in the place of $file.env if the servers take it, else delete it" >&2
  echo "and apply the overlay: its Job users gives the servers what the Secrets have" >&2
  exit 2
fi
k() { kubectl --request-timeout=60s --namespace "$namespace" "$@"; }
value() { sed -n "s/^$2=//p" "$1.env"; }
secret() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
# By standard input: lists of processes and the API server's audit log show arguments.
put() { # a field of the Secret, and its value
  printf '{"stringData": {"%s": "%s"}}' "$1" "$2" | k patch secret "$file" --type=merge --patch-file=/dev/stdin
}
roll() { # a component
  k rollout restart deployment --selector=app.kubernetes.io/component="$1"
  k rollout status deployment --selector=app.kubernetes.io/component="$1" --timeout=300s
}

if [ "$file" = signing ]; then
  keys=$(value signing key)
  if [ "$name" = key-drop ]; then
    steps=("${keys%%,*}")
  else
    new=$(secret)
    # Without an earlier key there is none to accept in addition.
    steps=("$new")
    [ -z "$keys" ] || steps=("${keys%%,*},$new" "$new,${keys%%,*}")
  fi
  for step in "${steps[@]}"; do
    put key "$step"
    printf 'key=%s\n' "$step" > signing.env.new
    mv signing.env.new signing.env
    roll worker
  done
  echo "the key is changed; connect notebooks again, and give it to who has it from elsewhere: k8s/secrets/signing.env"
  exit 0
fi

user=$(value "$file" username)
user=${user:-$name}
declare -A new
cp "$file.env" "$file.env.new"
for server in $servers; do
  field=password
  case $name in worker | producer | viewer | backup) field=${server}_password ;; esac
  new[$field]=$(secret)
  sed -i "s/^$field=.*/$field=${new[$field]}/" "$file.env.new"
done

# shellcheck disable=SC2016 # the pod's shell expands it
in_pod='umask 077; cat > /tmp/rotate.js; mongosh --quiet --norc admin /tmp/rotate.js; status=$?; rm -f /tmp/rotate.js; exit $status'
for server in $servers; do
  password=${new[password]:-${new[${server}_password]:-}}
  case $server in
    rabbitmq)
      printf '%s\n' "$password" | k exec --stdin statefulset/rabbitmq -- rabbitmqctl --quiet change_password "$user"
      ;;
    mongodb)
      printf 'db.auth("%s", "%s");\ndb.changeUserPassword("%s", "%s");\n' \
        "$(value mongodb username)" "$(value mongodb password)" "$user" "$password" |
        k exec --stdin statefulset/mongodb -- sh -c "$in_pod"
      ;;
  esac
done
mv "$file.env.new" "$file.env"
for field in "${!new[@]}"; do
  put "$field" "${new[$field]}"
done
[ -z "$restart" ] || roll "$restart"
echo "$name has a new password; notebooks that are connected connect again"
