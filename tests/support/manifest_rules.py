"""What every manifest has to hold, each rule a function that yields what it found wrong and what
to do about it.

A rule looks at all objects of a deployment at once, and says nothing of a deployment that holds it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TypeAlias

from manifests import Object, containers, pods, quantity, template_of, title

Complaints: TypeAlias = Iterator[str]
Rule: TypeAlias = Callable[[list[Object]], Complaints]

NAME, PART_OF, MANAGED_BY = (f"app.kubernetes.io/{word}" for word in ("name", "part-of", "managed-by"))
COMPONENT = "app.kubernetes.io/component"
SPOT = "cloud.google.com/gke-spot"
# The one pod that talks to the API server.
HAS_TOKEN = "idle-first"
SERVERS = ("rabbitmq", "mongodb")
_MAY = (([""], ["pods"], ["list"]), ([""], ["pods/status"], ["patch"]))
_M = re.MULTILINE
_SECRET_WORD = re.compile(r"PASS(WORD)?$|SECRET|TOKEN|_KEY$", re.IGNORECASE)
_URL_WITH_PASSWORD = re.compile(r"://[^/\s:@]*:(?!\$\()[^/\s@]+@")


def _labels(thing: Object) -> dict[str, str]:
    return thing["metadata"].get("labels") or {}


def resources(objects: list[Object]) -> Complaints:
    for where, container in containers(objects):
        said = container.get("resources", {})
        for part in ("requests", "limits"):
            for what in ("cpu", "memory"):
                if what not in said.get(part, {}):
                    yield f"{where}: resources.{part}.{what} is missing"
        requests, limits = said.get("requests", {}), said.get("limits", {})
        # A worker's limit of CPU is its number of threads. Who uses more memory than it asked for
        # is the first to go.
        for what, word in (("memory", "memory"), *([("cpu", "CPU")] if container["name"] == "worker" else [])):
            asked, granted = requests.get(what), limits.get(what)
            if asked != granted:
                yield f"{where}: {word} is requested as {asked} and limited to {granted}: make them equal"


def probes(objects: list[Object]) -> Complaints:
    for thing in objects:
        if thing["kind"] not in {"Deployment", "StatefulSet"}:
            continue
        for container in thing["spec"]["template"]["spec"]["containers"]:
            where = f"{title(thing)}, container {container['name']}"
            # A loop that serves no requests needs no readiness.
            wanted = ["livenessProbe"]
            if container["name"] != HAS_TOKEN:
                wanted += ["startupProbe", "readinessProbe"]
            for probe in wanted:
                if probe not in container:
                    yield f"{where}: {probe} is missing"
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                said = container.get(probe, {})
                seconds = said.get("timeoutSeconds", 1)
                if "exec" in said and seconds < 10:
                    yield f"{where}: {probe} starts a program and gives it {seconds} s: set timeoutSeconds to 10"
            slack = container.get("livenessProbe", {})
            if slack and slack.get("failureThreshold", 3) * slack.get("periodSeconds", 10) < 60:
                yield f"{where}: livenessProbe ends it in less than a minute: raise periodSeconds or failureThreshold"


def security(objects: list[Object]) -> Complaints:
    for where, template in pods(objects):
        spec, said = template["spec"], template["spec"].get("securityContext", {})
        if said.get("runAsNonRoot") is not True:
            yield f"{where}: securityContext.runAsNonRoot is not true"
        if not said.get("runAsUser"):
            yield f"{where}: securityContext.runAsUser is {said.get('runAsUser')}: name the image's user by number"
        if said.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            yield f"{where}: securityContext.seccompProfile.type is not RuntimeDefault"
        for name in ("hostNetwork", "hostPID", "hostIPC"):
            if spec.get(name):
                yield f"{where}: {name} is on"
        for volume in spec.get("volumes", []):
            if "hostPath" in volume:
                yield f"{where}: volume {volume['name']} is a hostPath"
            if "emptyDir" in volume and "sizeLimit" not in volume["emptyDir"]:
                yield f"{where}: volume {volume['name']} is an emptyDir without sizeLimit: it may fill the node's disk"
    for where, container in containers(objects):
        said = container.get("securityContext", {})
        if said.get("allowPrivilegeEscalation") is not False:
            yield f"{where}: securityContext.allowPrivilegeEscalation is not false"
        if said.get("readOnlyRootFilesystem") is not True:
            yield f"{where}: securityContext.readOnlyRootFilesystem is not true"
        if said.get("capabilities", {}).get("drop") != ["ALL"] or said["capabilities"].get("add"):
            yield f"{where}: securityContext.capabilities are not drop: [ALL] alone"
        if said.get("privileged"):
            yield f"{where}: securityContext.privileged is on"


def images(objects: list[Object]) -> Complaints:
    for where, container in containers(objects):
        image = container["image"]
        _, _, tag = image.rpartition("/")[2].partition(":")
        if "@sha256:" not in image and tag in {"", "latest"}:
            yield f"{where}: image {image} has no fixed tag: set newTag under images in kustomization.yaml"
        if container.get("imagePullPolicy") != "IfNotPresent":
            yield f"{where}: imagePullPolicy is not IfNotPresent, so that a loaded image would not be used"


def labels(objects: list[Object]) -> Complaints:
    for thing in objects:
        for label, value in ((PART_OF, "warren"), (MANAGED_BY, "kustomize")):
            if _labels(thing).get(label) != value:
                yield f"{title(thing)}: label {label} is not {value}"
        template = template_of(thing)
        if template is None:
            continue
        for where, given in ((title(thing), _labels(thing)), (f"{title(thing)}, its pods", _labels(template))):
            for label in (NAME, COMPONENT, PART_OF):
                if label not in given:
                    yield f"{where}: label {label} is missing"
        chosen = thing["spec"].get("selector", {}).get("matchLabels", {})
        if thing["kind"] not in {"CronJob", "Job"} and set(chosen) != {NAME}:
            yield f"{title(thing)}: its selector is {chosen}: it can never be changed, so keep it to {NAME}"
        if not chosen.items() <= _labels(template).items():
            yield f"{title(thing)}: its selector {chosen} does not choose its own pods"


def secrets(objects: list[Object]) -> Complaints:
    for where, container in containers(objects):
        for variable in container.get("env", []):
            value = variable.get("value", "")
            if _SECRET_WORD.search(variable["name"]) and value:
                yield f"{where}: {variable['name']} is written out: take it from a Secret with secretKeyRef"
            if _URL_WITH_PASSWORD.search(value):
                yield f"{where}: {variable['name']} has a password in its URL: compose it from $(VARIABLES) of a Secret"
    for thing in objects:
        if thing["kind"] == "ConfigMap":
            for key, text in (thing.get("data") or {}).items():
                for line in text.splitlines():
                    if _URL_WITH_PASSWORD.search(line) or re.match(r"\s*\w*(pass|password|secret)\s*[=:]\s*\S", line):
                        yield f"{title(thing)}: {key} has a secret in it: {line.strip()}"
                if _SECRET_WORD.search(key):
                    yield f"{title(thing)}: {key} looks like a secret: put it into k8s/secrets"


def users(objects: list[Object]) -> Complaints:
    """Only the servers and the job that makes their users have an administrator's password."""
    for where, container in containers(objects):
        if container["name"] in {*SERVERS, "users"}:
            continue
        for variable in container.get("env", []):
            if variable.get("valueFrom", {}).get("secretKeyRef", {}).get("name") in SERVERS:
                yield f"{where}: {variable['name']} is an administrator's: give it a user of its own"


