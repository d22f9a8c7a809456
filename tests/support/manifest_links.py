"""Rules about what manifests say of each other: names that exist, ports that are open, doors
that are shut."""

from __future__ import annotations

from typing import Any

from manifest_rules import COMPONENT, NAME, SERVERS, Complaints, Rule
from manifests import Object, pods, title

# Who may come in, by the port's name: components of ours, or namespaces of others.
_DOORS = {
    ("rabbitmq", "amqp"): {"worker", "users"},
    ("rabbitmq", "prometheus"): {"namespace monitoring"},
    ("rabbitmq", "management"): {"namespace keda", "users"},
    ("mongodb", "mongodb"): {"worker", "users", "backup", "tensorboard"},
}
# Who answers for a cluster's DNS, by its label in kube-system or its address.
_DNS = {"kube-dns", "node-local-dns", "address 169.254.0.0/16"}
# Where each of ours may go: (name, port); DNS is looked at apart.
_WAYS = {
    "worker": {("rabbitmq", 5672), ("mongodb", 27017)},
    "users": {("rabbitmq", 5672), ("rabbitmq", 15672), ("mongodb", 27017)},
    "backup": {("mongodb", 27017)},
    "tensorboard": {("mongodb", 27017)},
    "idle-first": {("worker", 8080), ("anywhere", 443), ("anywhere", 6443), ("anywhere", 8443)},
    "broker": set(),
    "database": set(),
}


def _values(selector: dict[str, Any] | None) -> set[str]:
    """Return the names or components that a selector of pods means."""
    found = set()
    for key, value in ((selector or {}).get("matchLabels") or {}).items():
        if key in {NAME, COMPONENT}:
            found.add(value)
    for part in (selector or {}).get("matchExpressions") or []:
        if part["key"] in {NAME, COMPONENT} and part["operator"] == "In":
            found |= set(part["values"])
    return found or {"anybody"}


def _peers(rule: dict[str, Any], word: str) -> set[str]:
    found = set()
    for peer in rule.get(word) or [{}]:
        if "namespaceSelector" in peer:
            where = (peer["namespaceSelector"].get("matchLabels") or {}).get("kubernetes.io/metadata.name", "any")
            found.add(f"namespace {where}")
        elif "podSelector" in peer:
            found |= _values(peer["podSelector"])
        elif "ipBlock" in peer:
            found.add(f"address {peer['ipBlock']['cidr']}")
        else:
            found.add("anywhere")
    return found


def _dns(rule: dict[str, Any]) -> set[str]:
    """Return who may be asked for names, of a rule about port 53 in both protocols."""
    if {(port["port"], port.get("protocol")) for port in rule.get("ports", [])} != {(53, "UDP"), (53, "TCP")}:
        return set()
    labels = (peer.get("podSelector", {}).get("matchLabels", {}).get("k8s-app") for peer in rule.get("to", []))
    return {label for label in labels if label} | _peers(rule, "to")


def _chosen(policy: Object, template: Object) -> bool:
    """Whether a policy is about a workload's pods."""
    selector, own = policy["spec"]["podSelector"], template["metadata"]["labels"]
    if not (selector.get("matchLabels") or {}).items() <= own.items():
        return False
    return all(own.get(part["key"]) in part["values"] for part in selector.get("matchExpressions") or [])


