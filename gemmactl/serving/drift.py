"""What of a live service is not as wished: by gemmactl.yaml where it speaks of it, else by what deploy makes. Only reads."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from gemmactl import stack
from gemmactl.errors import Trouble, usage
from gemmactl.kernel.events import Event
from gemmactl.kernel.plan import make_plan
from gemmactl.result import Block, Item, Target
from gemmactl.serving import deploy, find, show
from gemmactl.serving.find import Json
from gemmactl.serving.place import Place
from gemmactl.serving.recall import recalled, remembered_token
from gemmactl.serving.wishes import wishes
from gemmactl.settings import PROJECT_FILE, Settings

BY_FILE: Final = f"a deploy from {PROJECT_FILE}"
BY_KIND: Final = "what deploy makes of such a service"


@dataclass(frozen=True)
class Drift:
    """Steps as `show.document` has them, none of them a keep; `unknown`: why it can't be told."""

    against: str
    steps: tuple[dict[str, Any], ...] = ()
    unknown: str = ""

    def document(self) -> dict[str, Any]:
        return {"against": self.against, "steps": list(self.steps), "unknown": self.unknown}

    def __str__(self) -> str:
        if self.unknown:
            return f"unknown: {self.unknown}"
        if not self.steps:
            blind = "" if self.against == BY_FILE else f"; no {PROJECT_FILE} says which settings were wished"
            return f"none, compared with {self.against}{blind}"
        return f"{len(self.steps)} thing{'s' * (len(self.steps) != 1)} not as {self.against}"

    def blocks(self) -> tuple[Block, ...]:
        """One item for each thing that differs."""
        return tuple(_item(step) for step in self.steps)


def drift(place: Place, settings: Settings, live: Json) -> Drift:
    """Compare; the model is looked into when gemmactl.yaml names it, because its size decides what the file leaves open."""
    name = find.short(live)
    if not find.is_ours(live):
        return Drift(BY_KIND, unknown="gemmactl did not make it")
    against = BY_FILE if speaks(settings, name) else BY_KIND
    try:
        found = _by_file(place, settings, name, live) if against == BY_FILE else _by_kind(place, name, live)
    except Trouble as trouble:
        return Drift(against, unknown=f"{trouble.what} ({trouble.why})" if trouble.why else trouble.what)
    return Drift(against, tuple(step for step in found if step["op"] != "keep"))


def speaks(settings: Settings, name: str) -> bool:
    """Whether gemmactl.yaml says what this very service should be."""
    if "model" not in settings.project_file:
        return False
    said = find.wanted_name(settings, None)
    return said is not None and said.text == name


def _by_file(place: Place, settings: Settings, name: str, live: Json) -> list[dict[str, Any]]:
    flags: dict[str, Any] = {"project": place.project.text, "region": place.region.text, "name": name}
    if token := remembered_token(live):
        flags["hf_token"] = f"{token.name}:{token.version}"
    wish = wishes(settings, flags, _Nobody())
    planned = deploy.plan(wish, place, again="").data
    if api := planned.get("waits_for"):
        raise Trouble(f"{api} is off", why="the model can't be looked at without it", remedy="")
    steps: list[dict[str, Any]] = planned["steps"]
    return steps


def _by_kind(place: Place, name: str, live: Json) -> list[dict[str, Any]]:
    """The image is taken as it is: a newer gemmactl would build another one, which nobody changed."""
    wish = recalled(place, name, live)
    if wish.engine == "gemmactl":
        wish = replace(wish, image=str(find.container(live).get("image", "")) or None)
    return [_without_ready(step) for step in show.document(make_plan(stack.serving(wish), place.cloud))["steps"]]


def _without_ready(step: dict[str, Any]) -> dict[str, Any]:
    """A failed rollout is a state of the service, told as such; it is no change of anybody's."""
    fields = [one for one in step["fields"] if one["field"] != "ready"]
    return step if fields == step["fields"] or fields else {**step, "op": "keep", "fields": []}


def _item(step: dict[str, Any]) -> Item:
    sign = {"create": "+", "blocked": "!"}.get(step["op"], "~")
    lines = [f"{one['field']}: {one['live']} -> {one['wanted']}" for one in step["fields"]]
    missing = ["it is not there"] if step["op"] == "create" and not step["note"] else []
    return Item(sign, step["address"], (*lines, *missing, *([step["note"]] if step["note"] else [])), "warn")


class _Nobody:
    """A voice with nobody behind it: what would have to be asked for is not known."""

    streams = False

    def aim(self, target: Target) -> None: ...
    def say(self, *blocks: Block) -> None: ...
    def show(self, *blocks: Block) -> None: ...
    def events(self, event: Event) -> None: ...
    def data(self, text: str) -> None: ...

    def confirm(self, question: str, *, flag: str) -> bool:
        raise usage(question, why="status asks nothing", remedy=flag, code="confirmation-needed")

    def ask(self, question: str, *, instead: str, default: str = "") -> str:
        raise usage(question, why="status asks nothing", remedy=instead, code="answer-needed")

    def secret(self, question: str, *, instead: str) -> str:
        raise usage(f"{question} is needed", why="status asks nothing", remedy=instead, code="secret-needed")
