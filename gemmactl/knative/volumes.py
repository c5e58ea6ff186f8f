"""A volume of a Knative document -> a Volume. Knows neither what is around it nor a cloud."""

from __future__ import annotations

import json
from collections.abc import Mapping

from gemmactl.knative import words
from gemmactl.knative.tree import Fields, Node
from gemmactl.resources.service_types import EmptyDir, GcsVolume, OtherVolume, SecretItem, SecretVolume, Volume


def volume(node: Node, aliases: Mapping[str, str]) -> Volume:
    """One of the four kinds. `aliases`: names of secrets of other projects."""
    given = node.fields()
    name = given.must("name").text()
    csi, secret, empty, nfs = (given.take(kind) for kind in ("csi", "secret", "emptyDir", "nfs"))
    given.done(words.NOT_CARRIED)
    if csi:
        return _bucket(csi.fields(), name)
    if secret:
        return _secret(secret.fields(), name, aliases)
    if empty:
        room = empty.fields()
        medium, size = room.take("medium"), room.take("sizeLimit")
        room.done(words.NOT_CARRIED)
        return EmptyDir(name, medium.text().upper() if medium else None, size.text() if size else None)
    if nfs:
        return _nfs(nfs.fields(), name)
    node.bad("must have one of csi, secret, emptyDir and nfs")
    return EmptyDir(name)


def _bucket(csi: Fields, name: str) -> GcsVolume:
    driver = csi.must("driver")
    if driver.text() != words.GCSFUSE:
        driver.bad(f"must be {words.GCSFUSE}")
    read_only = csi.take("readOnly")
    more = csi.must("volumeAttributes").fields()
    csi.done(words.NOT_CARRIED)
    bucket, options = more.must("bucketName").text(), more.take("mountOptions")
    more.done(words.NOT_CARRIED)
    parts = tuple(part.strip() for part in (options.text() if options else "").split(",") if part.strip())
    return GcsVolume(name, bucket, read_only.switch() if read_only else False, parts)


def _secret(secret: Fields, name: str, aliases: Mapping[str, str]) -> SecretVolume:
    alias, items = secret.must("secretName").text(), secret.take("items")
    secret.done(words.NOT_CARRIED)
    found = []
    for node in items.list() if items else []:
        item = node.fields()
        found.append(SecretItem(item.must("path").text(), item.must("key").text()))
        item.done(words.NOT_CARRIED)
    return SecretVolume(name, aliases.get(alias, alias), tuple(found))


def _nfs(nfs: Fields, name: str) -> OtherVolume:
    server, path, read_only = nfs.must("server").text(), nfs.must("path").text(), nfs.take("readOnly")
    nfs.done(words.NOT_CARRIED)
    body = {"server": server, "path": path} | ({"readOnly": True} if read_only and read_only.switch() else {})
    return OtherVolume(name, json.dumps({"nfs": body}, sort_keys=True))
