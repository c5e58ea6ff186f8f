"""`gemmactl regions` on the cloud in memory, and once with the official clients before the sandbox."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gemmactl.errors import Exit, Trouble
from gemmactl.gcp.cloud import connect
from gemmactl.resources.cloud import BucketInfo
from gemmactl.resources.quota import CPU, GPU, MEMORY
from gemmactl.result import Result
from gemmactl.sandbox.assembly import assemble
from gemmactl.sandbox.endpoint import Endpoint
from gemmactl.sandbox.server import Server
from gemmactl.sandbox.world import World
from gemmactl.serving.offers import Wanted
from gemmactl.serving.place import Place
from gemmactl.serving.regions import Question, asked, regions
from gemmactl.settings import Value
from gemmactl.spec import parse_model
from gemmactl.ui.layout import lay
from tests.fakes.cloud import FakeCloud
from tests.fakes.refusal import refusal
from tests.serving.ear import SAMPLE, place, settings

L4 = GPU["nvidia-l4"][0]
MODEL = parse_model("gs://weights/m")


def project(*, bucket: str = "europe-west4") -> FakeCloud:
    """APIs that are enforced, the weights' bucket, and room for one L4 in each region."""
    cloud = FakeCloud(enforce_apis=True)
    cloud.state.apis |= {f"{name}.googleapis.com" for name in ("run", "storage", "cloudquotas")}
    cloud.state.buckets["weights"] = BucketInfo("weights", bucket)
    return cloud


def holding(cloud: FakeCloud) -> FakeCloud:
    """The sample model in the weights' bucket, where MODEL says."""
    for path in SAMPLE.iterdir():
        cloud.storage.write("weights", f"{MODEL.prefix}/{path.name}", path)
    return cloud


def service(cloud: FakeCloud, region: str, name: str, **scaling: int) -> None:
    full = f"projects/{cloud.project}/locations/{region}/services/{name}"
    limits = {"cpu": "8", "memory": "16Gi", "nvidia.com/gpu": "1"}
    cloud.state.services[full] = {
        "name": full,
        "template": {
            "scaling": scaling,
            "nodeSelector": {"accelerator": "nvidia-l4"},
            "gpuZonalRedundancyDisabled": True,
            "containers": [{"resources": {"limits": limits}}],
        },
    }


def denies(call: str, permission: str = "", **facts: Any) -> Callable[[str], None]:
    def refuse(name: str) -> None:
        if name == call:
            more = {"permission": permission} if permission else {}
            raise refusal(403, f"Permission '{permission}' denied", **more, **facts)

    return refuse


def rows(result: Result, room: str) -> list[str]:
    return [o["region"] for o in result.data["offers"] if o["room"] == room]


def screen(result: Result, width: int = 80) -> str:
    return "\n".join(line.text for line in lay(result.blocks, width))


def test_only_what_can_be_used_is_shown_best_first() -> None:
    """The bucket's region first; an RTX, for which memory is missing, is not shown; only read calls are made."""
    cloud = project()
    result = regions(place(cloud), Question(MODEL))
    text = screen(result)
    assert result.exit is Exit.OK
    assert rows(result, "free")[0] == "europe-west4"
    assert "same region" in text
    assert "RTX PRO 6000  " not in text
    assert "4 without room are not shown" in text
    assert "https://g.co/cloudrun/gpu-quota" in text
    assert "console.cloud.google.com/iam-admin/quotas?project=demo-proj" in text
    assert result.next == ("gemmactl deploy gs://weights/m --region europe-west4 --gpu-type nvidia-l4 --project demo-proj",)
    assert cloud.writes == []


def test_the_screen_fits_80_columns() -> None:
    """Every row of the widest table is one line of at most 80 columns."""
    cloud = project()
    service(cloud, "us-central1", "gemma", maxInstanceCount=3)
    lines = screen(regions(place(cloud), Question(MODEL, everything=True)), 1000).splitlines()
    table = [line for line in lines if line.startswith(("REGION", "us-", "europe-", "asia-"))]
    assert len(table) > 10
    assert max(map(len, table)) <= 80