def tokens(objects: list[Object]) -> Complaints:
    for thing in objects:
        if thing["kind"] == "ServiceAccount" and thing.get("automountServiceAccountToken") is not False:
            yield f"{title(thing)}: automountServiceAccountToken is not false"
    for where, template in pods(objects):
        spec, name = template["spec"], _labels(template).get(NAME)
        if spec.get("serviceAccountName", "default") == "default":
            yield f"{where}: it runs as the namespace's default ServiceAccount: give it one of its own"
        if spec.get("automountServiceAccountToken") is not (name == HAS_TOKEN):
            yield f"{where}: automountServiceAccountToken is not {str(name == HAS_TOKEN).lower()}"
        if spec.get("enableServiceLinks") is not False:
            yield f"{where}: enableServiceLinks is not false: RABBITMQ_PORT=tcp://… would reach its environment"


def permissions(objects: list[Object]) -> Complaints:
    for thing in objects:
        if thing["kind"] in {"ClusterRole", "ClusterRoleBinding"}:
            yield f"{title(thing)}: a permission in every namespace"
        for rule in thing["rules"] if thing["kind"] == "Role" else []:
            said = (rule["apiGroups"], rule["resources"], rule["verbs"])
            if said not in _MAY:
                yield (
                    f"{title(thing)}: may {rule['verbs']} {rule['resources']}: idle-first needs to list pods and "
                    "to patch their status, by which no image is changed"
                )
        if thing["kind"] == "RoleBinding" and [one["name"] for one in thing["subjects"]] != [HAS_TOKEN]:
            yield f"{title(thing)}: gives {thing['subjects']} a permission: only idle-first needs one"


