"""Owns how an answer is held to a JSON schema, token by token. Knows no model, no schedule and no HTTP."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Final, NoReturn

from inference_image.contract import RequestCode
from inference_image.engine.request import Refused
from inference_image.engine.schema_limits import check

if TYPE_CHECKING:
    import torch
    from llguidance import LLMatcher, LLParserLimits, LLTokenizer

    from inference_image.engine.text import Text

FIELD: Final = "response_format"
"""What a refusal names: the field of OpenAI's that carries a schema."""

KEPT: Final = 16
"""Grammars that stay compiled: most services ask for the same few again and again."""

# One space, or one line end with its indentation, where JSON allows white space at all; llguidance matches it at most once in
# each place. Enough for compact and for indented JSON, and a small model can't write blanks until max_tokens.
_WHITE_SPACE: Final = r"[ ]|\n[ ]{0,16}"

# oneOf counts as anyOf: the answer follows at least one of them. llguidance would else refuse every oneOf of two $ref, which
# is what pydantic makes of a discriminated union. Set over what a schema says itself in this extension of llguidance's.
_OPTIONS: Final = {"whitespace_pattern": _WHITE_SPACE, "coerce_one_of": True}

_REASONS: Final = (
    ("Unsatisfiable", "no JSON can satisfy it"),
    ("not present in a registry", "a $ref that leads out of the schema, or an unknown $schema"),
    ("Pointer", "a $ref that leads nowhere"),
    ("circular references", "a $ref in a circle with further keys beside it"),
    ("Unknown format", "an unknown `format`"),
    ("Invalid type", "an unknown `type`"),
    ("look-around", "a `pattern` with what is no regular language: look-around or anchors inside"),
    ("lookarounds", "a `pattern` with what is no regular language: look-around or anchors inside"),
    ("regex parse error", "a `pattern` that is no regular expression"),
    ("not disjoint", "patternProperties that overlap"),
    ("are disjoint", "patternProperties that may overlap"),
    ("Unable to determine", "it is too complex"),
    ("too big", "it is too complex"),
    ("too large", "it is too complex"),
    ("stack level", "it is too complex"),
    ("limits", "it is too complex"),
    ("Failed to generate regex", "a number's range that is too wide"),
    ("multiple", "a `multipleOf` that can't be followed"),
    ("Properties", "minProperties or maxProperties beside optional properties"),
)
"""llguidance's words, which may repeat the schema, and what is told instead."""


class Grammar:
    """What one answer may continue with. One owner: the thread that samples."""

    def __init__(self, matcher: LLMatcher) -> None:
        self._matcher = matcher
        self._mask: bytes | None = None

    def mask(self) -> bytes:
        """One bit per token, the lowest bit of the first byte is token 0. Raises Refused when the grammar turns out too complex.

        Kept until accept(): a schedule may ask for it early, while the model still computes.
        """
        if self._mask is None:
            self._mask = self._matcher.compute_bitmask()
            if self._matcher.is_error():  # llguidance then allows the end, which would be an answer against the schema
                refuse("it is too complex to be followed")
        return self._mask

    def accept(self, token: int) -> None:
        """Tell which token was chosen. A stop token ends the answer and need not be told."""
        self._mask = None
        if not self._matcher.consume_token(token):
            refuse("it is too complex to be followed")

    @property
    def finished(self) -> bool:
        """Nothing can follow: the answer is complete without a stop token."""
        return bool(self._matcher.is_stopped())


