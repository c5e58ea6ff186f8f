"""What the documents of a service and of a job say alike: head, labels, annotations, GPU, volumes, network. Knows no cloud."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gemmactl.knative import words
from gemmactl.knative.tree import Fields, Node
from gemmactl.knative.volumes import volume
from gemmactl.resources.service_types import Volume, Vpc

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Head:
    """A document's own metadata. `marks`: its annotations, which are the caller's to take."""

    name: str
    namespace: str
    region: str
    labels: Labels | None
    marks: Fields


def head(meta: Fields, notes: list[str]) -> Head:
    """The region stands among the labels, and is none."""
    name = meta.must("name").text()
    namespace = said.text() if (said := meta.take("namespace")) else ""
    labels = own(meta.take("labels"), notes)
    region = found.text() if (found := labels.pop(words.LOCATION, None)) else ""
    asked = marks(meta, notes)
    servers(meta, notes)
    meta.done()
    return Head(name, namespace, region, texts(labels), asked)


def inner(template: Fields) -> tuple[Fields, Fields]:
    """Metadata and body of what is made of the document; it may have no metadata."""
    meta = template.take("metadata")
    body = template.must("spec").fields()
    template.done()
    return meta.fields() if meta else Fields(template.node, {}), body


def gpu(body: Fields) -> str | None:
    """The type of the accelerator."""
    selector = body.take("nodeSelector")
    if selector is None:
        return None
    chosen = selector.fields()
    found = chosen.take(words.ACCELERATOR)
    chosen.done()
    return found.text() if found else None


def volumes(body: Fields, known: Mapping[str, str]) -> tuple[Volume, ...]:
    """`known`: aliases of secrets."""
    found = body.take("volumes")
    return tuple(volume(one, known) for one in found.list()) if found else ()


def texts(labels: Mapping[str, Node]) -> Labels | None:
    """None where there are none."""
    return tuple(sorted((key, node.text()) for key, node in labels.items())) or None


def vpc(said: Fields) -> Vpc | None:
    """Direct VPC egress or a connector; None where no annotation speaks of it."""
    interfaces, egress, connector = (said.take(name) for name in (words.INTERFACES, words.EGRESS, words.CONNECTOR))
    if interfaces is None and egress is None and connector is None:
        return None
    first: dict[str, Any] = {}
    if interfaces:
        first = _one_interface(interfaces)
    tags = first.get("tags")
    return Vpc(
        first.get("network"),
        first.get("subnetwork"),
        tuple(tags.split(",")) if isinstance(tags, str) else tuple(map(str, tags)) if tags else None,
        egress.choice(words.EGRESSES) if egress else None,
        connector.text() if connector else None,
    )


def _one_interface(node: Node) -> dict[str, Any]:
    try:
        found = json.loads(node.text())
    except ValueError:
        found = None
    if not (isinstance(found, list) and len(found) == 1 and isinstance(found[0], dict)):
        node.bad('must be a JSON list of one interface, like \'[{"network":"default","subnetwork":"default"}]\'')
        return {}
    if unknown := sorted(set(found[0]) - {"network", "subnetwork", "tags"}):
        node.bad(f"has {', '.join(map(repr, unknown))}; an interface has network, subnetwork and tags")
    return found[0]


def aliases(node: Node | None) -> dict[str, str]:
    """Alias -> full name, of secrets in other projects: `alias:projects/P/secrets/S,...`."""
    pairs = [part.partition(":") for part in (node.text() if node else "").split(",") if part.strip()]
    return {alias.strip(): full.strip() for alias, _, full in pairs}


def marks(meta: Fields, notes: list[str]) -> Fields:
    """Those that ask for something."""
    node = meta.take("annotations")
    return Fields(node or meta.node, own(node, notes))


def own(node: Node | None, notes: list[str]) -> dict[str, Node]:
    """Labels or annotations without those that a server or a client writes about itself."""
    found = dict(node.pairs()) if node else {}
    if left := [key for key in found if key in words.SERVERS_OWN]:
        notes.append(f"{', '.join(left)}: written by Cloud Run or a client about itself, left out")
    return {key: one for key, one in found.items() if key not in words.SERVERS_OWN}


def servers(meta: Fields, notes: list[str]) -> None:
    if left := [name for name in sorted(words.META_OWN) if meta.left.pop(name, None)]:
        notes.append(f"metadata.{', metadata.'.join(left)}: the server's own, left out")
