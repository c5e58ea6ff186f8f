"""`sandbox demo-finetune`: rows become a served model, told with the real commands. Knows the command line, nothing below it."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from gemmactl.errors import Trouble
from gemmactl.local.demo import SAMPLE, Commands, Story, called, environment, quoted
from gemmactl.local.model import FOR_SERVER
from gemmactl.local.model import require as served
from gemmactl.local.tuning import require
from gemmactl.result import Facts, Item, Line, Result
from gemmactl.voice import Voice

NAME: Final = "shelves"
ROWS: Final = SAMPLE / "shelves.jsonl"
TRAINING: Final = ("--epochs", "40", "--lr", "1e-2", "--eval", "0")
"""Four rows, learned by heart: 40 steps on one thread are seconds. A real set of rows wants the defaults."""

PRETENDED: Final = (
    Line("A fine-tune on this machine: no account, no GPU, no Docker, nothing leaves it, $0."),
    Item(
        "=",
        "real: every command below, the job's worker in a process of its own, the training, merge and publishing, the server",
    ),
    Item("=", "pretended: Google Cloud itself (a process on loopback) and the GPU: it trains on this CPU", (), "warn"),
    Item(
        "=", "the base: a real Gemma 3 of 1 M parameters that has memorised its examples; of shelves it knows nothing", (), "warn"
    ),
)


def demo(voice: Voice, environ: Mapping[str, str]) -> Result:
    """The whole story, in a sandbox of its own that is gone afterwards."""
    voice.aim("sandbox")
    require()
    served(FOR_SERVER)
    voice.say(*PRETENDED)
    since = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="gemmactl-demo-") as folder:
        home = Path(folder) / "sandbox"
        os.environ["GEMMACTL_SANDBOX_HOME"] = str(home)  # this process asks the daemon too: it must be the same one
        story = Story(voice, Commands(environment(environ, folder, home)))
        try:
            tell(story, rows())
        finally:
            from gemmactl.sandbox import daemon

            daemon.stop(home)
    seconds = time.monotonic() - since
    data = {"seconds": round(seconds, 1), "home": str(home), "commands": story.document()}
    facts = Facts(
        (("commands", str(len(story.told))), ("time", f"{seconds:.0f} s"), ("left behind", "nothing")), "The demo is over"
    )
    tool = called(environ, Path(sys.executable).parent, Path.cwd())
    follow = (f"{tool} finetune check data.jsonl", f"{tool} finetune run data.jsonl --project PROJECT_ID")
    return Result("sandbox demo-finetune", data, (facts,), follow, "sandbox")


def rows() -> tuple[Mapping[str, str], ...]:
    """What the base is to learn."""
    return tuple(json.loads(line) for line in ROWS.read_text(encoding="utf-8").splitlines())


def tell(story: Story, examples: Sequence[Mapping[str, str]]) -> None:
    """The chapters.

    Raises:
        Trouble: the base knows an answer already, or the tuned model does not.
    """
    here = ("--project", "@sandbox")
    base = str(SAMPLE / "model")
    story.say("1. The base knows nothing of the shelves.")
    _ask(story, examples[0], "--local", base, known=False)

    story.say("2. Check: every row by line, what the model sees, what it learns. Nothing is spent.")
    story.command("finetune", "check", str(ROWS), "--model", base, "--eval", "0")

    story.say("3. Run: base and rows go to a bucket, a job trains, merges and publishes. Followed to its end.")
    story.command("finetune", "run", str(ROWS), "--model", base, "--name", NAME, *TRAINING, *here, "--yes")
    story.say("   The same command again starts nothing: that run is done.")
    story.command("finetune", "run", str(ROWS), "--model", base, "--name", NAME, *TRAINING, *here, "--yes")

    story.say("4. Deploy what was published, as the last line says.")
    story.command("deploy", _published(story), "--name", NAME, *here, "--yes")

    story.say("5. It answers the new rows, word for word; the base does not.")
    for row in examples:
        _ask(story, row, "--name", NAME, *here, known=True)
    for row in examples[1:]:
        _ask(story, row, "--local", base, known=False)

    story.say("6. Destroy: service and job go, what was trained stays and is named.")
    story.command("destroy", NAME, *here, "--yes")
    story.command("finetune", "destroy", NAME, *here, "--yes")


def _published(story: Story) -> str:
    """Where the run put its model, as `finetune status` says it."""
    told = story.run(("finetune", "status", NAME, "--project", "@sandbox"), quiet=True)
    return str(told.document.get("data", {}).get("published") or "")


def _ask(story: Story, row: Mapping[str, str], *where: str, known: bool) -> None:
    """One row; the answer is held to what was taught.

    Raises:
        Trouble: it is not as told.
    """
    argv = ("generate", row["prompt"], "--type", "text", *where)
    story.voice.say(Line(f"$ gemmactl {' '.join(map(quoted, argv))}"))
    told = story.run(argv, quiet=True)
    story.told.append(told)
    answer = str(told.document.get("data", {}).get("text", ""))
    if story.voice.streams:
        story.voice.data(f"{answer[:100]}\n")
    if told.code or (answer == row["completion"]) != known:
        raise Trouble(
            f"the demo stopped: {row['prompt']} is answered with {answer[:100]!r}",
            why=f"{row['completion']!r} was {'taught' if known else 'not taught'}; exit code {told.code}",
            remedy="run the demo again; if it stays, report it with what is above",
            code="demo-stopped",
        )
