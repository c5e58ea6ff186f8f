"""Schemas that are refused before anything is computed, and what is said of them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from inference_image.contract import RequestCode
from inference_image.engine import Engine, Refused
from inference_image.engine.schema_limits import LONGEST
from inference_image.presets import PRESETS

CANARY = "kanarienvogel"
DEEP = '{"items":' * 5000 + "{}" + "}" * 5000
REFUSED = {
    "false": "no JSON can satisfy it",
    "[1]": "no JSON object",
    "{": "no JSON",
    DEEP: "no JSON",
    '{"items":' * 110 + "{}" + "}" * 110: "nested deeper",
    json.dumps({"enum": [CANARY * 9000]}): str(LONGEST),
    json.dumps({"enum": [], "title": CANARY}): "no JSON can satisfy it",
    json.dumps({"type": "string", "pattern": f"^{CANARY}$", "maxLength": 1}): "no JSON can satisfy it",
    json.dumps({"type": "integer", "minimum": 4, "exclusiveMaximum": 4}): "no JSON can satisfy it",
    json.dumps({"type": CANARY}): "`type`",
    json.dumps({"type": "string", "format": CANARY}): "`format`",
    json.dumps({"type": "string", "pattern": f"(?={CANARY})"}): "`pattern`",
    json.dumps({"type": "string", "pattern": f"({CANARY}"}): "`pattern`",
    json.dumps({"$ref": f"#/{CANARY}"}): "leads nowhere",
    json.dumps({"$ref": f"https://{CANARY}.example/x"}): "out of the schema",
    '{"$ref": "#"}': "can't be followed",
    json.dumps({"not": {"const": CANARY}}): "aren't supported: not",
    json.dumps({"type": "array", "uniqueItems": True}): "uniqueItems",
    json.dumps({"enum": ["\ud800"]}): "no JSON schema",
    '{"type": "integer", "multipleOf": 99999989}': "`multipleOf`",
    json.dumps({"allOf": [{"type": "integer", "multipleOf": n} for n in (97, 89, 83)]}): "`multipleOf`",
    '{"multipleOf": NaN}': "`multipleOf`",
    json.dumps({"patternProperties": {f"^p{n}$": {} for n in range(30)}}): "patternProperties",
    json.dumps({"patternProperties": {f"^p{n}$": {} for n in range(20)}, "allOf": [{"$ref": "#"}] * 900}): "patternProperties",
    json.dumps({"allOf": [{"anyOf": [{"properties": {f"{n}{m}": {}}} for m in range(4)]} for n in range(10)]}): "too complex",
}


@pytest.mark.parametrize("schema", REFUSED, ids=range(len(REFUSED)))
def test_a_schema_that_can_not_be_followed_is_refused(engine: Engine, schema: str) -> None:
    """Before anything is computed, by field and reason, and in words that don't repeat it."""
    request = replace(engine.request(PRESETS["text"], "Hi"), schema=schema)
    with pytest.raises(Refused, match=r"response_format.*" + REFUSED[schema]) as refused:
        engine.submit(request)
    assert refused.value.code is RequestCode.INVALID_REQUEST
    assert refused.value.facts["fields"][0]["field"] == "response_format"
    assert CANARY not in str(refused.value.facts) + refused.value.message
    assert refused.value.__cause__ is None
    assert engine.busy == 0
