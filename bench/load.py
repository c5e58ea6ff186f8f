"""How fast weights come from Cloud Storage into memory, against the limit and the peers. Knows clients and a table.

    python -m bench.load [--rounds 7] [--only open,capped,...] [--folder FOLDER] [--machine WORDS] [--write docs/bench/load.md]

Every case is a process of its own; the cases of one part run in turns, a round each, and a ratio is taken within a round. Peers
that are not installed are left out and named (bench/requirements.txt has them). Weights lie in memory's file system: 0.5, 2.0 and
7.8 GB, written once. Needs root for runai over TLS, which trusts the system's certificates alone.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench import load_page, load_store, make_weights
from bench.load_store import BUCKET, Store

HERE = Path(__file__).resolve().parent.parent
RUNAI = (
    {"concurrency": 8, "s3_max_connections": 2, "memory_limit": 640 << 20},
    {"concurrency": 16, "s3_max_connections": 1, "memory_limit": 640 << 20},
    {"memory_limit": 640 << 20},
)
"""Settings of runai among which its best is looked for, each with sixteen connections or its own choice of them."""
NEEDS = {
    "obstore": "obstore",
    "runai": "runai_model_streamer_gcs",
    "transfer_manager": "google.cloud.storage",
    "hub_way": "google.cloud.storage",
    "hub_way_token": "google.cloud.storage",
}


@dataclass(frozen=True)
class Case:
    """One client on one port."""

    client: str
    port: str
    model: str = "1b"
    given: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""

    @property
    def name(self) -> str:
        return self.label or self.client


@dataclass
class Row:
    """What the runs of a case gave."""

    seconds: list[float] = field(default_factory=list)
    rate: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    more: dict[str, Any] = field(default_factory=dict)


class Bench:
    def __init__(self, store: Store, data: Path, rounds: int) -> None:
        self._store, self._data, self.rounds = store, data, rounds
        self.parts: dict[str, dict[str, Row]] = {}
        self.left_out: dict[str, str] = {}

    def part(self, name: str, cases: Iterable[Case], rounds: int | None = None) -> dict[str, Row]:
        """Run cases in turns; the order is another one in each round."""
        rows = self.parts.setdefault(name, {})
        cases = [case for case in cases if self._can(case)]
        for number in range(rounds or self.rounds):
            for case in cases[number % len(cases) :] + cases[: number % len(cases)]:
                found = self._run(case)
                if found is None:
                    self.left_out[case.client] = f"failed on {case.port}"
                    continue
                row = rows.setdefault(case.name, Row())
                row.seconds.append(found["seconds"])
                row.rate.append(found["bytes"] / 1e9 / found["seconds"])
                row.cpu.append(found["cpu"] / found["bytes"] * 1e9)
                row.memory.append(found["memory"] / 1e6)
                row.more = {k: v for k, v in found.items() if k not in {"seconds", "bytes", "cpu", "memory"}}
        return rows

    def best_runai(self, port: str) -> Case | None:
        """The fastest of its settings, twice each."""
        if not self._can(Case("runai", port)):
            return None
        found: list[tuple[float, Mapping[str, Any]]] = []
        for given in RUNAI:
            runs = [run for _ in range(2) if (run := self._run(Case("runai", port, given=given))) is not None]
            found += [(max(run["bytes"] / run["seconds"] for run in runs), given)] if runs else []
        return Case("runai", port, given=max(found, key=lambda one: one[0])[1]) if found else None

    def _can(self, case: Case) -> bool:
        if case.client == "gcloud":
            lacking = "" if shutil.which("gcloud") else "gcloud is not installed"
        elif case.client == "runai" and case.port.startswith("tls") and os.geteuid() != 0:
            lacking = "needs root over TLS"
        else:
            needed = NEEDS.get(case.client)
            lacking = "" if needed is None or _installed(needed) else "not installed"
        if lacking:
            self.left_out[case.client] = lacking
        return not lacking

    def _run(self, case: Case) -> dict[str, Any] | None:
        given = {
            "address": self._store.address(case.port), "bundle": str(self._store.bundle), "model": case.model,
            "data": str(self._data), **case.given,
        }  # fmt: skip
        command = [sys.executable, "-m", "bench.load_clients", case.client, json.dumps(given)]
        if case.client == "runai" and case.port.startswith("tls"):
            trust = 'mount --bind "$0" /etc/ssl/certs/ca-certificates.crt; exec "$@"'
            command = ["unshare", "-m", "bash", "-c", trust, str(self._store.bundle), *command]
        process = subprocess.Popen(command, cwd=HERE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        memory = Memory(process.pid)
        assert process.stdout is not None
        last: dict[str, Any] | None = None
        for line in process.stdout:
            if line.startswith("{"):
                message = json.loads(line)
                if message.get("started"):
                    memory.start()
                else:
                    last = message
        errors = process.communicate()[1]
        if last is None:
            print(f"  {case.name} on {case.port} failed: {errors.strip().splitlines()[-1:]}", file=sys.stderr)
            return None
        last["memory"] = memory.stop()
        print(f"  {case.port:11} {case.model:5} {case.name:18} {last['seconds']:6.2f} s  {last['cpu']:5.1f} CPU s  "
              f"{last['memory'] / 1e6:5.0f} MB", file=sys.stderr)  # fmt: skip
        return last


class Memory:
    """The most memory of a process and its children since start(), above what they had then; tmpfs files are memory too."""

    def __init__(self, pid: int) -> None:
        self._pid, self._base, self._peak = pid, 0, 0
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._base = self._now()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        return max(0, self._peak - self._base)

    def _watch(self) -> None:
        while not self._over.wait(0.1):
            self._peak = max(self._peak, self._now())

    def _now(self) -> int:
        usage = os.statvfs("/dev/shm")
        files = (usage.f_blocks - usage.f_bfree) * usage.f_frsize
        # A shared page counts once: Pss divides it among those who map it.
        return sum(self._of(pid) for pid in self._tree(self._pid)) + files

    def _tree(self, pid: int) -> list[int]:
        children: list[int] = []
        for path in Path(f"/proc/{pid}/task").glob("*/children"):
            try:
                children += [int(child) for child in path.read_text().split()]
            except OSError:
                continue
        return [pid, *(each for child in children for each in self._tree(child))]

    @staticmethod
    def _of(pid: int) -> int:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            return 0
        return sum(int(line.split()[1]) << 10 for line in lines if line.startswith(("Pss_Anon:", "Pss_Shmem:")))


def run(bench: Bench, only: set[str]) -> None:
    """Every part that is wanted."""
    for name, port in (("open", "tls"), ("capped", "tls capped")):
        if name in only:
            cases = [Case("raw", port), Case("ours", port), Case("obstore", port)]
            bench.part(name, [*cases, *filter(None, [bench.best_runai(port)])])
    if "open4" in only:
        # the start of a load weighs less in 8 GB
        fair = {"memory_limit": 1400 << 20}
        given = {"raw": {}, "ours": {}, "obstore": {}, "runai": fair}
        bench.part("open4", [Case(client, "tls", "4b", more) for client, more in given.items()])
    if "plain" in only:
        bench.part("plain", [Case("raw", "http"), Case("ours", "http"), Case("obstore", "http")])
    if "copies" in only:
        bench.part(
            "copies", [Case("ours", "tls"), Case("transfer_manager", "tls"), Case("gcloud", "tls"), Case("local_copy", "tls")]
        )
    if "memory" in only:
        for model in ("1b", "4b"):
            fair = {"memory_limit": 640 << 20} if model == "1b" else {"memory_limit": 1400 << 20}
            cases = [Case("ours", "tls", model, label=f"ours {model}"), Case("runai", "tls", model, fair, label=f"runai {model}")]
            bench.part("memory", cases, rounds=2)
    if "faults" in only:
        bench.part("faults", [Case("ours", "tls no faults", label="no faults"), Case("ours", "tls faults", label="faults")])
    if "start" in only:
        named = {"imports": "imports", "ours": "download", "ready": "ready"}
        bench.part("start", [Case(client, "tls slow", "270m", label=label) for client, label in named.items()])
        threads = {"reader": "threads"}
        bench.part(
            "start", [Case("ready", "tls slow", "270m", threads, label="ready, read by threads of the same process")], rounds=2
        )
    if "sizes" in only:
        for model in ("270m", "1b", "4b"):
            cases = [
                Case("ready", "tls capped", model, label=f"ours {model}"),
                Case("hub_way", "tls capped", model, label=f"copy {model}"),
            ]
            bench.part("sizes", cases, rounds=2)


PARTS = ("open", "open4", "capped", "plain", "copies", "memory", "faults", "start", "sizes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm/gemmactl-load"))
    parser.add_argument("--keep", type=Path, help="add the figures to this JSON file, and make the page of all that are in it")
    parser.add_argument("--write", type=Path, help="the page; its plot lies beside it")
    parser.add_argument("--machine", default="", help="what the page says of the machine, after Python and cores")
    given = parser.parse_args()
    if lacking := load_store.missing():
        raise SystemExit(f"the store needs: {lacking}")
    data = given.folder / "data"
    only = set(given.only.split(","))
    for size in ("270m", "1b", "4b"):
        if not (data / BUCKET / size / "tokenizer.json").exists() and (size != "4b" or only & {"memory", "sizes", "open4"}):
            print(f"  writing {size}", file=sys.stderr)
            make_weights.write(data / BUCKET / size, size, {"270m": 1, "1b": 10, "4b": 2}[size])
    # as the image does: a process that starts compiles nothing
    subprocess.run([sys.executable, "-m", "compileall", "-q", "inference_image"], cwd=HERE, check=True)
    with load_store.running(data, given.folder / "run") as store:
        bench = Bench(store, data, given.rounds)
        run(bench, only)
    parts = {name: {case: vars(row) for case, row in rows.items()} for name, rows in bench.parts.items()}
    left_out, machines = dict(bench.left_out), dict.fromkeys(parts, machine(given.machine))
    if given.keep and given.keep.exists():
        before = json.loads(given.keep.read_text())
        parts, left_out = {**before["parts"], **parts}, {**before["left_out"], **left_out}
        machines = {**before.get("machines", {}), **machines}
    if given.keep:
        given.keep.write_text(json.dumps({"parts": parts, "left_out": left_out, "machines": machines}))
    page = load_page.page(parts, left_out, machines, time.strftime("%Y-%m-%d"))
    print(page)
    if given.write:
        given.write.write_text(page, encoding="utf-8")
        if "sizes" in parts:
            given.write.with_suffix(".svg").write_text(load_page.plot(parts["sizes"]), encoding="utf-8")


def _installed(name: str) -> bool:
    with suppress(ModuleNotFoundError):  # of a package around it
        return find_spec(name) is not None
    return False


def machine(words: str = "") -> str:
    """What the page says of where it was measured; taskset counts."""
    cores = len(os.sched_getaffinity(0))
    told = f"Python {platform.python_version()}, {' '.join(ssl.OPENSSL_VERSION.split()[:2])} on Linux {platform.machine()}, "
    told += f"{cores} cores shared by server and client"
    return f"{told}; {words}" if words else told


if __name__ == "__main__":
    main()
