"""A service that is not there: where one of that name is, and what may be meant."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gemmactl.errors import Trouble
from gemmactl.settings import Value
from tests.serving.test_status import seen
from tests.serving.test_watching import up


@pytest.mark.parametrize(
    ("name", "region", "why", "remedy"),
    [
        ("one", "europe-west4", "one is in us-central1, and europe-west4 (--region) was looked into", "add --region us-central1"),
        ("onee", "us-central1", "none of that name in region us-central1", "did you mean one? Else: gemmactl deploy MODEL "),
        ("onee", "europe-west4", "none of that name in region europe-west4", "did you mean one --region us-central1? Else: "),
        ("gemma", "us-central1", "there are one (us-central1)", "gemmactl deploy MODEL --name gemma --project "),
    ],
)
def test_where_a_service_is_that_is_not_here(tmp_path: Path, name: str, region: str, why: str, remedy: str) -> None:
    """In another region, under a like name, or which there are: a typo is not answered by a second deploy."""
    here = replace(up("one"), region=Value(region, "--region"))
    with pytest.raises(Trouble) as caught:
        seen(here, tmp_path, name)
    assert why in caught.value.why
    assert caught.value.remedy.startswith(remedy)
