"""A plan as a file: written whole or not at all, read back, and held against the cloud before it is applied. Holds no secret."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from shlex import quote
from typing import Any, Final

from gemmactl import __version__, spec_parse
from gemmactl.errors import Trouble, refused, usage
from gemmactl.kernel.plan import Plan
from gemmactl.serving.place import Place
from gemmactl.serving.plan_codec import HF_TOKEN, decoded, encoded
from gemmactl.serving.plan_moved import Row, differences, rows
from gemmactl.settings import Value
from gemmactl.spec import SecretRef, Serve, Token
from gemmactl.voice import Voice

SCHEMA: Final = "gemmactl.plan/v1"
SHOWN: Final = 5
"""Differences that a refusal names; its facts hold all of them."""


@dataclass(frozen=True)
class Keep:
    """Where a plan is to be kept."""

    path: Path
    command: str
    """The command line that makes it again."""

    @property
    def next(self) -> str:
        return f"gemmactl deploy {quote(str(self.path))}"


@dataclass(frozen=True)
class Approved:
    """A plan that somebody looked at: what was wished, where, and every step with what it was decided upon."""

    wish: Serve
    """As it was given, before the model was looked at."""
    project: str
    """As it was given: an id, or @sandbox."""
    region: str
    steps: list[Row] = field(repr=False)
    by: str
    """IAM member who made it."""
    made: str
    """RFC 3339 time."""
    version: str
    """gemmactl's."""
    command: str
    """The command line that made it."""
    path: str

    @property
    def where(self) -> tuple[Value, Value]:
        """The project and the region that it was made for."""
        return Value(self.project, self.path), Value(self.region, self.path)

    @property
    def words(self) -> str:
        return (
            f"{self.path}: planned {self.made} by {self.by.partition(':')[2] or 'somebody unknown'} with gemmactl {self.version}"
        )

    def hold(self, planned: Plan) -> None:
        """Refuse what is not what was approved.

        Raises:
            Trouble: (refused) the cloud, the model's directory or gemmactl itself is another one now; with what, and was and now.
        """
        found = differences(self.steps, planned)
        if not found:
            return
        more = f"\nand {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        another = "" if self.version == __version__ else f"gemmactl {self.version} made the plan, this is {__version__}\n"
        raise refused(
            f"{self.path} is not what would be done now",
            why=another + "\n".join(map(str, found[:SHOWN])) + more,
            remedy=f"look at what is to be done now, and approve that: {self.command}",
            code="plan-moved",
            facts={"differences": [d.document() for d in found], "made_with": self.version, "made": self.made},
        )


def save(keep: Keep, wish: Serve, place: Place, planned: Plan, *, now: datetime | None = None) -> None:
    """Write the plan of a wish (as it was given), readable by its owner alone, whole or not at all.

    Raises:
        Trouble: (usage) it can't be written there, or deploy would not know it by its name.
    """
    if keep.path.suffix != ".json":
        raise usage(
            f"{keep.path} does not end in .json",
            why="by that `gemmactl deploy` tells a plan's file from a model",
            remedy="name it so: -o plan.json",
            code="plan-file-name",
        )
    document = {
        "schema": SCHEMA,
        "gemmactl": __version__,
        "created": (now or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "command": keep.command,
        "identity": place.cloud.caller(),
        "place": {"project": place.project.text, "region": place.region.text, "target": place.target},
        "wish": encoded(wish),
        "steps": rows(planned),
    }
    path = keep.path
    text = json.dumps({**document, "digest": _digest(document)}, ensure_ascii=False, indent=2) + "\n"
    try:
        handle, half = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # for its owner alone from the beginning
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            Path(half).replace(path)
        except BaseException:
            Path(half).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise usage(
            f"the plan can't be written to {path}",
            why=error.strerror or str(error),
            remedy="name a file in a folder that may be written: -o plan.json",
            code="plan-file-unwritable",
        ) from None


def load(path: Path, token: Callable[[], SecretRef | Token]) -> Approved:
    """Read a plan. `token` gives the secret value that its file does not hold, when it needs one.

    Raises:
        Trouble: (usage) it is no plan, another version's, or was changed by hand; or the token is not given again.
    """
    try:
        document: Any = json.loads(path.read_bytes())
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from None
    except ValueError:
        raise _unreadable(path, "it is no JSON") from None
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise _unreadable(path, f"it does not say `schema: {SCHEMA}`")
    digest = document.pop("digest", "")
    if digest != _digest(document):
        raise _unreadable(path, "it was changed after it was written: its digest is another one")
    try:
        place = document["place"]
        return Approved(
            decoded(Serve, document["wish"], token),
            str(place["project"]),
            str(place["region"]),
            list(document["steps"]),
            str(document["identity"]),
            str(document["created"]),
            str(document["gemmactl"]),
            str(document["command"]),
            str(path),
        )
    except (KeyError, TypeError, ValueError) as error:
        made = f"gemmactl {document.get('gemmactl', '?')} made it, this is {__version__}: {error}"
        raise _unreadable(path, made) from None


def token_again(environ: Mapping[str, str], voice: Voice) -> SecretRef | Token:
    """The token that a plan's file does not hold: the variable, else a hidden question.

    Raises:
        Trouble: (usage) there is none and nobody to ask.
    """
    if text := environ.get(HF_TOKEN):
        return spec_parse.token(text, HF_TOKEN)
    said = voice.secret("Hugging Face token of this plan", instead="set the variable HF_TOKEN: a plan's file holds no secret")
    return spec_parse.token(said, "the prompt")


def alone(typed: Iterable[str], path: str) -> None:
    """Refuse options beside a plan's file.

    Raises:
        Trouble: (usage) there are some.
    """
    if named := ", ".join(f"--{name.replace('_', '-')}" for name in typed):
        raise usage(
            f"{named} can't be given beside {path}",
            why="a plan's file says everything, and is applied as it was approved or not at all",
            remedy=f"leave them out, or plan again with them: gemmactl plan MODEL ... -o {path}",
            code="flags-beside-plan",
        )


def _digest(document: Any) -> str:
    text = json.dumps(document, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _unreadable(path: Path, why: str) -> Trouble:
    return usage(
        f"{path} can't be read as a plan",
        why=why,
        remedy=f"make it again: gemmactl plan MODEL -o {path}",
        code="plan-file",
    )