def network(objects: list[Object]) -> Complaints:
    policies = [thing for thing in objects if thing["kind"] == "NetworkPolicy"]
    closed = [
        one for one in policies if one["spec"]["podSelector"] == {} and not {"ingress", "egress"} & set(one["spec"])
    ]
    if not any(set(one["spec"]["policyTypes"]) == {"Ingress", "Egress"} for one in closed):
        yield "no NetworkPolicy denies everything by default: podSelector {} with both policyTypes and no rules"
    for where, template in pods(objects):
        name, component = template["metadata"]["labels"][NAME], template["metadata"]["labels"][COMPONENT]
        for policy in (one for one in policies if _chosen(one, template)):
            for rule in policy["spec"].get("ingress", []):
                for port in rule.get("ports") or [{"port": "any"}]:
                    allowed = _DOORS.get((name, port["port"]), set())
                    if name in SERVERS and not (came := _peers(rule, "from")) <= allowed:
                        yield f"{title(policy)}: lets {sorted(came - allowed)} reach {name} on port {port['port']}"
            for rule in policy["spec"].get("egress", []):
                ports = {port["port"] for port in rule.get("ports") or [{"port": "any"}]}
                to = _peers(rule, "to")
                if ports == {53}:
                    wrong = {
                        one for one in to if one != "namespace kube-system" and not one.startswith("address 169.254.")
                    }
                else:
                    ways = _WAYS[component]
                    wrong = {f"{one}:{port}" for one in to for port in ports if (one, port) not in ways}
                if wrong:
                    yield f"{title(policy)}: lets {where} reach {sorted(wrong)}"
        # The API server has its address in the environment, and servers look for no other.
        seeks = any(way[0] in SERVERS for way in _WAYS[component])
        chosen = [one for one in policies if _chosen(one, template)]
        asked = {peer for one in chosen for rule in one["spec"].get("egress", []) for peer in _dns(rule)}
        for missing in sorted(_DNS - asked) if seeks else []:
            yield f"{where}: no NetworkPolicy lets it ask {missing} for names, which is the DNS of some clusters"
        for way in _WAYS[component]:
            if not any(
                way[0] in _peers(rule, "to") and way[1] in {port["port"] for port in rule.get("ports", [])}
                for policy in policies
                if _chosen(policy, template)
                for rule in policy["spec"].get("egress", [])
            ):
                yield f"{where}: no NetworkPolicy lets it reach {way[0]}:{way[1]}"


def references(objects: list[Object]) -> Complaints:
    there = {(thing["kind"], thing["metadata"]["name"]) for thing in objects}
    for where, template in pods(objects):
        spec = template["spec"]
        wanted = [("ServiceAccount", spec.get("serviceAccountName"))]
        for volume in spec.get("volumes", []):
            wanted += [("ConfigMap", volume["configMap"]["name"])] if "configMap" in volume else []
            if "persistentVolumeClaim" in volume:
                wanted.append(("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]))
        for container in spec["containers"]:
            for source in container.get("envFrom", []):
                wanted.append(("ConfigMap", source["configMapRef"]["name"]))
            for variable in container.get("env", []):
                if secret := variable.get("valueFrom", {}).get("secretKeyRef"):
                    wanted.append(("Secret", secret["name"]))
            volumes = {one["name"] for one in spec.get("volumes", [])}
            claims = {
                one["metadata"]["name"]
                for thing in objects
                for one in thing.get("spec", {}).get("volumeClaimTemplates", [])
            }
            for mount in container.get("volumeMounts", []):
                if mount["name"] not in volumes | claims:
                    yield f"{where}: mounts the volume {mount['name']}, which it does not have"
        for kind, name in wanted:
            if (kind, name) not in there:
                yield f"{where}: needs {kind} {name}, which is not there"


def services(objects: list[Object]) -> Complaints:
    for thing in objects:
        if thing["kind"] != "Service":
            continue
        chosen = [
            template
            for _, template in pods(objects)
            if thing["spec"]["selector"].items() <= template["metadata"]["labels"].items()
        ]
        if len(chosen) != 1:
            yield f"{title(thing)}: its selector chooses the pods of {len(chosen)} workloads"
            continue
        ports = {
            port["name"]: port["containerPort"] for one in chosen[0]["spec"]["containers"] for port in one["ports"]
        }
        for port in thing["spec"]["ports"]:
            if ports.get(port["targetPort"]) != port["port"]:
                yield f"{title(thing)}: port {port['port']} leads to {port['targetPort']}, which the pods do not serve"


def mines(objects: list[Object]) -> Complaints:
    """No two workloads take each other's pods."""
    for thing in objects:
        chosen = (
            thing["spec"].get("selector", {}).get("matchLabels")
            if thing["kind"] in {"Deployment", "StatefulSet"}
            else None
        )
        for where, template in pods(objects):
            if chosen and where != title(thing) and chosen.items() <= template["metadata"]["labels"].items():
                yield f"{title(thing)}: its selector {chosen} chooses the pods of {where} too"


LINKS: dict[str, Rule] = {rule.__name__: rule for rule in (network, references, services, mines)}
