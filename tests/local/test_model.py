"""Where a model for this machine may be, before anything is started."""

from __future__ import annotations

import pytest

from gemmactl.errors import Trouble
from gemmactl.local import model as models
from gemmactl.serving.looking import folders
from inference_image import contract


def test_a_web_folder_is_a_place_for_this_machine() -> None:
    """https:// goes to the engine as it is: a web server has no list that could be looked through before."""
    assert models.place("https://example.com/m") == "https://example.com/m"
    models.look("https://example.com/m", folders(""), {})


def test_plain_http_is_no_place() -> None:
    """What anybody on the way could change is refused as any other place that is none."""
    with pytest.raises(Trouble):
        models.place("http://example.com/m")


def test_skip_unverified_is_asked_for_by_name() -> None:
    """The wish of the flag reaches the engine as its variable, and nothing else does."""
    assert models.skipping({"A": "b"}, asked=True) == {"A": "b", contract.ENV_SKIP_UNVERIFIED: "1"}
    assert models.skipping({"A": "b"}, asked=False) == {"A": "b"}
