"""Settings, the timeline and the contract's values."""

from __future__ import annotations

import json

import pytest

from inference_image.contract import Code, LoadFailed, LoadFailure
from inference_image.settings import Settings
from inference_image.timeline import Loaded, Timeline


def test_defaults_are_those_of_the_contract() -> None:
    """Only the model must be named."""
    settings = Settings.from_environ({"GEMMACTL_MODEL": "gs://b/models/my-gemma/"})
    assert (settings.port, settings.host, settings.connections, settings.chunk) == (8080, "0.0.0.0", 16, 8 << 20)
    assert (settings.device, settings.dtype, settings.max_queue, settings.max_context) == ("auto", "auto", 32, None)
    assert settings.model_name == "my-gemma"


def test_every_knob_of_the_loader_has_its_variable() -> None:
    """What the loader decides by itself can be decided for it."""
    chosen = {
        "GEMMACTL_CONNECTIONS": "3", "GEMMACTL_CONNECTIONS_MOST": "5", "GEMMACTL_CHUNK_MIB": "2", "GEMMACTL_STAGING_MIB": "7",
        "GEMMACTL_READER": "Threads", "GEMMACTL_STALL_SECONDS": "9", "GEMMACTL_LOAD_SECONDS": "60",
        "GEMMACTL_SKIP_UNVERIFIED": "1", "GEMMACTL_TLS": "Python",
    }  # fmt: skip
    found = Settings.from_environ({"GEMMACTL_MODEL": "m", **chosen})
    assert (found.connections, found.connections_most, found.chunk, found.staging) == (3, 5, 2 << 20, 7 << 20)
    assert (found.reader, found.stall, found.load_seconds, found.skip_unverified) == ("threads", 9, 60, True)
    assert (found.tls, Settings(model="m").tls) == ("python", "auto")
    assert Settings.from_environ({"GEMMACTL_MODEL": "m"}).skip_unverified is False


def test_what_the_server_tells_is_chosen_by_its_variables() -> None:
    """Prompts in the log only when asked for; a page unless not; the project that traces belong to."""
    plain = Settings.from_environ({"GEMMACTL_MODEL": "m"})
    assert (plain.log_prompts, plain.page, plain.project) == (False, True, "")
    chosen = {"GEMMACTL_LOG_PROMPTS": "1", "GEMMACTL_PAGE": "0", "GOOGLE_CLOUD_PROJECT": "my-project"}
    found = Settings.from_environ({"GEMMACTL_MODEL": "m", **chosen})
    assert (found.log_prompts, found.page, found.project) == (True, False, "my-project")


@pytest.mark.parametrize(("model", "name"), [("hf:owner/name@main", "name"), ("/models/x", "x"), ("gs://b", "b")])
def test_the_model_is_called_by_its_last_part(model: str, name: str) -> None:
    """An answer's `model` is short, and the environment can change it."""
    assert Settings(model=model).model_name == name
    assert Settings.from_environ({"GEMMACTL_MODEL": model, "GEMMACTL_MODEL_NAME": "mine"}).model_name == "mine"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("GEMMACTL_MODEL", " "), ("GEMMACTL_DEVICE", "tpu"), ("GEMMACTL_DTYPE", "int4"),
        ("GEMMACTL_CONNECTIONS", "0"), ("GEMMACTL_READER", "fork"), ("GEMMACTL_TLS", "1.3"), ("GEMMACTL_STALL_SECONDS", "0"),
        ("GEMMACTL_LOAD_SECONDS", "soon"), ("GEMMACTL_SKIP_UNVERIFIED", "yes"), ("GEMMACTL_CONNECTIONS_MOST", "1000"),
        ("GEMMACTL_CHUNK_MIB", "-1"), ("GEMMACTL_MAX_QUEUE", "1e3"), ("PORT", "99999"),
        ("GEMMACTL_MAX_CONTEXT", "x"), ("GEMMACTL_LOG_PROMPTS", "yes"), ("GEMMACTL_PAGE", "2"),
    ],
)  # fmt: skip
def test_wrong_values_name_their_variable(variable: str, value: str) -> None:
    """A bad value is setting_invalid, about that variable."""
    with pytest.raises(LoadFailed) as failed:
        Settings.from_environ({"GEMMACTL_MODEL": "m", variable: value})
    assert (failed.value.failure.code, failed.value.failure.object) == (Code.SETTING_INVALID, variable)


def test_float16_is_refused_with_its_reason() -> None:
    """Gemma 3 overflows in float16: wrong text, no error; so it is an error here."""
    with pytest.raises(LoadFailed, match="bfloat16") as failed:
        Settings(model="m", dtype="float16")
    assert failed.value.failure.code is Code.DTYPE_UNSUPPORTED


def test_a_failure_reads_back_from_its_line() -> None:
    """What the container prints is what doctor reads; other lines are no failures."""
    for code in Code:
        failure = LoadFailure(code, "model.safetensors", "방금 \n x")
        assert "\n" not in failure.line()
        assert LoadFailure.parse(json.loads(failure.line())) == failure
    assert LoadFailure.parse({"message": "hello"}) is None
    assert LoadFailure.parse({"load_failed": {"code": "of another version"}}) is None


def test_the_timeline_counts_on_its_clock() -> None:
    """Phases have start and length in seconds since the process began; the rate is over the reading of weights."""
    now = [100.0]
    timeline = Timeline(clock=lambda: now[0], began=90.0)
    with timeline.phase("read weights"):
        assert timeline.progress()["stage"] == "read weights"
        now[0] += 2
        timeline.arrived(4_000_000_000)
    timeline.note(device="cpu")
    timeline.loaded(Loaded("b", 1, "7", "0a", verified=True))
    timeline.loaded(Loaded("a", 1, "7", None, verified=False))
    record = timeline.record()
    assert record["phases"] == [{"name": "read weights", "start": 10.0, "seconds": 2.0}]
    assert (record["gb_per_s"], record["device"]) == (2.0, "cpu")
    assert [one["name"] for one in record["objects"]] == ["a", "b"]
    json.dumps(record)


def test_the_time_that_is_left_is_told_only_when_it_is_known() -> None:
    """The rate counts since the first bytes, whose own time nobody saw; unknown before it says something, and at the end."""
    now = [100.0]
    timeline = Timeline(clock=lambda: now[0], began=0.0)
    assert timeline.progress() == {"stage": "starting", "bytes_done": 0, "bytes_total": 0, "eta_s": None}
    timeline.bytes_total = 1000
    timeline.arrived(100)
    now[0] += 0.25
    timeline.arrived(100)
    assert timeline.eta() is None
    now[0] += 0.75
    timeline.arrived(100)
    assert timeline.eta() == 3.5  # 200 bytes in a second, 700 are left
    now[0] += 1
    assert timeline.eta() == 7.0  # silence counts
    timeline.arrived(700)
    assert timeline.eta() is None


def test_quantize_is_int8_or_none() -> None:
    """int4 and fp8 are no words for it: nobody measured that they are better."""
    with pytest.raises(LoadFailed) as failed:
        Settings.from_environ({"GEMMACTL_MODEL": "m", "GEMMACTL_QUANTIZE": "int4"})
    assert (failed.value.failure.code, failed.value.failure.object) == (Code.SETTING_INVALID, "GEMMACTL_QUANTIZE")
    assert Settings.from_environ({"GEMMACTL_MODEL": "m", "GEMMACTL_QUANTIZE": " INT8 "}).int8
    assert not Settings.from_environ({"GEMMACTL_MODEL": "m"}).int8
