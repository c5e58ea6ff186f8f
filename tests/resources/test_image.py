"""The image: built once for one content, joined when under way, explained when it fails; and its build context."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from gemmactl.errors import Trouble
from gemmactl.kernel.events import Event, Log
from gemmactl.kernel.resource import Work
from gemmactl.resources.build_log import Lines
from gemmactl.resources.cloud import BucketInfo, BuildInfo, LogEntry
from gemmactl.resources.context import BuildContext, stage
from gemmactl.resources.image import Image
from tests.fakes.cloud import FakeCloud, Logs, refusal
from tests.resources.wishes import CONTEXT, quick, work

TAG = "us-central1-docker.pkg.dev/demo-proj/gemmactl/serve:0123456789abcdef"
ACCOUNT = "gemmactl-build@demo-proj.iam.gserviceaccount.com"
IMAGE = Image("demo-proj", "us-central1", TAG, "inference_image/Dockerfile", "b", ACCOUNT, CONTEXT)


@pytest.fixture
def cloud() -> FakeCloud:
    made = FakeCloud()
    made.state.buckets["b"] = BucketInfo("b", "us-central1")
    return made


def names(cloud: FakeCloud) -> list[str]:
    return [c.name for c in cloud.writes]


def test_a_build_is_uploaded_started_and_followed(cloud: FakeCloud) -> None:
    """The context goes up under its hash, the build runs, its log lines are told once each."""
    cloud.build = BuildInfo("", "QUEUED")
    cloud.state.logs = [('build_id="build-1"', LogEntry("2026-01-01T00:00:00Z", "INFO", f"line {i}", f"id{i}")) for i in range(2)]
    seen: list[Event] = []
    IMAGE.create(cloud, Work("image", seen.append, quick()))
    assert names(cloud) == ["storage.write", "builds.start"]
    assert [e.text for e in seen if isinstance(e, Log)] == ["line 0", "line 1"]
    assert IMAGE.read(cloud) is not None


def test_an_uploaded_context_is_not_sent_again(cloud: FakeCloud) -> None:
    """The object's name is the content's hash, so it is there or not."""
    cloud.storage.write("b", "source/0123456789abcdef.tgz", b"x")
    cloud.calls.clear()
    IMAGE.create(cloud, work())
    assert names(cloud) == ["builds.start"]


def test_a_running_build_is_joined(cloud: FakeCloud) -> None:
    """A second run finds the build that the first one left under way, and starts none."""
    cloud.build = BuildInfo("", "WORKING")
    cloud.storage.write("b", "source/0123456789abcdef.tgz", b"x")
    cloud.builds.start("us-central1", IMAGE.body(1))
    cloud.calls.clear()
    IMAGE.create(cloud, work())
    assert names(cloud) == []
    assert IMAGE.read(cloud) is not None


def test_a_build_takes_the_layers_of_the_one_before(cloud: FakeCloud) -> None:
    """A machine of Cloud Build begins with nothing: torch's layer comes from the newest image, which this one then is."""
    cloud.build = BuildInfo("", "SUCCESS")
    IMAGE.create(cloud, work())
    ((body, _),) = cloud.state.builds.values()
    (step,) = body["steps"]
    cache = TAG.rpartition(":")[0] + ":cache"
    assert step["args"][step["args"].index("--cache-from") + 1] == cache
    assert "BUILDKIT_INLINE_CACHE=1" in step["args"]
    assert step["env"] == ["DOCKER_BUILDKIT=1"]
    assert body["images"] == [TAG, cache]


def test_a_line_that_comes_in_late_is_told(cloud: FakeCloud) -> None:
    """What is a few seconds older than the newest line is read again; each line once."""

    class Timed(Logs):
        def entries(self, query: str, *, newest: bool = False, limit: int = 100) -> tuple[LogEntry, ...]:
            start = query.partition('timestamp>="')[2].partition('"')[0]
            return tuple(e for _, e in self.cloud.state.logs if e.timestamp >= start)

    cloud.logs = Timed(cloud)
    lines = Lines("demo-proj", "build-1")
    for second, text in ((20, "b"), (15, "late"), (5, "older than any look")):
        cloud.state.logs.append(("", LogEntry(f"2026-01-01T00:00:{second:02}Z", "INFO", text, text)))
        if text == "b":
            assert lines.fresh(cloud) == ("b",)
    assert lines.fresh(cloud) == ("late",)
    assert lines.fresh(cloud) == ()


def test_a_failed_build_brings_its_log(cloud: FakeCloud) -> None:
    """The Trouble carries status, failure type, warnings and the last log lines; a denied push counts as denied."""
    cloud.build = BuildInfo("", "FAILURE", "push failed", "PUSH_NOT_AUTHORIZED", None, "https://log", ("cannot write logs",))
    cloud.state.logs = [("build-1", LogEntry("t", "INFO", 'denied: Permission "x" denied', "1"))]
    with pytest.raises(Trouble) as failed:
        IMAGE.create(cloud, work())
    facts = failed.value.facts
    assert (facts["failure_type"], facts["build_status"], facts["denied"]) == ("PUSH_NOT_AUTHORIZED", "FAILURE", True)
    assert facts["logs"] == ['denied: Permission "x" denied']
    assert "cannot write logs" in facts["message"]


def test_a_compile_error_is_not_a_denial(cloud: FakeCloud) -> None:
    """A failure that no grant can cure is not tried again."""
    cloud.build = BuildInfo("", "FAILURE", "", "USER_BUILD_STEP")
    with pytest.raises(Trouble) as failed:
        IMAGE.create(cloud, work())
    assert failed.value.facts["denied"] is False


