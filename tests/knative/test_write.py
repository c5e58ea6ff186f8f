"""A service as YAML: gcloud took exactly these files, and reading one back gives the service that it was written from."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gemmactl.errors import Trouble
from gemmactl.knative.write import write
from gemmactl.resources.service import Service, parse
from gemmactl.resources.service_body import lean
from gemmactl.resources.service_types import Container, EnvVar, Resources
from tests.golden.replay import HERE, golden
from tests.knative.sheets import ENVIRON, codelab, sheet

TAKEN: dict[str, Any] = golden("33")["services"]
"""What gcloud 528 read out of each file and sent; it refuses a file with a field that it does not know."""


def service(case: str) -> Service:
    return parse(Service("demo-proj", "us-central1", TAKEN[case]["name"]), TAKEN[case]["v2"])


@pytest.mark.parametrize("case", sorted(TAKEN))
def test_the_file_is_the_one_that_gcloud_took(case: str) -> None:
    """Byte for byte: gemmactl's own server, vLLM, and a service with nearly everything."""
    assert write(service(case)) == (HERE / f"33-{case}.yaml").read_text()


@pytest.mark.parametrize("case", sorted(TAKEN))
def test_what_gcloud_sent_for_it_is_the_service(case: str) -> None:
    """Its body, read as any other file, is the v2 body that the file was written from."""
    found = sheet(json.dumps(TAKEN[case]["sent"]), PRICE="$PRICE")
    assert lean(found.service.body()) == lean(service(case).body())
    assert found.namespace == "demo-proj"


@pytest.mark.parametrize("case", sorted(TAKEN))
def test_reading_it_back_gives_the_same_service(case: str) -> None:
    """Without a note, and without a variable of this environment in a value that looks like one."""
    found = sheet(write(service(case), ("heading",)), PRICE="no")
    assert found.notes == ()
    assert lean(found.service.body()) == lean(service(case).body())


def test_the_codelabs_file_survives_being_written() -> None:
    """Read, written, read: the same."""
    once = codelab().service
    assert sheet(write(once), **ENVIRON).service == once


VALUES = ["$HOME", "${X}y", "$$Z", "5$", "$(X)", "true", "1", '"', "#", "\xa0x", "“x”", "\u200bx", "한국어"]
ODD = ["\x01", "a\x85b", "\x01$X"]


@pytest.mark.parametrize("value", [*VALUES, *ODD, "", "a: b", "a\nb\n", "a \u00a0 b"])
def test_any_value_survives(value: str) -> None:
    """Dollars, quotes, spaces and what YAML would read as something else."""
    one = Service("", "us-central1", "s", containers=(Container("i", command=(), args=(), env=(EnvVar("A", value),), mounts=()),))
    (box,) = sheet(write(one), HOME="no", X="no", Z="no").service.containers or ()
    assert box.env == (EnvVar("A", value),)


def test_the_folder_that_a_container_starts_in_survives() -> None:
    """A container's workingDir is a field of both forms."""
    one = Service(
        "", "us-central1", "s", containers=(Container("i", command=(), args=(), env=(), mounts=(), working_dir="/srv"),)
    )
    (box,) = sheet(write(one)).service.containers or ()
    assert box.working_dir == "/srv"


def test_what_the_form_can_not_say_is_refused() -> None:
    """CPU throttling is one annotation for all containers."""
    boxes = (Container("a", resources=Resources("1", cpu_idle=True)), Container("b", resources=Resources("1", cpu_idle=False)))
    with pytest.raises(Trouble) as caught:
        write(Service("p", "r", "s", containers=boxes))
    assert caught.value.code == "export-impossible"
