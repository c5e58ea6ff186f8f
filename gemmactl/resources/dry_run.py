"""Around a validate_only call to Cloud Run: what it refuses has changed nothing. Knows no service and no job."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from gemmactl.errors import Trouble, refused


@contextmanager
def dry_run(kind: str, name: str, broken: Sequence[str], doomed: str) -> Iterator[None]:
    """`kind`: service or job. `broken`: the rules that validate_only is known to miss; `doomed`: what would come of it.

    Raises:
        Trouble: (refused) KIND-illegal for a broken rule; KIND-refused with Cloud Run's own words.
    """
    if broken:
        raise refused(
            f"{kind} {name} {doomed}",
            why="; ".join(broken),
            remedy="correct the setting that is named",
            code=f"{kind}-illegal",
            facts={"violations": list(broken)},
        )
    try:
        yield
    except Trouble as trouble:
        # what somebody else wrote, what settles by itself and what may not be asked keep their own meaning
        if trouble.facts.get("status") != 400:
            raise
        raise refused(
            f"Cloud Run refuses {kind} {name}; nothing of it was changed",
            why=trouble.why,
            remedy=trouble.remedy,
            code=f"{kind}-refused",
            facts={**trouble.facts, "validate_only": True},
        ) from trouble
