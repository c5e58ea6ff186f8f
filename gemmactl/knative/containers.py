"""A container of a Knative document -> a Container. Knows neither the service around it nor a cloud."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

from gemmactl.knative import words
from gemmactl.knative.tree import Fields, Node
from gemmactl.resources.service_body import GPU
from gemmactl.resources.service_types import Container, EnvVar, Mount, Port, Probe, Resources, SecretEnv
from gemmactl.spec_parse import TOKEN_LIKE


def container(node: Node, aliases: Mapping[str, str]) -> Container:
    """Lists are as the file has them, none is an empty one; a probe that is not there is no opinion."""
    box = node.fields()
    name, image = box.take("name"), box.must("image").text()
    command, args, env = box.take("command"), box.take("args"), box.take("env")
    ports, mounts, resources = box.take("ports"), box.take("volumeMounts"), box.take("resources")
    startup, liveness = box.take("startupProbe"), box.take("livenessProbe")
    folder = box.take("workingDir")
    box.done(words.NOT_CARRIED)
    return Container(
        image,
        name.text() if name else None,
        command.texts() if command else (),
        args.texts() if args else (),
        tuple(_variable(one, aliases) for one in env.list()) if env else (),
        _resources(resources) if resources else None,
        tuple(_port(one) for one in ports.list()) if ports else None,
        probe(startup) if startup else None,
        probe(liveness) if liveness else None,
        tuple(_mount(one) for one in mounts.list()) if mounts else (),
        (),
        folder.text() if folder else None,
    )


def depending(boxes: tuple[Container, ...], node: Node | None) -> tuple[Container, ...]:
    """With the order of their starts: `{"server": ["proxy"]}` as JSON in one annotation."""
    if node is None:
        return boxes
    try:
        found = json.loads(node.text())
    except ValueError:
        found = None
    known = [box.name for box in boxes]
    if not isinstance(found, dict) or not all(isinstance(v, list) and all(n in known for n in (k, *v)) for k, v in found.items()):
        node.bad('must be JSON that names containers of the file, like \'{"server":["proxy"]}\'')
        return boxes
    return tuple(replace(box, depends_on=tuple(found.get(box.name, ()))) for box in boxes)


def _variable(node: Node, aliases: Mapping[str, str]) -> EnvVar | SecretEnv:
    entry = node.fields()
    name = entry.must("name").text()
    value, source = entry.take("value"), entry.take("valueFrom")
    entry.done(words.NOT_CARRIED)
    if source is None:
        if value and TOKEN_LIKE.search(value.text()):
            value.bad("looks like a Hugging Face token, which everyone who may see the service could read: name a secret instead")
            return EnvVar(name)
        return EnvVar(name, value.text() if value else "")
    inner = source.fields()
    reference = inner.must("secretKeyRef").fields()
    inner.done(words.NOT_CARRIED)
    secret, version = reference.must("name").text(), reference.must("key").text()
    reference.done(words.NOT_CARRIED)
    return SecretEnv(name, aliases.get(secret, secret), version)


def _resources(node: Node) -> Resources:
    outer = node.fields()
    limits = outer.take("limits")
    outer.done(words.NOT_CARRIED)
    found = limits.fields() if limits else Fields(node, {})
    cpu, memory, gpu = (found.take(name) for name in ("cpu", "memory", GPU))
    found.done()
    return Resources(cpu.text() if cpu else None, memory.text() if memory else None, gpu.text() if gpu else None)


def _port(node: Node) -> Port:
    port = node.fields()
    number, name = port.must("containerPort").number(), port.take("name")
    port.take("protocol")  # TCP, and nothing else
    port.done()
    return Port(number, name.text() if name else None)


def _mount(node: Node) -> Mount:
    mount = node.fields()
    name, path = mount.must("name").text(), mount.must("mountPath").text()
    mount.done(words.NOT_CARRIED)
    return Mount(name, path)


def probe(node: Node) -> Probe:
    """One of the three kinds, with what Cloud Run fills in left open."""
    given = node.fields()
    http, tcp, grpc = (given.take(kind) for kind in ("httpGet", "tcpSocket", "grpc"))
    delay, timeout, period, failures = (
        given.take(name) for name in ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "failureThreshold")
    )
    given.done(words.NOT_CARRIED)
    if sum(one is not None for one in (http, tcp, grpc)) != 1:
        node.bad("must have exactly one of httpGet, tcpSocket and grpc")
    action = (http or tcp or grpc or node).fields() if http or tcp or grpc else Fields(node, {})
    port = action.take("port")
    path = action.take("path") if http else None
    headers = action.take("httpHeaders") if http else None
    service = action.take("service") if grpc else None
    action.done(words.NOT_CARRIED)
    return Probe(
        "http" if http else "grpc" if grpc else "tcp",
        port.number() if port else None,
        path.text() if path else None,
        service.text() if service else None,
        delay.number() if delay else 0,
        timeout.number() if timeout else None,
        period.number() if period else None,
        failures.number() if failures else None,
        tuple(_header(one) for one in headers.list()) if headers else None,
    )


def _header(node: Node) -> tuple[str, str]:
    header = node.fields()
    name, value = header.must("name").text(), header.take("value")
    header.done()
    return name, value.text() if value else ""
