"""Transcripts of what goes wrong before any call: exit code, what, why and remedy on stderr, nothing on stdout."""

import shutil
from pathlib import Path

import pytest

from tests.app.shell import SAMPLE, Shell, inside

PROJECT = ("--project", "my-project")
MODEL = "gs://bucket/model"

TRANSCRIPTS = [
    (("plan", MODEL), 2, "no Google Cloud project is chosen", "names? none|name none", "@sandbox"),
    (("plan", MODEL, "--project", "My Project"), 2, "is not a project id", "lower-case", "gcloud projects list"),
    (("plan", *PROJECT), 2, "no model is named", "MODEL", "gs://BUCKET/FOLDER"),
    (("plan", "s3://a/b", *PROJECT), 2, "not a place gemmactl can read a model from", "gs://", "directory"),
    (("plan", "gs:/abc/m", *PROJECT), 2, "not a place gemmactl can read a model from", "gs://", "write gs://abc/m"),
    (("plan", "https://huggingface.co/google/gemma-3-4b-it", *PROJECT), 2, "not a place", "hf:", "write hf:google/gemma-3-4b-it"),
    (
        ("plan", MODEL, *PROJECT, "--region", "europe-north1"),
        2,
        "no nvidia-l4 in region 'europe-north1'",
        "us-central1, us-east4",
        "--region europe-west1",
    ),
    (("plan", MODEL, *PROJECT, "--gpu-type", "nvidia-t4"), 2, "not a GPU of Cloud Run", "nvidia-l4", "choose"),
    (
        ("plan", MODEL, *PROJECT, "--cpu", "4", "--memory", "32Gi"),
        2,
        "--cpu 4 and --memory 32Gi are not a legal pair",
        "--cpu 4 with 16Gi",
        "--cpu 8",
    ),
    (("plan", MODEL, *PROJECT, "--memory", "48Gi"), 2, "not a legal pair with nvidia-l4", "--cpu 8 with 16Gi to 32Gi", "32Gi"),
    (("plan", MODEL, *PROJECT, "--max-context", "0"), 2, "--max-context 0 is out of range", "1 to 1048576 tokens", "choose"),
    (
        ("plan", MODEL, *PROJECT, "--max-context", "4096", "--set-env-vars", "GEMMACTL_MAX_CONTEXT=4096"),
        2,
        "--max-context and GEMMACTL_MAX_CONTEXT are both given",
        "sets that variable",
        "leave GEMMACTL_MAX_CONTEXT out",
    ),
    (("plan", MODEL, *PROJECT, "--cpu-throttling"), 2, "can't be used with a GPU", "life time", "--no-cpu-throttling"),
    (("plan", MODEL, *PROJECT, "--cpu-throttling", "--no-cpu-throttling"), 2, "both given", "only one", "keep one"),
    (
        ("plan", MODEL, *PROJECT, "--startup-probe", "tcpSocket.port=8080,periodSeconds=300"),
        2,
        "--startup-probe is not legal",
        "1 to 240",
        "failureThreshold",
    ),
    (("plan", MODEL, *PROJECT, "--startup-probe", "grpc.port=1"), 2, "--startup-probe can't be read", "fields:", "for example"),
    (("plan", MODEL, *PROJECT, "--timeout", "2h"), 2, "--timeout 7200 is out of range", "1 to 3600", "3600"),
    (("plan", MODEL, *PROJECT, "--concurrency", "0"), 2, "--concurrency 0 is out of range", "1 to 1000", "choose"),
    (("plan", MODEL, *PROJECT, "--name", "Bad_Name"), 2, "can't be the name of a service", "lower-case", "--name"),
    (("plan", MODEL, *PROJECT, "--set-env-vars", "PORT=1"), 2, "PORT is reserved", "Cloud Run sets PORT", "another name"),
    (("plan", MODEL, *PROJECT, "--hf-token", "hf_CANARYCANARY"), 2, "--hf-token takes no token", "history", "HF_TOKEN"),
    (("plan", "hf:google/gemma-3-4b-it", *PROJECT), 2, "Hugging Face token is needed", "no terminal", "HF_TOKEN"),
    (("plan", MODEL, "--gpu", "2", *PROJECT), 2, "--gpu", "can't be read", "gemmactl plan --help"),
    (("deploy", "plan.json", "--region", "us-east4"), 2, "--region can't be given beside plan.json", "as it was approved", "-o"),
    (("deploy", "nowhere.json"), 2, "nowhere.json can't be read as a plan", "No such file", "gemmactl plan MODEL -o"),
    (("plan", MODEL, "--nonsense"), 2, "No such option: --nonsense", "can't be read", "gemmactl plan --help"),
    (("nonsense",), 2, "No such command 'nonsense'", "can't be read", "gemmactl --help"),
    (("generate", ""), 2, "the prompt is empty", "nothing to answer", "gemmactl generate"),
    (("generate", "x", "--local", "nowhere"), 4, "nowhere is no directory", "config.json", "gs://"),
    (("doctor", "--from-log", "nowhere.log"), 2, "nowhere.log can't be read", "No such file", "stdin"),
    (("logs", "--since", "yesterday"), 2, "no Google Cloud project", "", "--project"),
]


