"""The demo's story: told with the real commands, in order, and stopped at the first that ends otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gemmactl.errors import Trouble
from gemmactl.kernel.events import Event
from gemmactl.local.demo import Story, Told, called, environment, one_of_each, tell
from gemmactl.result import Block, Line, Target


@dataclass
class Ear:
    """A voice that remembers."""

    said: list[str] = field(default_factory=list)
    streams: bool = True

    def aim(self, target: Target) -> None:
        """Nothing to remember."""

    def say(self, *blocks: Block) -> None:
        self.said += [b.text for b in blocks if isinstance(b, Line)]

    def show(self, *blocks: Block) -> None:
        self.say(*blocks)

    def events(self, event: Event) -> None:
        """Nothing to remember."""

    def data(self, text: str) -> None:
        """Nothing to remember."""

    def confirm(self, question: str, *, flag: str) -> bool:
        raise AssertionError("the demo asks nobody")

    def ask(self, question: str, *, instead: str, default: str = "") -> str:
        raise AssertionError("the demo asks nobody")

    def secret(self, question: str, *, instead: str) -> str:
        raise AssertionError("the demo asks nobody")


@dataclass
class Stage:
    """A runner and a machinery: commands fail while the role is away."""

    broken: bool = False
    ran: list[str] = field(default_factory=list)
    always: int | None = None

    def __call__(self, argv: Sequence[str], *, quiet: bool) -> Told:
        self.ran.append(" ".join(argv[:1]) + (" --fix" if "--fix" in argv else ""))
        code = {"generate": 1, "doctor": 6}.get(argv[0], 0) if self.broken else 0
        if "--fix" in argv:
            self.broken, code = False, 0
        return Told(tuple(argv), code if self.always is None else self.always, 0.1)

    def revoke(self) -> str:
        self.broken = True
        return "a role taken from an account"

    def sleep(self) -> None:
        self.ran.append("(asleep)")


def test_the_story_in_order() -> None:
    """From inspect to destroy, broken and repaired on the way; what was done behind the back is said."""
    stage, ear = Stage(), Ear()
    tell(Story(ear, stage), stage)
    assert stage.ran == [
        "inspect",
        "deploy",
        *["generate"] * 4,
        "(asleep)",
        "generate",
        "doctor",
        "doctor --fix",
        "generate",
        "plan",
        "destroy",
    ]
    assert any("behind your back: a role taken" in line for line in ear.said)
    assert any(line.startswith("$ gemmactl deploy") for line in ear.said)


def test_it_stops_where_a_command_ends_otherwise() -> None:
    """A demo that goes wrong fails, and says which command it was."""
    stage = Stage(always=1)
    with pytest.raises(Trouble) as caught:
        tell(Story(Ear(), stage), stage)
    assert stage.ran == ["inspect"]
    assert "gemmactl inspect" in caught.value.what


def test_prompts_are_the_sample_models_own() -> None:
    """One example of each type, Korean included: the model has memorised them and knows nothing else."""
    found = one_of_each()
    assert [e["type"] for e in found] == ["translation", "text", "product", "sql"]
    assert any(not e["prompt"].isascii() for e in found)


def test_the_users_settings_do_not_leak_into_the_demo(tmp_path: Path) -> None:
    """A project, a token or a region of the user's environment must not aim the demo's commands at a real cloud."""
    mine = {
        "GEMMACTL_PROJECT": "real",
        "CLOUDSDK_CORE_PROJECT": "real",
        "GOOGLE_CLOUD_PROJECT": "real",
        "HF_TOKEN": "x",
        "PATH": "/bin",
    }
    made: dict[str, Any] = environment(mine, str(tmp_path), tmp_path / "home")
    assert "real" not in made.values()
    assert "HF_TOKEN" not in made
    assert made["GEMMACTL_SANDBOX_HOME"] == str(tmp_path / "home")
    assert made["PATH"] == "/bin"


def test_what_to_type_next_starts_in_a_shell_that_never_heard_of_it(tmp_path: Path) -> None:
    """The name alone where PATH has it; else the script of the environment that ran the demo, as seen from here."""
    beside = tmp_path / ".venv" / "bin"
    assert called({"PATH": "/bin"}, beside, tmp_path) == "gemmactl"
    beside.mkdir(parents=True)
    (beside / "gemmactl").touch(0o755)
    assert called({"PATH": "/bin"}, beside, tmp_path) == ".venv/bin/gemmactl"
    assert called({"PATH": "/bin"}, beside, tmp_path / "elsewhere") == str(beside / "gemmactl")
    assert called({"PATH": f"/bin:{beside}"}, beside, tmp_path) == "gemmactl"
