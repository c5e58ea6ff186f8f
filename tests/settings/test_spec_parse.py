"""The grammar of each flag."""

import pytest

from gemmactl import spec_parse
from gemmactl.errors import Trouble
from gemmactl.spec import Probe, SecretRef, Token

CANARY = "hf_CANARYcanaryCANARYcanary"


@pytest.mark.parametrize(
    ("text", "seconds"), [("1800", 1800), ("30m", 1800), ("1h", 3600), ("1h30m", 5400), ("45s", 45), ("1800s", 1800)]
)
def test_durations(text: str, seconds: int) -> None:
    """Seconds, or numbers with s, m and h as gcloud takes them."""
    assert spec_parse.duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "30 minutes", "-5", "1d"])
def test_what_is_no_duration(text: str) -> None:
    """Refused with an example."""
    with pytest.raises(Trouble, match="not a duration"):
        spec_parse.duration(text)


def test_seed_probe() -> None:
    """The seed's own flag is read field by field."""
    found = spec_parse.probe(
        "tcpSocket.port=8080,initialDelaySeconds=240,failureThreshold=5,timeoutSeconds=240,periodSeconds=240"
    )
    assert found == Probe(path=None, port=8080, tcp=True, initial_delay=240, timeout=240, period=240, failures=5)


def test_http_probe_with_cloud_runs_defaults() -> None:
    """What is left out has Cloud Run's defaults, not ours."""
    assert spec_parse.probe("httpGet.path=/health") == Probe("/health", 8080, False, 0, 1, 10, 3)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "periodSeconds=2",
        "tcpSocket.port=8080,httpGet.path=/",
        "httpGet.path=ready",
        "tcpSocket.port=x",
        "grpc.port=1",
        "periodSeconds",
    ],
)
def test_illegal_probe_syntax(text: str) -> None:
    """An unknown field, no or two kinds of probe, a word for a number."""
    with pytest.raises(Trouble):
        spec_parse.probe(text)


def test_pairs_with_another_separator() -> None:
    """The ^X^ form, for values with commas."""
    assert spec_parse.environment("A=1,B=") == (("A", "1"), ("B", ""))
    assert spec_parse.environment("^;^A=1,2;B=x=y") == (("A", "1,2"), ("B", "x=y"))


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("sayouzone-huggingface-token:latest", SecretRef("sayouzone-huggingface-token", "latest")),
        ("name", SecretRef("name", "latest")),
        ("name:7", SecretRef("name", "7")),
        ("projects/p-1/secrets/s", SecretRef("projects/p-1/secrets/s", "latest")),
        ("projects/p-1/secrets/s/versions/3", SecretRef("projects/p-1/secrets/s", "3")),
    ],
)
def test_references(text: str, want: SecretRef) -> None:
    """Seed 1's HF_TOKEN and the long form."""
    assert spec_parse.reference(text, "--hf-token") == want


@pytest.mark.parametrize("text", ["name:newest", "a b", "projects/p/secret/s", "name:0", CANARY])
def test_what_is_no_reference_is_not_shown(text: str) -> None:
    """The refused text may be a secret: it is in no field of the Trouble."""
    with pytest.raises(Trouble) as caught:
        spec_parse.reference(text, "--hf-token")
    assert text not in str(vars(caught.value))


def test_hf_token_of_the_environment() -> None:
    """hf_... is a token, name:version a reference, anything else refused without being shown."""
    assert spec_parse.token(CANARY, "HF_TOKEN") == Token(CANARY)
    assert spec_parse.token("sayouzone-huggingface-token:latest", "HF_TOKEN") == SecretRef(
        "sayouzone-huggingface-token", "latest"
    )
    with pytest.raises(Trouble) as caught:
        spec_parse.token("CANARYwithoutprefix", "HF_TOKEN")
    assert "CANARY" not in str(vars(caught.value))


def test_a_token_on_the_command_line_is_refused_with_why() -> None:
    """--hf-token takes references only; a value that looks like a token in --set-env-vars is refused too."""
    for refuse in (lambda: spec_parse.token_reference(CANARY), lambda: spec_parse.environment(f"HF_TOKEN={CANARY}")):
        with pytest.raises(Trouble) as caught:
            refuse()
        assert caught.value.code == "token-in-argv"
        assert "CANARY" not in str(vars(caught.value))


def test_secrets_as_files_are_refused() -> None:
    """The server reads variables."""
    with pytest.raises(Trouble) as caught:
        spec_parse.secrets("/run/secret=name:1")
    assert caught.value.code == "secret-path"
    assert spec_parse.secrets("A=name:1") == (("A", SecretRef("name", "1")),)