@pytest.mark.parametrize(
    ("argv", "code", "what", "why", "remedy"), TRANSCRIPTS, ids=lambda v: " ".join(v)[:60] if isinstance(v, tuple) else ""
)
def test_bad_input_says_what_why_and_the_way_out(
    tmp_path: Path, argv: tuple[str, ...], code: int, what: str, why: str, remedy: str
) -> None:
    """One error, three parts, its exit code; no secret and no traceback."""
    import re

    ran = inside(tmp_path, *argv)
    assert (ran.code, ran.out) == (code, ""), ran.err
    lines = ran.err.splitlines()
    assert lines[0].startswith("error: ")
    assert what in lines[0]
    assert re.search(f"why: .*({why or '.'})", ran.err) or why in ran.err
    assert any(remedy in line for line in lines), ran.err
    assert "CANARY" not in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("argv", [("plan", MODEL), ("plan", MODEL, "--nonsense"), ("generate", "x", "--local", "nowhere")])
def test_a_failure_is_one_json_document(tmp_path: Path, argv: tuple[str, ...]) -> None:
    """Also for a command line that can't be parsed: the fixed keys, the exit code, one problem."""
    ran = inside(tmp_path, *argv, "--format", "json")
    document = ran.document()
    assert set(document) == {"schema", "verb", "target", "ok", "exit", "data", "problems", "next"}
    assert (document["verb"], document["ok"], document["exit"]) == (argv[0], False, ran.code)
    assert set(document["problems"][0]) == {"code", "what", "why", "remedy", "facts"}


@pytest.mark.parametrize("argv", [("generate", "x", "--local"), ("serve",)], ids=["generate", "serve"])
def test_a_broken_model_is_refused_before_torch_is_imported(shell: Shell, argv: tuple[str, ...]) -> None:
    """A missing shard: exit 4 with the shard's name, and doctor's cause after it."""
    broken = shell.folder / "broken"
    shutil.copytree(SAMPLE, broken)
    (broken / "model-00002-of-00004.safetensors").unlink()
    ran = shell(*argv, str(broken))
    assert ran.code == 4
    assert "model-00002-of-00004.safetensors" in ran.err
    assert "torch" not in ran.err


def test_a_bug_is_told_as_one(tmp_path: Path) -> None:
    """Exit 1, a short message, the traceback scrubbed and in a file that only its owner reads."""
    from gemmactl.app import _unexpected

    try:
        raise KeyError("token hf_CANARYCANARY")
    except KeyError as error:
        trouble = _unexpected(error, {"XDG_STATE_HOME": str(tmp_path)})
    path = tmp_path / "gemmactl" / "traceback.txt"
    assert (int(trouble.exit), trouble.code) == (1, "internal")
    assert str(path) in trouble.why
    assert "Traceback" in path.read_text()
    assert "CANARY" not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_empty_paste_is_refused(shell: Shell) -> None:
    """Nothing on stdin: exit 2."""
    ran = shell("doctor", "--from-log", "-")
    assert ran.code == 2
    assert "there is nothing to diagnose" in ran.err


def test_a_script_for_an_administrator_is_alone_on_stdout(shell: Shell) -> None:
    """Not even the sandbox's banner goes before it: the file is for bash or Terraform."""
    (shell.folder / "file").write_text("")
    ran = shell("plan", MODEL, "--for-admin", "--project", "@sandbox", GEMMACTL_SANDBOX_HOME=str(shell.folder / "file"))
    assert (ran.out, ran.err.splitlines()[0]) == ("", "SANDBOX (this machine, no cloud, $0)")


