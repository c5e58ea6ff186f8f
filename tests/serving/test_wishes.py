"""Flags and settings become one legal Serve."""

from pathlib import Path
from typing import Any

import pytest

from gemmactl.errors import Exit, Trouble
from gemmactl.serving.wishes import wishes
from gemmactl.spec import Probe, SecretRef, Token
from inference_image.presets_file import Document
from tests.serving.ear import Ear, settings

SEED_PROBE = "tcpSocket.port=8080,initialDelaySeconds=240,failureThreshold=5,timeoutSeconds=240,periodSeconds=240"
BASE: dict[str, Any] = {
    "model": "gs://ayouzone-ai-gemma3/gce-us-central1/gemma-3-4b-product_merged_model",
    "project": "my-project",
}


def test_the_seeds_own_flags(tmp_path: Path) -> None:
    """The seed's deploy line with our MODEL: every flag arrives, nothing else is chosen."""
    found = wishes(
        settings(tmp_path),
        {
            **BASE,
            "image": "us-central1-docker.pkg.dev/my-project/gemma3-repo/gemma3-trans-ft-service:latest",
            "gpu_type": "nvidia-l4",
            "cpu": 8,
            "memory": "32Gi",
            "concurrency": 1,
            "no_cpu_throttling": True,
            "allow_unauthenticated": True,
            "startup_probe": SEED_PROBE,
            "timeout": "30m",
        },
        Ear(),
    )
    assert found.name == "gemma-3-4b-product-merged-model"
    assert (found.cpu, found.memory, found.concurrency, found.timeout) == (8, "32Gi", 1, 1800)
    assert (found.auth, found.cpu_throttling) == ("public", False)
    assert found.probe == Probe(None, 8080, True, 240, 240, 240, 5)
    assert found.given == {"cpu", "memory", "concurrency", "probe"}


def test_defaults_are_private_one_instance_and_zero_when_idle(tmp_path: Path) -> None:
    """What nobody chose."""
    found = wishes(settings(tmp_path), BASE, Ear())
    assert (found.auth, found.open, found.max_instances, found.min_instances) == ("iam", False, 1, 0)
    assert (found.image, found.service_account, found.hf_token) == (None, None, None)
    assert found.given == frozenset()


def test_skip_unverified_is_the_containers_variable(tmp_path: Path) -> None:
    """The flag is a wish of the deployment, seen in its plan like any other variable; nothing skips by itself."""
    found = wishes(settings(tmp_path), {**BASE, "skip_unverified": True, "set_env_vars": "GEMMACTL_SKIP_UNVERIFIED=0,A=b"}, Ear())
    assert dict(found.env) == {"A": "b", "GEMMACTL_SKIP_UNVERIFIED": "1"}
    assert wishes(settings(tmp_path), {**BASE, "skip_unverified": False}, Ear()).env == ()


def test_images_are_the_containers_variable(tmp_path: Path) -> None:
    """The flag, a project file or the container's own variable: all of them are one wish, seen in the plan."""
    found = wishes(settings(tmp_path), {**BASE, "images": True, "set_env_vars": "GEMMACTL_IMAGES=0,A=b"}, Ear())
    assert dict(found.env) == {"A": "b", "GEMMACTL_IMAGES": "1"}
    assert found.images
    plain = wishes(settings(tmp_path), {**BASE, "images": False}, Ear())
    assert (plain.env, plain.images) == ((), False)
    assert wishes(settings(tmp_path), {**BASE, "set_env_vars": "GEMMACTL_IMAGES=1"}, Ear()).images
    assert wishes(settings(tmp_path, GEMMACTL_IMAGES="1"), BASE, Ear()).images


def test_presets_travel_as_the_containers_variable(tmp_path: Path) -> None:
    """A YAML file becomes one variable of JSON that says the same; what is none of ours is refused by file, type and key."""
    path = tmp_path / "types.yaml"
    path.write_text("schema: gemmactl/presets.v1\n# a comment\ntypes:\n  poem: {mode: chat, template: '시 {prompt}'}\n")
    found = dict(wishes(settings(tmp_path), {**BASE, "presets": str(path)}, Ear()).env)
    assert found == {
        "GEMMACTL_PRESETS": '{"schema":"gemmactl/presets.v1","types":{"poem":{"mode":"chat","template":"시 {prompt}"}}}'
    }
    assert Document.parse(found["GEMMACTL_PRESETS"].encode(), "v").types == Document.parse(path.read_bytes(), "f").types
    for said in ("types: {x: {mode: tool}}", "# " + "x" * 70000):
        path.write_text(f"schema: gemmactl/presets.v1\n{said}\n")
        with pytest.raises(Trouble) as caught:
            wishes(settings(tmp_path), {**BASE, "presets": str(path)}, Ear())
        assert (caught.value.code, caught.value.exit) == ("presets-illegal", Exit.USAGE)
        assert caught.value.what == f"--presets {path} can't be used"
    three = "\n".join(f"  t{n}: {{mode: raw, template: '{{prompt}}{'x' * 15000}'}}" for n in range(3))
    path.write_text(f"schema: gemmactl/presets.v1\ntypes:\n{three}\n")
    with pytest.raises(Trouble) as caught:
        wishes(settings(tmp_path), {**BASE, "presets": str(path)}, Ear())
    assert "at most 32768" in caught.value.why
    assert "beside the model" in caught.value.remedy
    with pytest.raises(Trouble) as caught:
        wishes(settings(tmp_path), {**BASE, "presets": str(tmp_path / "none.yaml")}, Ear())
    assert caught.value.code == "presets-unreadable"


