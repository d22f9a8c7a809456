#!/usr/bin/env bash
# Changes a password while everything runs: k8s/secrets/rotate.sh rabbitmq, or mongodb.
#
# The servers read their Secret at their first start only, so the server is told first, then the Secret, then the workers. Connections
# that are open stay open; a worker that connects in between tries again, and nothing is lost. NAMESPACE is tuning unless set.
set -euo pipefail
cd "$(dirname "$0")"
umask 077
name=${1:-}
namespace=${NAMESPACE:-tuning}
case $name in
  rabbitmq | mongodb) ;;
  *)
    echo "usage: k8s/secrets/rotate.sh rabbitmq, or mongodb" >&2
    exit 2
    ;;
esac
[ -f "$name.env" ] || {
  echo "no $name.env here: it has the password that is to be changed" >&2
  exit 2
}
if [ -e "$name.env.new" ]; then
  echo "$name.env.new is left of a rotation that failed: put it in the place of $name.env if the server takes it, else delete it" >&2
  exit 2
fi
k() { kubectl --request-timeout=60s --namespace "$namespace" "$@"; }
value() { sed -n "s/^$1=//p" "$name.env"; }

user=$(value username)
old=$(value password)
new=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')
printf 'username=%s\npassword=%s\n' "$user" "$new" > "$name.env.new"

# shellcheck disable=SC2016 # the pod's shell expands it
in_pod='umask 077; cat > /tmp/rotate.js; mongosh --quiet --norc admin /tmp/rotate.js; status=$?; rm -f /tmp/rotate.js; exit $status'
# By standard input: arguments are seen in lists of processes and in the API server's audit log.
case $name in
  rabbitmq)
    printf '%s\n' "$new" | k exec --stdin statefulset/rabbitmq -- rabbitmqctl --quiet change_password "$user"
    ;;
  mongodb)
    printf 'db.auth("%s", "%s");\ndb.changeUserPassword("%s", "%s");\n' "$user" "$old" "$user" "$new" |
      k exec --stdin statefulset/mongodb -- sh -c "$in_pod"
    ;;
esac
mv "$name.env.new" "$name.env"
printf '{"stringData": {"password": "%s"}}' "$new" | k patch secret "$name" --type=merge --patch-file=/dev/stdin
k rollout restart deployment --selector=app.kubernetes.io/component=worker
k rollout status deployment --selector=app.kubernetes.io/component=worker --timeout=300s
echo "$name has a new password; notebooks that are connected connect again"