def test_text_is_never_read_as_options(tmp_path: Path) -> None:
    """--format behind -- is a prompt's word, not a flag."""
    ran = inside(tmp_path, "generate", "--local", "nowhere", "--", "--format=json")
    assert ran.out == ""
    assert ran.code == 4


def test_the_sample_answers_in_this_process(shell: Shell) -> None:
    """With --local: the answer alone on stdout, whatever the locale; the same as one JSON document."""
    ran = shell("generate", "Good morning.", "--local", str(SAMPLE), "--type", "translation")
    assert (ran.code, ran.out) == (0, "좋은 아침입니다.\n"), ran.err
    document = shell("generate", "Good morning.", "--local", str(SAMPLE), "--type", "translation", "--format", "json").document()
    assert document["target"] == "local"
    assert document["data"]["text"] == "좋은 아침입니다."
    assert document["data"]["stop_reason"] == "stop"


def test_doctor_reads_a_pasted_error(shell: Shell) -> None:
    """Exit 6 with the role that is missing; exit 0 when nothing is known to be wrong. No call is made, no project needed."""
    log = shell.folder / "build.log"
    # source: the seed's own error
    log.write_text(
        'denied: Permission "artifactregistry.repositories.uploadArtifacts" denied on resource'
        ' "projects/sayouzone-ai/locations/us-central1/repositories/gemma3-repo" (or it may not exist)\n'
    )
    ran = shell("doctor", "--from-log", str(log))
    assert ran.code == 6
    assert "roles/artifactregistry.writer" in ran.out
    assert shell("doctor", "--from-log", str(log), "--format", "json").document()["findings"]
    assert shell("doctor", "--from-log", "-", stdin="Listening on port 8080\n").code == 0


def test_ctrl_c_is_130() -> None:
    """KeyboardInterrupt anywhere becomes the interrupted Trouble."""
    from gemmactl.app import _close
    from gemmactl.errors import Exit
    from gemmactl.ui.screen import Screen

    assert _close(Screen("text", {}), int(Exit.INTERRUPTED)) == 130


def test_yaml_and_environment_reach_the_rules(tmp_path: Path) -> None:
    """A value of gemmactl.yaml or GEMMACTL_* is held to the same rules as a flag."""
    (tmp_path / "gemmactl.yaml").write_text("project: my-project\nmodel: gs://bucket/model\ncpu: 4\nmemory: 32Gi\n")
    assert "--cpu 4 and --memory 32Gi" in inside(tmp_path, "plan").err
    assert "--cpu 3 can't go with" in inside(tmp_path, "plan", GEMMACTL_CPU="3").err
    assert "GEMMACTL_CPU can't be read" in inside(tmp_path, "plan", GEMMACTL_CPU="many").err


def test_a_folder_that_can_not_be_written_is_no_bug(tmp_path: Path) -> None:
    """The path and the system's own word for it; no traceback is kept."""
    from gemmactl.app import _unexpected

    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="Not a directory") as caught:
        (tmp_path / "file" / "below").write_text("")
    trouble = _unexpected(caught.value, {"XDG_STATE_HOME": str(tmp_path / "state")})
    assert (trouble.code, trouble.why) == ("machine", "Not a directory")
    assert str(tmp_path / "file" / "below") in trouble.what
    full = _unexpected(OSError(28, "No space left on device"), {"XDG_STATE_HOME": str(tmp_path / "state")})
    assert full.why == "No space left on device"
    assert not (tmp_path / "state").exists()


def test_the_next_command_is_the_same_command_line(tmp_path: Path) -> None:
    """Without what only plan knows and the form of its output; a name that looks like a form stays."""
    from gemmactl.commands.session import Session
    from gemmactl.ui.screen import Screen

    typed = ("plan", "gs://b/m", "--name", "text", "--format", "json", "--detailed-exitcode", "--set-env-vars", "A=b c")
    here = Session(Screen("json", {}), {}, tmp_path, tmp_path, "json", typed)
    assert here.again("deploy", "--detailed-exitcode") == "gemmactl deploy gs://b/m --name text --set-env-vars 'A=b c'"
