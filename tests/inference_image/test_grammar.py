"""Answers held to a JSON schema: valid whatever the model wants, no control token, nothing of a schema in a refusal."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from inference_image.engine import Engine, Refused, Request, Sampling
from inference_image.engine.grammar import Grammar, Grammars, forbid
from inference_image.engine.text import Text, TokenizerFiles
from inference_image.presets import PRESETS
from tests.inference_image.checkpoints import MODEL
from tests.inference_image.fake_steps import Scripted

WIDTH = 1024
STOPS = frozenset({1, 5})


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Person(Strict):
    name: str = Field(max_length=6)
    age: int = Field(ge=3, le=117)
    kind: Literal["a", "<end_of_turn>", 7]


class Korean(Strict):
    name: str = Field(alias="이름", min_length=2, max_length=4)
    flag: Literal["👋🏽<bos>"] = Field(alias="🇰🇷뷁")


class Leaf(Strict):
    ok: bool
    share: int | None = Field(gt=0, lt=10)


class Tree(Strict):
    leaves: list[Leaf] = Field(min_length=1, max_length=2)
    code: str = Field(pattern=r"^[A-Z]{2}-\d{3}$")


class Price(Strict):
    price: float = Field(ge=0.5, le=99, multiple_of=0.25)


MODELS = (Person, Korean, Tree)
CHOICES = (Sampling(), Sampling(temperature=1.0, seed=7), Sampling(temperature=2.0, top_k=3, top_p=0.9, seed=8))


@pytest.fixture(scope="module")
def text() -> Text:
    template = (MODEL / "chat_template.jinja").read_text()
    return Text(TokenizerFiles((MODEL / "tokenizer.json").read_bytes(), {}, template), rows=WIDTH)


@pytest.fixture(scope="module")
def grammars(text: Text) -> Grammars:
    return Grammars(text, STOPS, WIDTH)


@pytest.fixture(scope="module")
def written(text: Text) -> list[bytes]:
    return text.written(WIDTH)


def allowed(grammar: Grammar) -> list[int]:
    bits = grammar.mask()
    return [number for number in range(len(bits) * 8) if bits[number // 8] >> number % 8 & 1]


def walk(grammar: Grammar, choose: Callable[[list[int]], int], most: int = 400) -> list[int]:
    """Tokens of an answer by a model that wants anything at all."""
    tokens: list[int] = []
    while not grammar.finished and len(tokens) < most:
        token = choose(allowed(grammar))
        if token in STOPS:
            break
        grammar.accept(token)
        tokens.append(token)
    return tokens


def read(text: Text, tokens: list[int]) -> str:
    decoder = text.decoder()
    return "".join(map(decoder.step, tokens))


def answer(engine: Engine, schema: object, sampling: Sampling = CHOICES[0], most: int = 160) -> tuple[str, str | None]:
    request = engine.request(PRESETS["text"], "안녕?", max_tokens=most, sampling=sampling)
    pieces = list(engine.submit(replace(request, schema=json.dumps(schema))))
    return "".join(piece.text for piece in pieces), pieces[-1].stop_reason


@pytest.mark.parametrize(
    ("model", "sampling"), [*((one, CHOICES[0]) for one in MODELS), (Person, CHOICES[1]), (Korean, CHOICES[2])]
)
def test_an_answer_follows_its_schema(engine: Engine, model: type[BaseModel], sampling: Sampling) -> None:
    """A model that never saw a schema gives an object of it, complete, and says `stop`."""
    said, reason = answer(engine, model.model_json_schema(), sampling)
    assert reason == "stop"
    model.model_validate_json(said)


@pytest.mark.parametrize("model", [*MODELS, Price])
def test_any_choice_of_tokens_follows_the_schema(
    text: Text, grammars: Grammars, written: list[bytes], model: type[BaseModel]
) -> None:
    """Random tokens out of those allowed, bytes of characters among them: valid JSON, whole characters, no control token."""
    control, dice, bytes_used = set(text.control.values()), random.Random(3), 0
    for _ in range(25):
        tokens = walk(grammars.compile(json.dumps(model.model_json_schema())), dice.choice)
        assert not control & set(tokens)
        bytes_used += sum(6 <= token < 262 for token in tokens)
        said = read(text, tokens)
        model.model_validate_json(said)
        assert said.encode() == b"".join(written[token] for token in tokens)
    assert bytes_used > 60 or model is Price


@pytest.mark.parametrize("schema", [{}, {"type": "object"}, {"type": "array", "minItems": 1}])
def test_json_without_a_form_is_json(text: Text, grammars: Grammars, written: list[bytes], schema: dict[str, Any]) -> None:
    """The open forms, `json_object` among them, give JSON wherever the answer ends."""
    dice = random.Random(5)

    def ends_early(numbers: list[int]) -> int:
        closing = [one for one in numbers if one in STOPS or written[one] in (b'"', b"}", b"]")]
        return dice.choice(closing if closing and dice.random() < 0.4 else numbers)

    for _ in range(20):
        grammar = grammars.compile(json.dumps(schema))
        tokens = walk(grammar, ends_early)
        if grammar.finished or STOPS & set(allowed(grammar)):
            json.loads(read(text, tokens))


def test_white_space_can_not_go_on(text: Text, grammars: Grammars, written: list[bytes]) -> None:
    """A model that would rather write blanks gets no further than one line's indentation in each place."""
    tokens = walk(
        grammars.compile(json.dumps(Person.model_json_schema())),
        lambda numbers: max(numbers, key=lambda one: (written[one].isspace(), one not in STOPS, -one)),
    )
    Person.model_validate_json(read(text, tokens))