class Grammars:
    """Makes grammars for one tokenizer. Safe to call from any thread.

    The first one takes about a second for Gemma 3's 262 144 tokens, during which no other Python code runs: a service that is
    never asked for a schema never pays for it.
    """

    def __init__(self, text: Text, stop_ids: Collection[int], width: int) -> None:
        """`width`: numbers of a row of logits; those that are no token are never allowed."""
        self._text = text
        self._stop_ids = sorted(number for number in stop_ids if number < width)
        self._width = width
        self._lock = threading.Lock()
        self._tokenizer: LLTokenizer | None = None
        self._kept: OrderedDict[str, LLMatcher] = OrderedDict()

    def compile(self, schema: str) -> Grammar:
        """A JSON schema, as JSON text. Raises Refused(invalid_request), in words that don't repeat it.

        Takes milliseconds, and up to a second for a large one: not on an event loop.
        """
        with self._lock:  # also so that large schemas, however many come, take one core
            matcher = self._kept.get(schema)
            if matcher is None:
                matcher = self._compile(schema)
                self._kept[schema] = matcher
                if len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
            else:
                self._kept.move_to_end(schema)
            return Grammar(matcher.deep_copy())

    def _compile(self, schema: str) -> LLMatcher:
        from llguidance import LLMatcher

        made = check(schema)
        if isinstance(made, str):
            refuse(made)
        if self._tokenizer is None:
            self._tokenizer = _tokenizer(self._text, self._stop_ids, self._width)
        try:
            grammar = LLMatcher.grammar_from_json_schema(json.dumps({**made, "x-guidance": _OPTIONS}))
        except ValueError:  # its text may repeat the schema
            refuse("it is no JSON schema")
        matcher = LLMatcher(self._tokenizer, grammar, log_level=0, limits=_limits())
        if not matcher.is_error():
            # A schema that only refers to itself is found out here, and before the first token.
            matcher.compute_bitmask()
        if matcher.is_error():
            refuse(_reason(matcher.get_error()))
        return matcher


def forbid(logits: torch.Tensor, grammars: Sequence[Grammar | None]) -> torch.Tensor:
    """[rows, width] logits with -inf for what a row's grammar doesn't allow. Rows without a grammar stay as they are."""
    import torch

    rows = [at for at, grammar in enumerate(grammars) if grammar is not None]
    if not rows:
        return logits
    packed = bytearray().join(grammar.mask() for grammar in grammars if grammar is not None)
    # Without waiting for what a GPU still computes.
    bits = torch.frombuffer(packed, dtype=torch.uint8).to(logits.device, non_blocking=True).view(len(rows), -1, 1)
    allowed = (bits >> torch.arange(8, dtype=torch.uint8, device=logits.device)).bitwise_and_(1).flatten(1)
    at = torch.tensor(rows).to(logits.device, non_blocking=True)
    held = logits.index_select(0, at).masked_fill_(allowed[:, : logits.shape[1]] == 0, -torch.inf)
    return logits.index_copy(0, at, held)


def refuse(reason: str) -> NoReturn:
    """Raises Refused(invalid_request) that names the field, as every wrong field of a body is named."""
    problem = f"the schema can't be followed: {reason}"
    raise Refused(RequestCode.INVALID_REQUEST, f"{FIELD}: {problem}", facts={"fields": [{"field": FIELD, "problem": problem}]})


def _reason(error: str) -> str:
    if error.startswith("Unimplemented keys"):  # only names that JSON schema itself has
        return f"keywords that aren't supported: {error.partition('[')[2].partition(']')[0]}".replace('"', "")[:200]
    return next((reason for sign, reason in _REASONS if sign in error), "it is no JSON schema, or uses what isn't supported")


def _limits() -> LLParserLimits:
    from llguidance import LLParserLimits

    # A schema comes from outside. What is lower than llguidance's own limits keeps a compile below a second or two and what a
    # request holds in memory below some tens of megabytes; verbose errors would repeat the schema and the answer.
    return LLParserLimits(
        initial_lexer_fuel=300_000,
        max_grammar_size=100_000,
        max_lexer_states=50_000,
        max_items_in_row=5_000,  # 2000 would stop at some 500 optional properties
        verbose_errors=False,
    )


def _tokenizer(text: Text, stop_ids: Sequence[int], width: int) -> LLTokenizer:
    """The tokenizer as llguidance wants it: the bytes that each token writes, none for a control token.

    Not from tokenizer.json: llguidance would then read a control token's name in a schema's own words as that token.
    """
    from llguidance import LLTokenizer, TokenizerWrapper

    return LLTokenizer(TokenizerWrapper(_Tokens(text, stop_ids, width)), eos_token=list(stop_ids) or None)


class _Tokens:
    """What llguidance's TokenizerWrapper asks for."""

    bos_token_id = None

    def __init__(self, text: Text, stop_ids: Sequence[int], width: int) -> None:
        self._text = text
        self.tokens = text.written(width)
        # None: llguidance adds an end of its own beyond `width`; such an answer ends with its JSON or with max_tokens.
        self.eos_token_id = stop_ids[0] if stop_ids else None

    def __call__(self, text: str) -> list[int]:
        """Tokens of what the schema forces."""
        return self._text.plain(text)
