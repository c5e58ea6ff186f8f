"""The schema of gemmactl.yaml and its reader are one: what one takes the other takes, and no key is in one alone."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from gemmactl.commands.described import described, schema
from gemmactl.errors import Exit, Trouble
from gemmactl.serving.wishes import PARSERS
from gemmactl.settings import KEYS, project_file

PUBLISHED = Path(__file__).parents[2] / "docs" / "gemmactl.schema.json"
KINDS = {"string": str, "integer": int, "number": (int, float), "boolean": bool, "object": dict, "array": list}


def takes(rule: dict[str, Any], value: Any, whole: dict[str, Any]) -> bool:
    """JSON Schema, as much of it as the published file uses; any other word fails the test."""
    unknown = rule.keys() - {"$schema", "title", "description", "type", "enum", "anyOf", "$ref", "properties", "items"}
    assert unknown <= {"additionalProperties"}, unknown
    if "$ref" in rule:
        return takes(whole["properties"][rule["$ref"].removeprefix("#/properties/")], value, whole)
    if "anyOf" in rule:
        return any(takes(one, value, whole) for one in rule["anyOf"])
    kinds = [rule["type"]] if isinstance(rule["type"], str) else rule["type"]
    # a bool is an int to Python, and not to JSON
    if not any(isinstance(value, KINDS[kind]) and (kind == "boolean") == isinstance(value, bool) for kind in kinds):
        return False
    if "enum" in rule and value not in rule["enum"]:
        return False
    if isinstance(value, list):
        return all(takes(rule["items"], one, whole) for one in value)
    if isinstance(value, dict):
        rest = rule["additionalProperties"]
        known = rule.get("properties", {})
        return all(takes(known[k], v, whole) if k in known else bool(rest) and takes(rest, v, whole) for k, v in value.items())
    return True


def test_every_setting_is_described_and_no_other() -> None:
    """Key by key with the reader, in hyphens and in underscores, each with words; what deploy parses is among them."""
    published = json.loads(PUBLISHED.read_text())
    both = {key.replace("_", "-") for key in KEYS} | set(KEYS)
    assert set(published["properties"]) == both
    assert set(PARSERS) <= set(KEYS)
    assert [key for key, one in described().items() if not one.words or not one.takes] == []


GOOD = """\
model: gs://bucket/model
name: my-model
gpu-type: nvidia-l4
gpu_type2: x
cpu: 8
memory: 32Gi
cpu-throttling: false
images: true
quantize: int8
timeout: 30m
set-env-vars: {A: b, C: 1}
set-secrets: {TOKEN: team:3}
startup-probe: httpGet.path=/ready,periodSeconds=2
adapters: {ko: gs://bucket/ko}
hf-token: team-token:3
""".replace("gpu_type2: x\n", "")
BAD = (
    ("gpu: nvidia-l4", "'gpu' in line 1"),
    ("max-instance: 2", "did you mean max-instances?"),
    ("model: gs://b/m\nmemmory: 16Gi", "did you mean memory?"),
    ("memory: 16Gi\nmemory: 32Gi", "there twice, in lines 1 and 2"),
    ("gpu-type: a\ngpu_type: b", "there twice, in lines 1 and 2"),
    ("set-env-vars: {A: {B: c}}", "set-env-vars in line 1"),
    ("set-env-vars:\n  A:\n  B: c", "set-env-vars in line 1"),
    ("set-env-vars: {A: b, A: c}", "A is there twice, in lines 1 and 1"),
    ("- model", "it must be a mapping"),
)


def test_what_is_right_is_right_to_both(tmp_path: Path) -> None:
    """An editor that knows the schema marks nothing in a file that deploy reads."""
    (tmp_path / "gemmactl.yaml").write_text(GOOD)
    found = project_file(tmp_path / "gemmactl.yaml")
    assert (found["set_env_vars"], found["cpu_throttling"], found["cpu"]) == ("A=b,C=1", "false", "8")
    whole = schema()
    assert takes(whole, yaml.safe_load(GOOD), whole)


@pytest.mark.parametrize(("text", "words"), BAD)
def test_what_is_wrong_is_refused_with_its_line(tmp_path: Path, text: str, words: str) -> None:
    """A key that is no setting with the one that was meant, a key that is there twice, a value that is too deep."""
    (tmp_path / "gemmactl.yaml").write_text(text)
    with pytest.raises(Trouble) as caught:
        project_file(tmp_path / "gemmactl.yaml")
    assert (caught.value.exit, caught.value.code) == (Exit.USAGE, "project-file")
    assert words in caught.value.why
    if "twice" not in words:  # a mapping in Python has no key twice
        whole = schema()
        assert not takes(whole, yaml.safe_load(text), whole)


@pytest.mark.parametrize("text", ["cpu: many", "images: 3", "quantize: int4", "concurrency: true"])
def test_the_schema_knows_types_and_choices(text: str) -> None:
    """What deploy refuses later, an editor marks at once."""
    whole = schema()
    assert not takes(whole, yaml.safe_load(text), whole)