def test_sizes_follow_the_gpu(tmp_path: Path) -> None:
    """An RTX has its own defaults."""
    found = wishes(settings(tmp_path), {**BASE, "gpu_type": "nvidia-rtx-pro-6000"}, Ear())
    assert (found.cpu, found.memory) == (20, "80Gi")


@pytest.mark.parametrize(
    ("flags", "pair"),
    [({"cpu": 4}, (4, "16Gi")), ({"cpu": 6}, (6, "24Gi")), ({"memory": "16Gi"}, (4, "16Gi")), ({"memory": "24Gi"}, (6, "24Gi"))],
)
def test_half_a_size_is_completed(tmp_path: Path, flags: dict[str, Any], pair: tuple[int, str]) -> None:
    """--cpu or --memory alone: a legal other half until the model's size decides; only what was said counts as given."""
    found = wishes(settings(tmp_path), {**BASE, **flags}, Ear())
    assert (found.cpu, found.memory) == pair
    assert found.given == set(flags)


@pytest.mark.parametrize(
    ("flags", "environ"),
    [
        ({"max_context": 4096}, {}),
        ({}, {"GEMMACTL_MAX_CONTEXT": "4096"}),
        ({"set_env_vars": "A=1,GEMMACTL_MAX_CONTEXT=4096"}, {}),
    ],
)
def test_the_context_is_one_wish_however_it_is_said(tmp_path: Path, flags: dict[str, Any], environ: dict[str, str]) -> None:
    """The flag, the setting, and the container's variable set by hand."""
    found = wishes(settings(tmp_path, **environ), {**BASE, **flags}, Ear())
    assert (found.context, "context" in found.given) == (4096, True)
    assert "GEMMACTL_MAX_CONTEXT" not in dict(found.env)


def test_the_sandbox_has_its_own_project_id(tmp_path: Path) -> None:
    """@sandbox is a choice, not an id."""
    assert wishes(settings(tmp_path), {**BASE, "project": "@sandbox"}, Ear()).project == "gemmactl-sandbox"


@pytest.mark.parametrize(
    ("environ", "file", "flags", "auth"),
    [
        ({}, "auth: public\n", {}, "public"),
        ({"GEMMACTL_AUTH": "iam"}, "auth: public\n", {}, "iam"),
        ({"GEMMACTL_AUTH": "public"}, "allow-unauthenticated: false\n", {}, "public"),
        ({"GEMMACTL_ALLOW_UNAUTHENTICATED": "true"}, "auth: iam\n", {}, "public"),
        ({"GEMMACTL_AUTH": "public"}, "", {"no_allow_unauthenticated": True}, "iam"),
        ({"GEMMACTL_AUTH": "public"}, "", {"auth": "public", "allow_unauthenticated": True}, "public"),
    ],
)
def test_the_nearest_source_says_who_may_call(
    tmp_path: Path, environ: dict[str, str], file: str, flags: dict[str, object], auth: str
) -> None:
    """Flag, environment, file; gcloud's spelling and --auth are one setting."""
    (tmp_path / "gemmactl.yaml").write_text(file)
    assert wishes(settings(tmp_path, **environ), {**BASE, **flags}, Ear()).auth == auth


@pytest.mark.parametrize(
    ("environ", "flags", "code"),
    [
        ({}, {"auth": "iam", "allow_unauthenticated": True}, "flags-contradict"),
        ({}, {"no_allow_unauthenticated": True, "allow_unauthenticated": True}, "flags-contradict"),
        ({"GEMMACTL_AUTH": "iam", "GEMMACTL_ALLOW_UNAUTHENTICATED": "1"}, {}, "flags-contradict"),
        ({"GEMMACTL_AUTH": "open"}, {}, "setting-illegal"),
        ({"GEMMACTL_ALLOW_UNAUTHENTICATED": "yes"}, {}, "setting-illegal"),
    ],
)
def test_contradictions_about_callers_are_refused(
    tmp_path: Path, environ: dict[str, str], flags: dict[str, object], code: str
) -> None:
    """Nobody guesses who may call."""
    with pytest.raises(Trouble) as caught:
        wishes(settings(tmp_path, **environ), {**BASE, **flags}, Ear())
    assert caught.value.code == code


