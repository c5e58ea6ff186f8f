"""`sandbox demo`: a story told with the real commands, each in a process of its own. Knows the command line, nothing below it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from gemmactl.errors import Exit, Trouble
from gemmactl.result import Facts, Item, Line, Result
from gemmactl.voice import Voice

NAME: Final = "demo-gemma"
SAMPLE: Final = Path(__file__).parents[1] / "sandbox" / "sample"
PROMPTS: Final = 4
"""One of each type."""

PRETENDED: Final = (
    Line("A demo on this machine: no account, no GPU, no Docker, nothing leaves it, $0."),
    Item(
        "=",
        "real: every command below, the clients and their wire, the plan, the upload, the server process, the probe, the answers",
    ),
    Item(
        "=",
        "pretended: Google Cloud itself (a process on loopback); image layers are not built, the Dockerfile's COPY lines are",
        (),
        "warn",
    ),
    Item(
        "=", "the model: a real Gemma 3 of 1 M parameters that has memorised its examples; it can answer nothing else", (), "warn"
    ),
)


@dataclass(frozen=True)
class Told:
    """One command as it ran. `document` is the JSON envelope where it was asked for."""

    argv: tuple[str, ...]
    code: int
    seconds: float
    document: Mapping[str, Any] = field(default_factory=dict)


class Runner(Protocol):
    """The border: runs one command line of gemmactl."""

    def __call__(self, argv: Sequence[str], *, quiet: bool) -> Told: ...


@dataclass(frozen=True)
class Commands:
    """The real thing: `python -m gemmactl ...`, on this terminal, or quietly for its document."""

    environ: Mapping[str, str]

    def __call__(self, argv: Sequence[str], *, quiet: bool) -> Told:
        since = time.monotonic()
        line = [sys.executable, "-P", "-m", "gemmactl", *argv, *(["--format", "json"] if quiet else [])]
        done = subprocess.run(
            line,
            env=dict(self.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if quiet else None,
            stderr=subprocess.DEVNULL if quiet else None,
            check=False,
        )
        document = json.loads(done.stdout) if quiet and done.stdout else {}
        return Told(tuple(argv), done.returncode, time.monotonic() - since, document)


@dataclass
class Story:
    """The one owner of what was told so far."""

    voice: Voice
    run: Runner
    told: list[Told] = field(default_factory=list)

    def say(self, text: str) -> None:
        self.voice.say(Line(""), Line(text, "good"))

    def document(self) -> list[dict[str, Any]]:
        """What was told, for machines."""
        return [
            {"argv": t.argv, "exit": t.code, "seconds": round(t.seconds, 1), "data": t.document.get("data", t.document)}
            for t in self.told
        ]

    def command(self, *argv: str, expect: Exit = Exit.OK) -> Told:
        """Run a command as a user would and hold it to its exit code.

        Raises:
            Trouble: it ended otherwise; the story stops there.
        """
        self.voice.say(Line(f"$ gemmactl {' '.join(map(quoted, argv))}"))
        told = self.run(argv, quiet=not self.voice.streams)
        self.told.append(told)
        if told.code != expect:
            raise Trouble(
                f"the demo stopped at: gemmactl {' '.join(map(quoted, argv))}",
                why=f"it ended with exit code {told.code} instead of {int(expect)}; its own words are above",
                remedy="gemmactl sandbox reset --yes, then run the demo again; if it stays, report it with what is above",
                code="demo-stopped",
                facts={"argv": list(argv), "code": told.code, "problems": told.document.get("problems", [])},
            )
        return told


def demo(voice: Voice, environ: Mapping[str, str]) -> Result:
    """The whole story, in a sandbox of its own that is gone afterwards."""
    from gemmactl.local.model import FOR_SERVER, NEEDED, require

    voice.aim("sandbox")
    require((*NEEDED, *FOR_SERVER))
    voice.say(*PRETENDED)
    since = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="gemmactl-demo-") as folder:
        home = Path(folder) / "sandbox"
        os.environ["GEMMACTL_SANDBOX_HOME"] = str(home)  # this process asks the daemon too: it must be the same one
        story = Story(voice, Commands(environment(environ, folder, home)))
        try:
            tell(story, Sandbox(home))
        finally:
            from gemmactl.sandbox import daemon

            daemon.stop(home)
    seconds = time.monotonic() - since
    data = {
        "seconds": round(seconds, 1),
        "home": str(home),
        "commands": story.document(),
    }
    facts = Facts(
        (("commands", str(len(story.told))), ("time", f"{seconds:.0f} s"), ("left behind", "nothing")), "The demo is over"
    )
    tool = called(environ, Path(sys.executable).parent, Path.cwd())
    follow = (f"{tool} deploy ./my-model --project @sandbox", f"{tool} plan gs://BUCKET/my-model --project PROJECT_ID")
    return Result("sandbox demo", data, (facts,), follow, "sandbox")


def called(environ: Mapping[str, str], beside: Path, folder: Path) -> str:
    """How a shell in `folder` starts the tool: `make demo` runs it from an environment (`beside`) that nobody has activated."""
    own = beside / "gemmactl"
    if shutil.which("gemmactl", path=environ.get("PATH")) or not own.is_file():
        return "gemmactl"
    return str(own.relative_to(folder)) if own.is_relative_to(folder) else str(own)


class Machinery(Protocol):
    """What the story does behind the user's back, and says so."""

    def revoke(self) -> str:
        """Take the runtime account's right to read the model away; says from whom and where."""

    def sleep(self) -> None:
        """Let the service scale to zero."""