def test_the_machine_hears_everything() -> None:
    """Limits, claims and what is left for every region and GPU, price with its certainty, distance, the links."""
    cloud = project()
    service(cloud, "europe-west4", "gemma", minInstanceCount=1, maxInstanceCount=2)
    data = regions(place(cloud), Question(MODEL)).data
    assert len(data["offers"]) == 10
    (offer,) = (o for o in data["offers"] if (o["region"], o["gpu_type"]) == ("europe-west4", "nvidia-l4"))
    own = offer["quotas"][L4]
    assert (own["limit"], own["held"], own["claimed"], own["left"], own["services"]) == (3, 1, 2, 1, ["gemma"])
    assert offer["quotas"][MEMORY]["left"] == 8 * 2**30
    assert offer["quotas"][CPU]["left"] == 4
    assert (offer["usd_per_hour"], offer["price_certainty"]) == (1.4209, "tier")
    assert offer["distance"] == {"nearness": "same", "km": 0}
    assert data["bucket"] == {"name": "weights", "location": "europe-west4", "pair": []}
    assert data["ask"]["gpu"].startswith("https://g.co/")


def test_services_that_may_scale_up_are_named() -> None:
    """Their region is told apart, after those with room, with who may take what."""
    cloud = project()
    service(cloud, "europe-west4", "gemma", maxInstanceCount=3)
    result = regions(place(cloud), Question(MODEL))
    assert rows(result, "shared") == ["europe-west4"]
    assert "gemma may take 3 of 3" in screen(result, 200)
    assert "--region europe-west1" in result.next[0]


@pytest.mark.parametrize(
    ("refuse", "why", "remedy"),
    [
        (
            denies("quotas.limits", reason="SERVICE_DISABLED"),
            "is not enabled in project demo-proj",
            "gemmactl regions gs://weights/m --enable-api --project demo-proj",
        ),
        (
            denies("quotas.limits", "cloudquotas.quotas.get"),
            "user:you@sandbox.invalid lacks cloudquotas.quotas.get",
            "--member=user:you@sandbox.invalid --role=roles/cloudquotas.viewer",
        ),
        (denies("quotas.limits", reason="USER_PROJECT_DENIED"), "denied", "test"),
    ],
)
def test_limits_that_can_not_be_read(refuse: Callable[[str], None], why: str, remedy: str) -> None:
    """No row is called usable; the reason and the one line that cures it are the verb's problem; exit 6."""
    cloud = project()
    cloud.before_call = refuse
    result = regions(place(cloud), Question(MODEL))
    assert (result.exit, result.next) == (Exit.FOUND, ())
    assert {o["room"] for o in result.data["offers"]} == {"unknown"}
    (problem,) = result.problems
    assert problem.code == "quotas-unknown"
    assert why in problem.why
    assert remedy in problem.remedy
    assert "not known whether there is room" in screen(result)
    assert result.data["unknown"]["quotas"]["code"] == "quotas-unknown"


def test_the_api_is_enabled_on_request_alone() -> None:
    """--enable-api is the one write, and what was unknown is known after it."""
    cloud = project()
    cloud.state.apis.discard("cloudquotas.googleapis.com")
    assert regions(place(cloud), Question()).exit is Exit.FOUND
    assert cloud.writes == []
    assert regions(place(cloud), Question(enable_api=True)).exit is Exit.OK
    assert [call.name for call in cloud.writes] == ["apis.enable"]


def test_a_bucket_nobody_may_look_at() -> None:
    """Distances are unknown, with the role that shows them; the rest is told."""
    cloud = project()
    cloud.before_call = denies("storage.bucket", "storage.buckets.get")
    result = regions(place(cloud), Question(MODEL))
    assert result.exit is Exit.OK
    assert "roles/storage.bucketViewer" in screen(result)
    assert {o["distance"] for o in result.data["offers"]} == {None}
    missing = regions(place(project()), Question(parse_model("gs://elsewhere/m")))
    assert "where bucket elsewhere is: unknown" in screen(missing)


def test_regions_nobody_may_look_into() -> None:
    """What runs is unknown: only a limit below the need is told for sure, one note names the role, exit 6."""
    cloud = project()
    cloud.before_call = denies("run.list", "run.services.list")
    result = regions(place(cloud), Question(MODEL))
    assert result.exit is Exit.FOUND
    assert len(rows(result, "unknown")) == 6
    assert len(rows(result, "none")) == 4
    assert screen(result).count("roles/run.viewer") == 1
    assert result.problems[0].code == "room-unknown"


def test_a_project_without_cloud_run_runs_nothing() -> None:
    """While the Run API is off there are no services to subtract."""
    cloud = project()
    cloud.state.apis.discard("run.googleapis.com")
    assert regions(place(cloud), Question(MODEL)).exit is Exit.OK


