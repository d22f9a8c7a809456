#!/usr/bin/env bash
# Tests Warren on a real cluster: k8s/e2e.sh IMAGE
#
# Applies the local overlay, with IMAGE for the workers, in a new namespace of the cluster in your
# kubeconfig. Submits 200 trials, scales to 10 workers, deletes some at random and restarts all
# while the study runs. Checks that each trial has exactly one result, equal to a local run bit for
# bit, and deletes everything again. Exit status 0: all checks passed.
#
# Needs kubectl, GNU timeout, and .venv (`make setup`) with the image's Python, 3.11. Variables:
#   NAMESPACE         created and deleted here; must not exist yet    (warren-e2e)
#   STORAGE_CLASS     of the volumes                                  (the cluster's default)
#   RABBITMQ_IMAGE    with its tag                                    (as in k8s/base)
#   MONGO_IMAGE       with its tag                                    (as in k8s/base)
#   WORKER_CPU        request and limit of a worker                   (150m)
#   WORKER_MEMORY     request and limit of a worker                   (384Mi)
#   WORKERS           to scale to                                     (10)
#   DELETIONS         workers to delete while it runs                 (8)
#   TREES             of a forest: more make trials longer            (140)
#   SEED              for choosing which workers are deleted          (random)
#   ROLLOUT_SECONDS   until servers and workers are up                (420)
#   STUDY_SECONDS     for the study                                   (1200)
#   TEARDOWN_SECONDS  until the namespace is gone                     (240)
#   LOOK_SECONDS      between two checks of servers that don't start  (60)
#   KEEP=1            keeps everything if it fails
set -euo pipefail

image=${1:-}
if [ $# -ne 1 ] || [ -z "$image" ]; then
  echo "usage: k8s/e2e.sh IMAGE, the worker's image with its tag: k8s/e2e.sh warren-worker:0.1.0" >&2
  exit 2
fi
root=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-$root/.venv/bin/python}
namespace=${NAMESPACE:-warren-e2e}
rollout_seconds=${ROLLOUT_SECONDS:-420}
study_seconds=${STUDY_SECONDS:-1200}
teardown_seconds=${TEARDOWN_SECONDS:-240}
look_seconds=${LOOK_SECONDS:-60}
folder=
applied=
handed_over=
# What the servers log if their volume belongs to root.
denied='permission denied|eacces|read-only directory|not writable'

say() { printf '%s %s\n' "$(date +%H:%M:%S)" "$*"; }

fail() {
  echo "e2e: $*" >&2
  exit 2
}

# Prints what the cluster knows about a failure. A failing command here must not hide it.
diagnose() {
  set +e
  echo "--- pods"
  k get pods --output=wide
  echo "--- volumes"
  k get persistentvolumeclaims
  echo "--- events"
  k get events --sort-by=.lastTimestamp | tail -n 60
  local name
  for name in rabbitmq mongodb users idle-first worker; do
    echo "--- $name"
    k describe pods --selector="app.kubernetes.io/name=$name" | grep -E '^(Name:|Status:|Node:)|State:|Reason:|Exit Code:|Restart Count:|Message:'
    k logs --selector="app.kubernetes.io/name=$name" --tail=40 --prefix --all-containers
    k logs --selector="app.kubernetes.io/name=$name" --tail=20 --prefix --previous 2> /dev/null
  done
  echo "--- nodes"
  timeout --foreground 30 kubectl get nodes --output=wide
  set -e
}

# Runs kubectl in the namespace, with a short timeout.
k() { timeout --foreground 60 kubectl --request-timeout=30s --namespace "$namespace" "$@"; }

finish() {
  local status=$?
  trap - EXIT INT TERM
  if [ -n "$applied" ]; then
    if [ "$status" -ne 0 ]; then
      diagnose
    fi
    if [ "$status" -ne 0 ] && [ "${KEEP:-}" = 1 ]; then
      say "left as it is: kubectl delete namespace $namespace"
    else
      say "taking down"
      if ! timeout --foreground $((teardown_seconds + 30)) kubectl delete namespace "$namespace" --ignore-not-found --timeout="${teardown_seconds}s"; then
        echo "e2e: namespace $namespace is not gone: kubectl delete namespace $namespace" >&2
        [ "$status" -ne 0 ] || status=1
      fi
    fi
  fi
  [ -z "$folder" ] || rm -rf "$folder"
  if [ "$status" -eq 0 ]; then say "all held"; else say "FAILED ($status)"; fi
  exit "$status"
}