def tell(story: Story, behind: Machinery, examples: Sequence[Mapping[str, str]] | None = None) -> None:
    """The chapters."""
    here = ("--project", "@sandbox")
    story.say("1. Inspect: what the model is, where it fits and what is wrong with it, before anything costs anything.")
    story.command("inspect", str(SAMPLE / "model"))

    story.say("2. Deploy: the plan first, then everything it names. The model is uploaded as a step of the plan.")
    story.command("deploy", str(SAMPLE / "model"), "--name", NAME, *here, "--yes")

    story.say("3. Ask it one prompt of each type.")
    for example in examples or one_of_each():
        story.command("generate", example["prompt"], "--type", example["type"], "--name", NAME, *here)

    story.say("4. Something breaks: somebody takes a role away, and the service, scaled to zero, has to start again.")
    story.voice.say(Line(f"(behind your back: {behind.revoke()})", "warn"))
    behind.sleep()
    story.command("generate", "Good morning.", "--type", "translation", "--name", NAME, *here, expect=Exit.FAILURE)

    story.say("5. doctor names the cause, the account and the role, and repairs it.")
    story.command("doctor", NAME, *here, expect=Exit.FOUND)
    story.command("doctor", NAME, *here, "--fix", "--yes")
    story.command("generate", "Good morning.", "--type", "translation", "--name", NAME, *here)

    story.say("6. The plan after all this is empty: the cloud is as wished.")
    story.command("plan", str(SAMPLE / "model"), "--name", NAME, *here, "--detailed-exitcode")

    story.say("7. Destroy: what was made goes, the model's bucket stays and is named.")
    story.command("destroy", NAME, *here, "--yes")


@dataclass(frozen=True)
class Sandbox:
    """The sandbox's own orders."""

    home: Path

    def revoke(self) -> str:
        from gemmactl.gcp.cloud import connect
        from gemmactl.sandbox import daemon
        from gemmactl.serving.find import model_of
        from gemmactl.serving.wishes import SANDBOX_PROJECT
        from gemmactl.settings import DEFAULT_REGION
        from gemmactl.spec import parse_model

        endpoint = daemon.ensure(self.home)
        cloud = connect(SANDBOX_PROJECT, endpoint=endpoint)
        live = cloud.run.get(f"projects/{SANDBOX_PROJECT}/locations/{DEFAULT_REGION}/services/{NAME}") or {}
        account = live.get("template", {}).get("serviceAccount", "")
        bucket, role = parse_model(model_of(live)).bucket, "roles/storage.objectViewer"
        endpoint.revoke(f"serviceAccount:{account}", role, f"projects/_/buckets/{bucket}")
        return f"{role} on gs://{bucket} taken from {account}"

    def sleep(self) -> None:
        from gemmactl.sandbox import daemon

        daemon.stop(self.home)


def one_of_each() -> tuple[Mapping[str, str], ...]:
    """The first example of each type that the sample model has memorised."""
    found: dict[str, Mapping[str, str]] = {}
    for example in json.loads((SAMPLE / "examples.json").read_text(encoding="utf-8")):
        found.setdefault(example["type"], example)
    return tuple(found.values())[:PROMPTS]


def environment(environ: Mapping[str, str], folder: str, home: Path) -> dict[str, str]:
    """The user's environment without what would aim the commands elsewhere."""
    kept = {
        k: v
        for k, v in environ.items()
        if not k.startswith(("GEMMACTL_", "CLOUDSDK_")) and k not in ("GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_REGION", "HF_TOKEN")
    }
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, (root, environ.get("PYTHONPATH", ""))))
    return {**kept, "GEMMACTL_SANDBOX_HOME": str(home), "CLOUDSDK_CONFIG": folder, "PYTHONPATH": path}


def quoted(word: str) -> str:
    import shlex

    return shlex.quote(word) if word.isascii() and not word.startswith("/") else _short(word)


def _short(word: str) -> str:
    """A path of this installation as its last two parts: the reader's screen has 80 columns."""
    if word.startswith("/"):
        return "/".join(("...", *Path(word).parts[-2:]))
    return f"'{word}'"