def test_a_source_that_the_build_account_may_not_read_is_a_denial(cloud: FakeCloud) -> None:
    """Cloud Build says 400 then, with the 403 in its text: it counts as denied, so a fresh grant is waited for."""
    text = "could not resolve source: googleapi: Error 403: x does not have storage.objects.get access, forbidden"

    def refuse(name: str) -> None:
        if name == "builds.start":
            raise refusal(400, text)

    cloud.before_call = refuse
    with pytest.raises(Trouble) as failed:
        IMAGE.create(cloud, work())
    assert failed.value.facts["denied"] is True


# both texts are Cloud Build's own, from public reports
NO_QUOTA = "failed precondition: due to quota restrictions, cannot run builds"


@pytest.mark.parametrize("refusals", [1, 2, 3, 4])
@pytest.mark.parametrize("text", [f"{NO_QUOTA} in this region", f"{NO_QUOTA} of this machine type in this region, see https://x"])
def test_a_project_without_build_quota_tries_elsewhere(cloud: FakeCloud, text: str, refusals: int) -> None:
    """New and trial projects: the big machine in the global pool, then the default machine; the last refusal is told.

    Before a build leaves the region the log says so, and the plan that it may.
    """
    left = [refusals]

    def refuse(name: str) -> None:
        if name == "builds.start" and left[0]:
            left[0] -= 1
            raise refusal(400, text)

    cloud.before_call = refuse
    if refusals == 4:
        with pytest.raises(Trouble, match="due to quota"):
            IMAGE.create(cloud, work())
        return
    told: list[Event] = []
    IMAGE.create(cloud, Work("test", events=told.append, clock=quick()))
    assert IMAGE.read(cloud) is not None
    ((body, _),) = cloud.state.builds.values()
    assert body["options"].get("machineType") == ("E2_HIGHCPU_8" if refusals == 1 else None)
    first = next(one.text for one in told if isinstance(one, Log))
    assert first.startswith("us-central1 runs no builds on E2_HIGHCPU_8 for this project: building in global on E2_HIGHCPU_8")
    assert "the image goes to the repository in us-central1 all the same" in first
    assert "Cloud Build's global region" in IMAGE.remark


def test_a_log_that_cannot_be_read_does_not_stop_the_build(cloud: FakeCloud) -> None:
    """The caller may lack the right to read logs: the build goes on, silently."""

    def refuse(name: str) -> None:
        if name == "logs.entries":
            raise refusal(403, "no")

    cloud.before_call = refuse
    IMAGE.create(cloud, work())
    assert IMAGE.read(cloud) is not None


# --- the context -----------------------------------------------------------------------------------


def package(folder: Path, name: str, files: dict[str, str]) -> None:
    for path, text in files.items():
        place = folder / name / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)


def staged(folder: Path, *packages: str) -> str:
    """Digest and file names as another interpreter sees them, with `folder` on its path; and whether it imported anything."""
    code = (
        "import sys; from gemmactl.resources.context import stage; c = stage(sys.argv[1:]);"
        "print(c.digest, [p for p, _ in c.files], [n for n in sys.argv[1:] if n in sys.modules])"
    )
    path = f"{folder}:{Path(__file__).parents[2]}"
    done = subprocess.run([sys.executable, "-c", code, *packages], env={"PYTHONPATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_package_is_staged_without_importing_it(tmp_path: Path) -> None:
    """Sources, Dockerfile and data go in; caches, hidden files and compiled modules don't; nothing of it runs."""
    files = {"__init__.py": "raise SystemExit", "Dockerfile": "FROM x", "sub/data.txt": "1", ".env": "k", "__pycache__/a.pyc": ""}
    package(tmp_path, "an_image", files)
    text = staged(tmp_path, "an_image")
    assert text.endswith("['an_image/Dockerfile', 'an_image/__init__.py', 'an_image/sub/data.txt'] []")


def test_the_digest_follows_names_and_contents_only(tmp_path: Path) -> None:
    """Another folder and another time give the same digest; another byte or name gives another."""
    texts = []
    for number, files in enumerate([{"a.py": "1"}, {"a.py": "1"}, {"a.py": "2"}, {"b.py": "1"}]):
        package(tmp_path / str(number), "an_image", {"__init__.py": "", **files})
        texts.append(staged(tmp_path / str(number), "an_image").split()[0])
    assert texts[0] == texts[1]
    assert len(set(texts)) == 3


def test_the_archive_is_the_same_every_time_and_unpacks() -> None:
    """No time and no owner in it: equal trees give equal bytes."""
    context = BuildContext((("p/a.txt", b"1"), ("p/b/c.txt", b"22")), "0" * 64)
    assert context.archive() == context.archive()
    with tarfile.open(fileobj=io.BytesIO(context.archive())) as tar:
        got = [(m.name, m.mode, m.mtime, m.uname) for m in tar.getmembers()]
    assert got == [("p/a.txt", 0o644, 0, "root"), ("p/b/c.txt", 0o644, 0, "root")]


def test_the_serving_context_holds_what_its_dockerfile_copies(tmp_path: Path) -> None:
    """The package that is shipped carries Dockerfile, requirements and the server."""
    context = stage(("inference_image",))
    names = {p for p, _ in context.files}
    assert {"inference_image/Dockerfile", "inference_image/requirements.txt", "inference_image/contract.py"} <= names
    context.write_to(tmp_path)
    assert (tmp_path / "inference_image/contract.py").is_file()


def test_a_package_that_is_not_there_is_named() -> None:
    """A broken installation says which package it lacks."""
    with pytest.raises(Trouble) as missing:
        stage(("no_such_image",))
    assert "no_such_image" in missing.value.what