# Prints an entry of `images:`: the name in the manifests, and the image that replaces it.
image_entry() {
  local name=$1 wanted=$2
  case $wanted in
    *@*) printf '  - name: %s\n    newName: %s\n    digest: %s\n' "$name" "${wanted%@*}" "${wanted#*@}" ;;
    *:*)
      case ${wanted##*:} in
        */*) fail "$wanted: an image needs a tag, as in $wanted:0.1.0" ;;
      esac
      printf '  - name: %s\n    newName: %s\n    newTag: "%s"\n' "$name" "${wanted%:*}" "${wanted##*:}"
      ;;
    *) fail "$wanted: an image needs a tag, as in $wanted:0.1.0" ;;
  esac
}

# Writes the local overlay with the variables above, into a folder that is deleted together with its
# passwords.
prepare() {
  folder=$(mktemp -d)
  cp -R "$root/k8s" "$folder/k8s"
  rm -f "$folder"/k8s/secrets/*.env
  "$folder/k8s/secrets/create.sh"
  mkdir "$folder/e2e"
  local worker_cpu=${WORKER_CPU:-150m} worker_memory=${WORKER_MEMORY:-384Mi} images
  images=$(
    image_entry warren-worker "$image"
    [ -z "${RABBITMQ_IMAGE:-}" ] || image_entry rabbitmq "$RABBITMQ_IMAGE"
    [ -z "${MONGO_IMAGE:-}" ] || image_entry mongo "$MONGO_IMAGE"
  )
  {
    cat << YAML
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: $namespace
resources:
  - ../k8s/overlays/local
images:
$images
replicas:
  - name: worker
    count: 2
patches:
  - target:
      kind: Deployment
      name: worker
    patch: |
      - op: replace
        path: /spec/template/spec/containers/0/resources
        value:
          requests: {cpu: "$worker_cpu", memory: "$worker_memory"}
          limits: {cpu: "$worker_cpu", memory: "$worker_memory"}
      # With several threads a forest adds its trees in any order, and the last bit differs from run
      # to run.
      - op: add
        path: /spec/template/spec/containers/0/env/-
        value: {name: WARREN_THREADS, value: "1"}
YAML
    if [ -n "${STORAGE_CLASS:-}" ]; then
      cat << YAML
  - target:
      kind: StatefulSet
    patch: |
      - op: add
        path: /spec/volumeClaimTemplates/0/spec/storageClassName
        value: $STORAGE_CLASS
YAML
    fi
  } > "$folder/e2e/kustomization.yaml"
}

apply() { timeout --foreground 120 kubectl apply --kustomize "$folder/e2e"; }

# Kubernetes does not change the owner of a hostPath volume (no fsGroup), which is often root.
is_denied() {
  local pod
  for pod in rabbitmq-0 mongodb-0; do
    k logs "$pod" --tail=200 2> /dev/null || true
    k logs "$pod" --tail=200 --previous 2> /dev/null || true
  done | grep -qiE "$denied"
}

# Adds an init container with the worker's image that changes the owner of each volume to its
# server's user. It runs as root for a moment, which the namespace must allow: only here, never in
# the overlays.
hand_over() {
  say "the volumes are root's: an init container hands them over, in a namespace that admits it"
  handed_over=1
  cat >> "$folder/e2e/kustomization.yaml" << YAML
  - target:
      kind: Namespace
    patch: |
      - op: replace
        path: /metadata/labels/pod-security.kubernetes.io~1enforce
        value: baseline
  - target:
      kind: StatefulSet
    patch: |
      - op: add
        path: /spec/template/spec/initContainers
        value:
          - name: hand-over
            image: $image
            imagePullPolicy: IfNotPresent
            command: [chown, "999:999", /data]
            securityContext:
              runAsUser: 0
              runAsNonRoot: false
              allowPrivilegeEscalation: false
              readOnlyRootFilesystem: true
              capabilities: {drop: [ALL], add: [CHOWN]}
            resources:
              requests: {cpu: 50m, memory: 32Mi}
              limits: {cpu: 500m, memory: 64Mi}
            volumeMounts:
              - {name: data, mountPath: /data}
YAML
  apply
  # A StatefulSet does not replace a pod that never became ready.
  k delete pod rabbitmq-0 mongodb-0 --ignore-not-found --wait=false
}

# Waits for a server. If it can't write to its volume, changes the volume's owner.
wait_for_server() {
  local deadline=$((SECONDS + rollout_seconds)) began quick=0
  say "waiting for $1"
  while began=$SECONDS; ! timeout --foreground $((look_seconds + 30)) kubectl --namespace "$namespace" rollout status "$1" --timeout="${look_seconds}s"; do
    if [ $((SECONDS - began)) -lt $((look_seconds - 1)) ]; then
      # kubectl returned early: the API is busy, or something else is wrong.
      [ $((quick += 1)) -lt 4 ] || return 1
      sleep 3
    elif [ -z "$handed_over" ] && is_denied; then
      hand_over
      deadline=$((SECONDS + rollout_seconds))
    elif [ "$SECONDS" -ge "$deadline" ]; then
      return 1
    fi
  done
}

command -v kubectl > /dev/null || fail "no kubectl on the PATH: https://kubernetes.io/docs/tasks/tools/"
command -v timeout > /dev/null || fail "no timeout on the PATH: it is in GNU coreutils (macOS: brew install coreutils)"
[ -x "$python" ] || fail "no $python: run make setup first"
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
prepare
say "cluster $(kubectl config current-context 2> /dev/null || echo '(in this pod)'), namespace $namespace, image $image"
# An existing namespace may be in use, and would be deleted at the end.
there=$(timeout --foreground 60 kubectl --request-timeout=30s get namespace "$namespace" --ignore-not-found --output=name) ||
  fail "the cluster does not answer, or you may not look at namespaces"
[ -z "$there" ] || fail "namespace $namespace is there already: delete it, or choose another with NAMESPACE="

applied=1
apply
wait_for_server statefulset/rabbitmq
wait_for_server statefulset/mongodb
[ -z "$handed_over" ] || wait_for_server statefulset/rabbitmq # it may have been replaced meanwhile
for what in deployment/worker deployment/idle-first; do
  say "waiting for $what"
  timeout --foreground $((rollout_seconds + 30)) kubectl --namespace "$namespace" rollout status "$what" --timeout="${rollout_seconds}s"
done

# The caller's own settings must not reach the study.
unset AMQP_URL MONGO_URL WARREN_KEY
PYTHONPATH="$root/tests/support${PYTHONPATH:+:$PYTHONPATH}" timeout --foreground $((3 * study_seconds)) "$python" -m cluster_e2e \
  --namespace "$namespace" --workers "${WORKERS:-10}" --deletions "${DELETIONS:-8}" --trees "${TREES:-140}" \
  --seconds "$study_seconds" --seed "${SEED:-$RANDOM}"
