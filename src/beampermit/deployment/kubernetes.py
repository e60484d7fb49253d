"""The service on Kubernetes: a StatefulSet of one pod, and the kustomization that gives it its access file."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

from beampermit.deployment import command
from beampermit.deployment.deployment import Deployment
from beampermit.deployment.rendering import render
from beampermit.deployment.statements import Statement
from beampermit.errors import BadInput
from beampermit.reading import alias_fault, naming_yaml_errors

STATE = "/var/lib/beampermit"
PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
MIB = {"": 2**-20, "Ki": 2**-10, "Mi": 1, "Gi": 2**10, "Ti": 2**20}
MIB |= {unit: 1000**power / 2**20 for power, unit in enumerate(("k", "M", "G", "T"), 1)}
KIND = "StatefulSet"


def manifest(deployment: Deployment) -> str:
    words = command.serve(
        deployment.name,
        state=STATE,
        access="/etc/beampermit/access.acf",
        http=f"127.0.0.1:{command.PORT}",
        registry="$(REGISTRY)",
        ledger="$(LEDGER)",
    )
    truth = deployment.contract.monitoring.truth
    watch = command.monitor(deployment.name, STATE, "$(REGISTRY)", "$(LEDGER)", truth)
    gpu = "cpu" not in deployment.contract.environment.accelerators
    return render("kubernetes.yaml.j2", deployment, words=words, watch=watch, state=STATE, port=command.PORT, gpu=gpu)


def kustomization(deployment: Deployment) -> str:
    return render("kustomization.yaml.j2", deployment)


def manifest_statements(text: str, file: str) -> Iterator[Statement]:
    """Of the container that serves, what it is in, and what watches it there. Raises `BadInput`."""
    for document in documents(text, file):
        spec, containers = _at(document, "spec"), _at(document, "spec", "template", "spec", "containers")
        before = _at(document, "spec", "template", "spec", "initContainers")
        for container in before if isinstance(before, list) else ():
            words = [*_words(container, "command"), *_words(container, "args")]
            yield from command.statements(words, _line(container, "args"))
        for container in containers if isinstance(containers, list) else ():
            words = [*_words(container, "command"), *_words(container, "args")]
            options = command.options_of(words)
            if options is None:
                yield from command.statements(words, _line(container, "args"))
                continue
            yield Statement("kind", str(_at(document, "kind")), _line(document, "kind"))
            yield Statement("replicas", str(_at(spec, "replicas")), _line(spec, "replicas"))
            yield from command.statements(words, _line(container, "args"))
            yield from _memory(container)
            yield from _probes(container, options.get("--http", "").rpartition(":")[2])


def kustomization_statements(text: str, file: str) -> Iterator[Statement]:
    """Which files it takes. Raises `BadInput`."""
    for document in documents(text, file):
        resources = _at(document, "resources")
        for name in resources if isinstance(resources, list) else ():
            yield Statement(f"resource {name}", "", _line(document, "resources"))


def _memory(container: Any) -> Iterator[Statement]:
    limits = _at(container, "resources", "limits")
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([A-Za-z]*)", str(_at(limits, "memory")))
    if match:
        amount = float(match[1]) * MIB.get(match[2], math.nan)
        yield Statement("the limit of memory (Mi)", amount, _line(limits, "memory"), at_least=True)


def _probes(container: Any, port: str) -> Iterator[Statement]:
    for probe in PROBES:
        asked = _at(container, probe, "httpGet")
        if asked is not None:
            other = "" if str(_at(asked, "port")) == port else f" on port {_at(asked, 'port')}, which --http has not"
            yield Statement(probe, f"{_at(asked, 'path')}{other}", _line(container, probe))


def documents(text: str, file: str) -> list[Any]:
    """Those of a YAML file, whose parts know their lines. Raises `BadInput`."""
    from ruamel.yaml import YAML

    with naming_yaml_errors(file):
        if "*" in text and (fault := alias_fault(text, allowed=True)):
            raise BadInput(fault[0], file=file, line=fault[1])
        return list(YAML(typ="rt", pure=True).load_all(text))


def _at(node: Any, *keys: str) -> Any:
    """What is below these keys; None where there is nothing."""
    for key in keys:
        node = node.get(key) if isinstance(node, dict) else None
    return node


def _words(container: Any, key: str) -> list[str]:
    words = _at(container, key)
    return [str(word) for word in words] if isinstance(words, list) else []


def _line(node: Any, key: str) -> int:
    try:
        return node.lc.key(key)[0] + 1
    except (AttributeError, KeyError):
        return 1
