"""`finetune run --local`: the job's own worker on this machine, in a process of its own, followed as in the cloud."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, Final, cast

from finetune_image.contract import CANCELLED, DONE, ENV_DEVICE, ENV_RUN, FAILED, METRICS, RUN_FILE, RUNS
from finetune_image.run import Run
from finetune_image.store import ABSENT, Clash, Folder
from gemmactl import __version__
from gemmactl.errors import Exit, Trouble, refused
from gemmactl.kernel.resource import Clock
from gemmactl.local.model import quiet
from gemmactl.local.shelf import Library, Shelf
from gemmactl.resources.cloud import Cloud
from gemmactl.result import Block, Facts, Line, Result
from gemmactl.serving.evidence import clean
from gemmactl.serving.looking import folders
from gemmactl.tune import ending, fits, runs
from gemmactl.tune.data_source import Places
from gemmactl.tune.data_upload import Prepared, PreparedData
from gemmactl.tune.follow import follow
from gemmactl.tune.material import Material, cautions, look_through
from gemmactl.tune.prepare import LIBRARIES, chosen
from gemmactl.tune.published import places
from gemmactl.tune.told import Told, told
from gemmactl.tune.wishes import Local, here
from gemmactl.voice import Voice

VERB: Final = "finetune run"
NEEDED: Final = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "matplotlib", "crc32c")
GPU: Final = Path("/dev/nvidiactl")
"""There where a driver is; without one the default build of torch must be told to use the CPU."""
GRACE: Final = 120.0
"""Seconds that the worker gets to save."""


def run(flags: Mapping[str, Any], voice: Voice, environ: Mapping[str, str], folder: Path) -> Result:
    """Train here, publish into the directory that stands for the bucket.

    Raises:
        Trouble: (usage) a wish that can't be; (refused) the extra `finetune` is missing, base or data can't be used; it failed.
    """
    asked = here(flags, folder)
    voice.aim("local")
    require()
    cloud = folders(environ.get("GOOGLE_CLOUD_PROJECT", ""))
    found = look_through(asked.wish, asked.model, Places(cloud.cloud, folder), cloud)
    data = found.data
    made = document(asked, found, again=bool(flags.get("again")))
    tuned = _read(made)
    if tuned.done is not None:
        voice.say(Line(f"run {_slug(made)} is done already; --again trains it once more", "good"))
        return _done(made, tuned)
    if flags.get("dry_run"):
        return Result(VERB, _document(made, data), (*_blocks(made, found), Line("a dry run: nothing was changed", "good")),
                      target="local")  # fmt: skip
    voice.show(*_blocks(made, found))
    lay_out(made, data)
    worker = Worker(made, environ)
    worker.start()
    follow(worker, voice, Clock())
    return _ended(made, worker)


def require() -> None:
    """Whether the packages of the extra `finetune` are there.

    Raises:
        Trouble: (refused) they are not; names the pip command.
    """
    wanted = (*NEEDED, *(("bitsandbytes",) if sys.platform == "linux" else ()))
    if missing := [name for name in wanted if find_spec(name) is None]:
        raise refused(
            "this installation can't train",
            why=f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed: the base installation stays small",
            remedy="pip install 'gemmactl[finetune]'; or train on a Cloud Run GPU job: leave --local out",
            code="finetune-extra-missing",
        )


def document(asked: Local, found: Material, *, again: bool) -> Run:
    """The run of a wish on this machine, the same for the same wish, data, base and libraries."""
    base, data = found.base, found.data
    wish = replace(asked.wish, model=base.model.uri)
    used = " ".join(f"{name}=={one}" for name in LIBRARIES if (one := _version(name)))
    identity, bucket = wish.identity(base.fingerprint, found.sha256, used), str(asked.bucket.resolve())

    def taken(run_id: str) -> bool:
        return again and (Path(bucket) / RUNS / wish.name / run_id / DONE).is_file()

    return Run(
        chosen(identity, wish, taken),
        identity,
        wish,
        bucket,
        data.train.file(bucket),
        data.eval.file(bucket) if data.eval else None,
        base.fingerprint,
        base.pins,
        used,
        f"gemmactl {__version__}",
    )


def lay_out(made: Run, data: PreparedData) -> None:
    """Data and RUN_FILE where the worker looks for them. A run that stood still may go on: whoever starts it here wants it to."""
    for one in (data.train, *((data.eval,) if data.eval else ())):
        _put(made, one)
    place = _folder(made)
    place.write(RUN_FILE, made.text().encode())
    for mark in (FAILED, CANCELLED):
        place.delete(mark)


@dataclass
class Worker:
    """The process that trains, as something to follow."""

    made: Run
    environ: Mapping[str, str]
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def address(self) -> str:
        return f"run {_slug(self.made)}"

    @property
    def log(self) -> Path:
        """What it writes beside its metrics."""
        return Path(f"{_folder(self.made).uri}.log")

    @property
    def detached(self) -> Trouble:
        """Ctrl-C ends what runs here: it saves first."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(GRACE)
            except subprocess.TimeoutExpired:
                self.process.kill()
        return Trouble(
            f"{self.address} was stopped",
            why="Ctrl-C; what was trained is saved",
            remedy="run the same command again: it goes on from the last checkpoint",
            code="interrupted",
            exit=Exit.INTERRUPTED,
        )

    def start(self) -> None:
        """In a session of its own: Ctrl-C at the terminal is for this process, which then asks the worker to save."""
        env = {**quiet(self.environ), ENV_RUN: _folder(self.made).uri}
        if not GPU.exists():
            env.setdefault(ENV_DEVICE, "cpu")
        env["PYTHONPATH"] = os.pathsep.join(filter(None, (str(Path(__file__).parents[2]), env.get("PYTHONPATH", ""))))
        with self.log.open("ab") as log:
            self.process = _started(env, log)

    def told(self) -> Told:
        return told(_folder(self.made).read(METRICS))

    def over(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def again(self, now: Told) -> str:
        return ""


def _started(env: Mapping[str, str], log: IO[bytes]) -> subprocess.Popen[bytes]:
    line = [sys.executable, "-P", "-m", "finetune_image"]
    return subprocess.Popen(
        line, env=dict(env), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
    )


def _put(made: Run, one: Prepared) -> None:
    try:
        Folder(Path(made.bucket)).write(one.object, one.content, only_if=ABSENT)
    except Clash:
        return  # its name is its content


def _folder(made: Run) -> Folder:
    return Folder(Path(made.bucket) / RUNS / made.wish.name / made.run_id)


def _slug(made: Run) -> str:
    return f"{made.wish.name}/{made.run_id}"


def _read(made: Run) -> runs.Tuned:
    bucket = Path(made.bucket)
    shelf = cast("Cloud", Library(Shelf(bucket.parent)))  # reading a run asks for nothing else of a cloud
    return runs.read(shelf, bucket.name, made.wish.name, made.run_id)


def _blocks(made: Run, found: Material) -> tuple[Block, ...]:
    base, data, split = found.base, found.data, found.data.split
    mode = fits.quantized(made.wish, base.parameters) if base.parameters else made.wish.quantize
    held = "4 bits (NF4)" if mode == "nf4" else "bfloat16" if GPU.exists() else "float32"
    epochs = f"{made.wish.train.epochs:g} epoch{'s' * (made.wish.train.epochs != 1)}"
    rows = (
        ("base", base.text),
        ("data", f"{data.train.source.origin}: {len(split.train):,} rows, {len(split.eval):,} held out"),
        ("training", f"{epochs}, {found.lengths.tokens:,} tokens each, base in {held}"),
        ("here", "GPU" if GPU.exists() else "CPU: a model of a billion parameters or more takes days"),
        *((f"new {kind}", at) for kind, at in places(made.bucket, made.wish.name, made.run_id, made.wish.output).items()),
    )
    return (Facts(rows, f"fine-tune {_slug(made)} on this machine"), *cautions(found))


def _document(made: Run, data: PreparedData) -> dict[str, Any]:
    split = data.split
    return {
        "name": made.wish.name,
        "run": made.run_id,
        "uri": _folder(made).uri,
        "rows": len(split.train),
        "held_out": len(split.eval),
    }


def _done(made: Run, tuned: runs.Tuned) -> Result:
    data = {"name": made.wish.name, "run": made.run_id, "uri": _folder(made).uri, **ending.document(tuned)}
    model = places(made.bucket, made.wish.name, made.run_id)["model"]
    follow_up: tuple[str, ...] = ()
    if made.wish.output.merged:
        quoted = shlex.quote(model)
        follow_up = (f"gemmactl serve {quoted}", f"gemmactl deploy {quoted} --name {made.wish.name} --project PROJECT_ID")
    return Result(VERB, {**data, "model": model}, ending.blocks(tuned, made.bucket), follow_up, "local")


def _ended(made: Run, worker: Worker) -> Result:
    tuned = _read(made)
    if tuned.done is not None:
        return _done(made, tuned)
    facts = {"run": made.run_id, "name": made.wish.name, "log": str(worker.log)}
    if tuned.failure is not None:
        raise ending.failed(tuned, tuned.failure, Exit.FAILURE, "" if tuned.spent else "then run the same command again", facts)
    code = worker.process.returncode if worker.process else None
    said = clean(tuned.attempts[-1].error) if tuned.attempts else ""
    raise Trouble(
        f"run {_slug(made)} ended without a result",
        why=f"its process ended with {code}{f' ({said})' if said else ''}; what it wrote is in {worker.log}",
        remedy="run the same command again: it goes on from the last checkpoint",
        code="run-stopped",
        facts=facts,
    )


def _version(name: str) -> str:
    try:
        return version(name).partition("+")[0]
    except PackageNotFoundError:
        return ""