def test_lists_come_from_flags_and_files_alike(tmp_path: Path) -> None:
    """Members and tags: a repeated flag, commas, or a list of YAML."""
    (tmp_path / "gemmactl.yaml").write_text("invoker: [user:a@b.cd, group:c@d.ef]\nnetwork: default\nnetwork-tags: [x, y]\n")
    found = wishes(settings(tmp_path), BASE, Ear())
    assert (found.invokers, found.network_tags) == (("user:a@b.cd", "group:c@d.ef"), ("x", "y"))
    flags = {"invoker": ["user:e@f.gh"], "network_tags": "z", "vpc_egress": "all", "ingress": "internal"}
    found = wishes(settings(tmp_path), {**BASE, **flags}, Ear())
    assert (found.invokers, found.network_tags, found.vpc_egress) == (("user:e@f.gh",), ("z",), "all-traffic")


@pytest.mark.parametrize(
    ("environ", "flags", "public"),
    [
        ({}, {}, False),
        ({"GEMMACTL_ALLOW_UNAUTHENTICATED": "true"}, {}, True),
        ({"GEMMACTL_ALLOW_UNAUTHENTICATED": "true"}, {"no_allow_unauthenticated": True}, False),
        ({}, {"allow_unauthenticated": True}, True),
    ],
)
def test_a_switch_that_is_not_given_leaves_the_word_to_others(
    tmp_path: Path, environ: dict[str, str], flags: dict[str, bool], public: bool
) -> None:
    """Both halves of --[no-]x win over the environment; neither given, the environment speaks."""
    assert wishes(settings(tmp_path, **environ), {**BASE, **flags}, Ear()).open is public


@pytest.mark.parametrize(
    ("environ", "flags", "want"),
    [
        ({"HF_TOKEN": "sayouzone-huggingface-token:latest"}, {}, SecretRef("sayouzone-huggingface-token", "latest")),
        ({"HF_TOKEN": "hf_abcdefghijkl"}, {}, Token("hf_abcdefghijkl")),
        ({"HF_TOKEN": "hf_abcdefghijkl"}, {"hf_token": "mine:3"}, SecretRef("mine", "3")),
    ],
)
def test_where_the_token_comes_from(tmp_path: Path, environ: dict[str, str], flags: dict[str, str], want: object) -> None:
    """Seed 1's reference, a token of the environment, and a reference of the flag, which wins."""
    assert wishes(settings(tmp_path, **environ), {**BASE, **flags}, Ear()).hf_token == want


def test_an_invoker_is_written_as_a_policy_gives_it_back(tmp_path: Path) -> None:
    """Addresses in lower case and each once, or the plan after a deploy would never be empty; a principal's subject stays."""
    pool = "principal://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/subject/Ann"
    said = ["user:Ann@Example.com", "user:ann@example.com", pool]
    assert wishes(settings(tmp_path), {**BASE, "invoker": said}, Ear()).invokers == ("user:ann@example.com", pool)


def test_rotation_needs_something_to_rotate_to(tmp_path: Path) -> None:
    """--rotate-hf-token without a token."""
    with pytest.raises(Trouble) as caught:
        wishes(settings(tmp_path), {**BASE, "rotate_hf_token": True}, Ear())
    assert caught.value.code == "hf-token-missing"


def test_a_hub_model_asks_for_its_token(tmp_path: Path) -> None:
    """Hidden prompt; nobody there: the variable to set."""
    with pytest.raises(Trouble) as caught:
        wishes(settings(tmp_path), {**BASE, "model": "hf:google/gemma-3-4b-it"}, Ear())
    assert "HF_TOKEN" in caught.value.remedy


def test_the_model_may_stand_in_the_project_file(tmp_path: Path) -> None:
    """And with it every other flag."""
    (tmp_path / "gemmactl.yaml").write_text("project: my-project\nmodel: gs://weights/My_Model\nconcurrency: 2\ntimeout: 10m\n")
    found = wishes(settings(tmp_path), {}, Ear())
    assert (found.name, found.concurrency, found.timeout) == ("my-model", 2, 600)


def test_an_unreadable_setting_of_the_file_is_named(tmp_path: Path) -> None:
    """The key and its value, not only the file."""
    (tmp_path / "gemmactl.yaml").write_text("max-instances: many\n")
    with pytest.raises(Trouble) as caught:
        wishes(settings(tmp_path), BASE, Ear())
    assert caught.value.what == "max-instances in gemmactl.yaml can't be read"
    assert caught.value.why == "'many' is given, it must be a whole number"