def test_no_quota_anywhere() -> None:
    """Exit 6 with how a first grant comes, and where to ask; --all shows each row's reason."""
    cloud = project()
    cloud.state.limits = {key: 0.0 if "GpuAlloc" in key[0] else value for key, value in cloud.state.limits.items()}
    result = regions(place(cloud), Question(MODEL, everything=True))
    assert result.exit is Exit.FOUND
    assert result.problems[0].code == "no-room"
    assert "the first GPU deployment of a region is given 3" in result.problems[0].remedy
    assert "https://g.co/cloudrun/gpu-quota" in result.problems[0].remedy
    assert "no GPU quota" in screen(result)


def test_a_broken_network_is_told_as_such() -> None:
    """What stops every call is the verb's failure, not an unknown row."""
    cloud = project()

    def broken(name: str) -> None:
        if name == "quotas.limits":
            raise Trouble("no network", why="", remedy="", code="network")

    cloud.before_call = broken
    with pytest.raises(Trouble, match="no network"):
        regions(place(cloud), Question(MODEL))


def test_the_models_own_size_decides() -> None:
    """What a deploy would derive is what must fit and what is priced; the command derives it again, so it is not typed on."""
    result = regions(place(holding(project())), Question(MODEL, Wanted(gpus=("nvidia-l4",))))
    assert result.data["offers"][0]["instances"] == 2
    assert "--cpu" not in result.next[0]
    assert "size of the model" not in str(result.blocks)


def test_a_model_that_can_not_be_looked_at_is_told_and_defaults_are_used() -> None:
    """Nothing lies at that place: the offers are for the default size, and the reason stands on the screen."""
    result = regions(place(project()), Question(MODEL, Wanted(gpus=("nvidia-l4",))))
    assert "size of the model" in str(result.blocks)
    assert result.data["offers"][0]["instances"] == 1


@pytest.mark.parametrize(
    ("flags", "code"),
    [({"gpu_type": "nvidia-t4"}, "gpu-unknown"), ({"region": "mars"}, "region-unknown"), ({"model": "s3://x"}, "model-uri")],
)
def test_what_can_not_be_asked(tmp_path: Path, flags: dict[str, str], code: str) -> None:
    """A GPU, region or model that can't be: exit 2 before any call."""
    with pytest.raises(Trouble) as caught:
        asked(settings(tmp_path), flags)
    assert (caught.value.exit, caught.value.code) == (Exit.USAGE, code)


def test_what_is_asked(tmp_path: Path) -> None:
    """Flags go before gemmactl.yaml; a configured region is a habit, --region a wish."""
    (tmp_path / "gemmactl.yaml").write_text("model: gs://weights/m\nregion: europe-west1\ngpu-type: nvidia-l4\n")
    question = asked(settings(tmp_path), {})
    assert question.model == MODEL
    assert (question.wanted.gpus, question.wanted.first, question.wanted.near) == (("nvidia-l4",), "", "europe-west1")
    question = asked(settings(tmp_path), {"region": "us-east4", "gpu_type": "nvidia-rtx-pro-6000", "everything": True})
    assert (question.wanted.gpus, question.wanted.first, question.everything) == (("nvidia-rtx-pro-6000",), "us-east4", True)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = assemble(World(tmp_path / "home"))
    server = Server(made)
    server.start()
    yield made
    server.shutdown()
    server.server_close()
    made.close()


def test_with_the_official_clients(world: World) -> None:
    """Disabled, then denied, then told: the same flow over the wire, against the limits that the sandbox enforces."""

    def here(caller: str) -> Place:
        endpoint = Endpoint(world.base_url, world.project, world.number, caller, world.secret)
        return Place(Value("@sandbox", "--project"), Value("us-central1", "default"), "sandbox", connect(world.project, endpoint))

    owner, guest = here("you@sandbox.invalid"), here("guest@example.com")
    owner.cloud.storage.create_bucket(BucketInfo("weights-on-the-wire", "europe-west4"))
    question = Question(parse_model("gs://weights-on-the-wire/m"))
    off = regions(owner, question)
    assert (off.exit, off.problems[0].facts["cause"]) == (Exit.FOUND, "api-disabled")
    told = regions(owner, Question(question.model, enable_api=True))
    assert told.exit is Exit.OK
    assert rows(told, "free")[:2] == ["europe-west4", "europe-west1"]
    denied = regions(guest, question)
    assert "guest@example.com lacks cloudquotas.quotas.get" in denied.problems[0].why
    assert "roles/storage.bucketViewer" in screen(denied)