def disruptions(objects: list[Object]) -> Complaints:
    selectors = [thing["spec"]["selector"] for thing in objects if thing["kind"] == "PodDisruptionBudget"]
    budgets = {one["matchLabels"].get(NAME) for one in selectors}
    for name in SERVERS:
        if name not in budgets:
            yield f"{name}: no PodDisruptionBudget: a drain would take it in the middle of a study"
    for name in sorted(str(one) for one in budgets - set(SERVERS)):
        yield f"{name}: has a PodDisruptionBudget, which would hold up drains for pods that may go at any time"


def pod_security(objects: list[Object]) -> Complaints:
    for thing in objects:
        if thing["kind"] == "Namespace":
            for mode in ("enforce", "audit", "warn"):
                label = f"pod-security.kubernetes.io/{mode}"
                if _labels(thing).get(label) != "restricted":
                    yield f"{title(thing)}: label {label} is not restricted"


def expansions(objects: list[Object]) -> Complaints:
    for where, container in containers(objects):
        known: set[str] = set()
        for variable in container.get("env", []):
            for used in re.findall(r"\$\((\w+)\)", variable.get("value", "")):
                if used not in known:
                    yield f"{where}: {variable['name']} uses $({used}), which does not stand above it"
            known.add(variable["name"])


def memory_of_broker(objects: list[Object]) -> Complaints:
    limits = [one["resources"]["limits"]["memory"] for where, one in containers(objects) if one["name"] == "rabbitmq"]
    for thing in objects:
        if thing["kind"] == "ConfigMap" and "20-memory.conf" in thing.get("data", {}):
            said = re.search(
                r"^total_memory_available_override_value = (\d+)([MG]i)B$", thing["data"]["20-memory.conf"], re.M
            )
            if said is None or quantity(said[1] + said[2]) != quantity(limits[0]):
                yield f"{title(thing)}: 20-memory.conf does not say the broker's memory limit, {limits[0]}"


def grace(objects: list[Object]) -> Complaints:
    settings = {
        thing["metadata"]["name"]: thing["data"]
        for thing in objects
        if thing["kind"] == "ConfigMap" and "WARREN_GRACE_SECONDS" in thing.get("data", {})
    }
    for where, template in pods(objects):
        if _labels(template).get(COMPONENT) != "worker":
            continue
        for source in template["spec"]["containers"][0].get("envFrom", []):
            seconds = float(settings[source["configMapRef"]["name"]]["WARREN_GRACE_SECONDS"])
            granted = template["spec"].get("terminationGracePeriodSeconds", 30)
            if seconds > 12 or granted < seconds + 10:
                yield (
                    f"{where}: WARREN_GRACE_SECONDS={seconds:.0f} and terminationGracePeriodSeconds={granted}: "
                    "a spot node leaves 15 in all, and a worker needs some seconds more than its grace"
                )


def spot(objects: list[Object]) -> Complaints:
    for where, template in pods(objects):
        tolerated = any(one.get("key") in {SPOT, None} for one in template["spec"].get("tolerations", []))
        if tolerated and _labels(template).get(COMPONENT) != "worker":
            yield f"{where}: it tolerates spot nodes, which vanish at any time: only workers may"


RULES: dict[str, Rule] = {
    rule.__name__: rule
    for rule in (
        *(resources, probes, security, images, labels, secrets, users, tokens, permissions, disruptions),
        *(pod_security, expansions, memory_of_broker, grace, spot),
    )
}
