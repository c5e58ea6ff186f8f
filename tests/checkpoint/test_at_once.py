"""How many requests a plan computes at once, and how many an instance takes beside them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gemmactl.checkpoint import arithmetic
from gemmactl.errors import Exit, Trouble
from inference_image import contract
from inference_image.contract import LoadFailed
from inference_image.settings import Settings
from tests.checkpoint.test_sizing import WISH, sized, wish


@pytest.mark.parametrize(
    ("env", "at_once", "concurrency"),
    [
        ({}, 32, 64),
        ({contract.ENV_MAX_SEQUENCES: "5"}, 5, 10),
        ({contract.ENV_MAX_SEQUENCES: "1"}, 1, 4),
        ({contract.ENV_MAX_QUEUE: "7"}, 32, 39),
        ({contract.ENV_MAX_QUEUE: "0", contract.ENV_MAX_SEQUENCES: "1"}, 1, 1),
    ],
)
def test_what_is_taken_is_computed_or_waits(env: dict[str, str], at_once: int, concurrency: int) -> None:
    """As many again wait as are computed, at least four are taken, and never more than the queue has places."""
    found = sized("4b", replace(WISH, env=tuple(env.items())))
    assert found.fit is not None
    assert (found.fit.at_once, found.wish.concurrency, found.cautions) == (at_once, concurrency, ())
    document = arithmetic.document(found)
    assert (document["parallel_sequences"], document["sequences_that_fit"]) == (at_once, 47)
    assert document["kv_bytes"] == at_once * found.fit.weights.shape.kv(8192)


def test_a_longer_context_leaves_room_for_fewer() -> None:
    """The whole context of a 4B on an L4: a few at once, and no more taken than that allows."""
    found = sized("4b", wish(context=131072))
    assert found.fit is not None
    assert 1 <= found.fit.at_once == found.fit.sequences < 4
    assert found.wish.concurrency == max(4, 2 * found.fit.at_once)


def test_more_than_the_engine_computes_is_refused() -> None:
    """Before anything is deployed: the container would refuse the same number."""
    with pytest.raises(Trouble) as caught:
        sized("4b", replace(WISH, env=((contract.ENV_MAX_SEQUENCES, "33"),)))
    assert (caught.value.code, caught.value.exit) == ("sequences-too-many", Exit.USAGE)
    with pytest.raises(LoadFailed):
        Settings.from_environ({"GEMMACTL_MODEL": "m", contract.ENV_MAX_SEQUENCES: "33"})