def test_an_indented_answer_is_allowed(grammars: Grammars, written: list[bytes]) -> None:
    """What models write by themselves: two spaces of indentation, one after the colon; or no white space at all."""
    value = {"이름": "가나", "🇰🇷뷁": "👋🏽<bos>"}
    for said in (json.dumps(value, ensure_ascii=False, indent=2), json.dumps(value, ensure_ascii=False, separators=(",", ":"))):
        left = said.encode()
        grammar = grammars.compile(json.dumps(Korean.model_json_schema()))
        while left:
            fits = [one for one in allowed(grammar) if one not in STOPS and left.startswith(written[one])]
            token = max(fits, key=lambda one: len(written[one]))
            grammar.accept(token)
            left = left[len(written[token]) :]
        assert grammar.finished


def test_the_end_is_allowed_exactly_where_the_schema_is_satisfied(text: Text, grammars: Grammars) -> None:
    """Both stop tokens after a whole number, neither before; a control token that is no stop token never."""
    grammar = grammars.compile('{"type": "integer", "minimum": 10}')
    seen = []
    for token in text.plain("123"):
        seen.append(STOPS & set(allowed(grammar)))
        grammar.accept(token)
    assert seen == [set(), set(), STOPS]
    assert not (set(text.control.values()) - STOPS) & set(allowed(grammar))
    assert not grammar.finished


def test_a_tokenizer_without_an_end_still_ends(text: Text) -> None:
    """Without stop tokens an object ends with its last brace."""
    grammar = Grammars(text, frozenset(), WIDTH).compile('{"type": "object", "maxProperties": 0}')
    assert read(text, walk(grammar, min)).split() == ["{", "}"]


def test_logits_wider_than_the_tokenizer(text: Text) -> None:
    """Rows of an embedding without a token are never allowed; rows of logits without a grammar stay as they are."""
    import torch

    wide = Grammars(text, STOPS, WIDTH + 13)
    grammar = wide.compile('{"type": "string"}')
    held = forbid(torch.zeros(3, WIDTH + 13), [None, grammar, None])
    assert (held[[0, 2]] == 0).all()
    assert (held[1] == 0).nonzero().flatten().tolist() == allowed(grammar)
    assert max(allowed(grammar)) < WIDTH


def test_requests_with_one_schema_share_only_its_compilation(text: Text, grammars: Grammars) -> None:
    """A grammar that went on changes no other one of the same schema."""
    schema = '{"enum": ["abc", "abd"]}'
    first, second = grammars.compile(schema), grammars.compile(schema)
    assert read(text, walk(first, min)) in ('"abc"', '"abd"')
    assert (first.finished, second.finished) == (True, False)


def test_max_tokens_cut_as_ever(engine: Engine) -> None:
    """An answer that max_tokens ended within its JSON says `length`."""
    assert answer(engine, Person.model_json_schema(), most=5)[1] == "length"


def test_sampled_answers_follow_their_seed(engine: Engine) -> None:
    """The same seed gives the same JSON."""
    first, second = (answer(engine, {"type": "string", "minLength": 8, "maxLength": 8}, CHOICES[1]) for _ in range(2))
    assert first == second


def test_a_schema_that_proves_too_complex_ends_its_answer_alone(engine: Engine) -> None:
    """Found out at a token: that answer ends as refused, not as JSON that breaks the schema; those beside it go on."""
    schema = json.dumps({"type": "string", "pattern": "^(ab|c)*$", "minLength": 1000000})
    plain = engine.request(PRESETS["text"], "Count to five.", max_tokens=20)
    alone = list(engine.submit(plain))
    answers = [engine.submit(one) for one in (plain, replace(plain, schema=schema), plain)]
    with pytest.raises(Refused, match="too complex"):
        list(answers[1])
    texts = ["".join(piece.text for piece in pieces) for pieces in (alone, answers[0], answers[2])]
    assert len(set(texts)) == 1
    assert texts[0]


def test_an_engine_without_grammars_says_so(text: Text) -> None:
    """It refuses a schema rather than to answer without it."""
    bare = Engine(Scripted([]), text, name="m", stop_ids=frozenset(), max_context=99, max_queue=2)
    with pytest.raises(Refused, match="response_format"):
        bare.submit(Request((2,), 9, schema="{}"))
    bare.close()


def test_a_schema_can_not_change_what_json_is(text: Text, grammars: Grammars) -> None:
    """The grammar library's own extension of schemas is not for users."""
    options = {"item_separator": "x", "key_separator": "=", "whitespace_flexible": True, "lenient": True}
    grammar = grammars.compile(json.dumps({**Person.model_json_schema(), "x-guidance": options}))
    Person.model_validate_json(read(text, walk(grammar, random.Random(1).choice)))
    with pytest.raises(Refused):
        grammars.compile(json.dumps({"not": {}, "x-guidance": options}))


def test_alternatives_of_references(text: Text, grammars: Grammars) -> None:
    """`oneOf` of two definitions, as pydantic writes a discriminated union, gives one of them."""

    class Cat(Strict):
        kind: Literal["cat"]
        lives: int = Field(ge=0, le=9)

    class Dog(Strict):
        kind: Literal["dog"]
        good: bool

    class Pet(Strict):
        pet: Cat | Dog = Field(discriminator="kind")

    dice, seen = random.Random(2), set()
    for _ in range(12):
        said = read(text, walk(grammars.compile(json.dumps(Pet.model_json_schema())), dice.choice))
        seen.add(Pet.model_validate_json(said).pet.kind)
    assert seen == {"cat", "dog"}
