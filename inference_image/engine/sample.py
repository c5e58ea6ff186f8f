"""Owns the choice of each row's next token from its logits: penalties, chance, logprobs. Knows no model and no text.

Definitions and order are transformers': repetition penalty, then temperature, top_k, top_p and min_p; presence and frequency
penalty, of the answer alone, are OpenAI's.

A row's token depends on that row alone, bit for bit, whatever is computed beside it: the random number is a hash of seed and
step, shares are whole numbers, so that their sums are the same in any order, and of equal logits the lower token comes first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from inference_image.engine.grammar import Grammar, forbid
from inference_image.engine.penalties import Seen
from inference_image.engine.request import Sampling, Token

if TYPE_CHECKING:
    import torch

_UNITS: Final = 1 << 44
"""The likeliest token's share as a whole number. 2^18 tokens like it are 2^62, and what is 2^-44 times as likely never comes."""

_SOME: Final = 512
"""Tokens that are put in order first. Where top_k or top_p reach further, the whole vocabulary is: some ten times the work."""

_ANY, _NUCLEUS, _ORDERED = range(3)
"""What a row needs: each token's share; that and the likeliest tokens in order; those in order alone."""


@dataclass(eq=False)
class Row:
    """One answer, as the sampler sees it. `tokens` are those it has so far: the owner's own list, which grows."""

    sampling: Sampling
    seed: int
    ids: Sequence[int]
    tokens: Sequence[int]
    grammar: Grammar | None = None
    logprobs: int | None = None
    seen: Seen | None = None
    """The sampler's own, while the row lives."""

    def __post_init__(self) -> None:
        one = self.sampling
        self.penalised = one.repetition_penalty != 1 or one.presence_penalty != 0 or one.frequency_penalty != 0
        # top_k 1 is greedy also where two tokens are equally likely.
        self.greedy = one.temperature <= 0 or one.top_k == 1
        self.plain = self.greedy and not self.penalised and self.grammar is None and self.logprobs is None


@dataclass(frozen=True)
class Chosen:
    """A token for each row, and what is known of it where the row wants logprobs."""

    tokens: list[int]
    scored: list[Token | None]


class Sampler:
    """Chooses a token for each row of logits [rows, vocabulary]."""

    def __call__(self, logits: torch.Tensor, rows: Sequence[Row]) -> Chosen:
        """Raises Refused when a row's grammar can't go on; Grammar.mask() tells beforehand which one's."""
        if all(row.plain for row in rows):
            best: list[int] = logits.argmax(-1).tolist()
            return Chosen(best, [None] * len(rows))
        import torch

        with torch.inference_mode():
            return self._choose(logits.float(), rows)

    def _choose(self, raw: torch.Tensor, rows: Sequence[Row]) -> Chosen:
        import torch

        held = _penalise(forbid(raw, [row.grammar for row in rows]), rows)
        tokens = held.argmax(-1)
        short = torch.zeros_like(tokens, dtype=torch.bool)
        drawn = [at for at, row in enumerate(rows) if not row.greedy]
        most = _SOME
        while True:
            if drawn:
                at = _there(drawn, raw)
                picked, missed = draw(held.index_select(0, at), [rows[one] for one in drawn], most)
                tokens, short = tokens.index_copy(0, at, picked), short.index_copy(0, at, missed)
            # One transfer for all of it: float64 holds every token's number.
            told = torch.cat([tokens.double()[:, None], short.double()[:, None], *_scores(raw, rows, tokens)], dim=1).tolist()
            drawn, most = [at for at, one in enumerate(told) if one[1]], held.shape[1]
            if not drawn:
                return Chosen([int(one[0]) for one in told], [_token(one, row) for one, row in zip(told, rows, strict=True)])


def chance(seed: int, step: int) -> float:
    """A number in [0, 1) for one step of one answer: the same on any machine."""
    told = hashlib.blake2b(b"%d %d" % (seed, step), digest_size=8).digest()
    return (int.from_bytes(told, "big") >> 11) / (1 << 53)


def _penalise(logits: torch.Tensor, rows: Sequence[Row]) -> torch.Tensor:
    wanting = [at for at, row in enumerate(rows) if row.penalised]
    if wanting:
        logits = logits.clone()
    for at in wanting:
        row = rows[at]
        row.seen = row.seen or Seen(row.ids, logits.shape[1], logits.device)
        row.seen.add(row.tokens)
        logits[at] = row.seen.penalise(logits[at], row.sampling)
    return logits


def draw(logits: torch.Tensor, rows: Sequence[Row], most: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A token for each row by chance, and whether that needs more than the `most` likeliest tokens: then it is none yet."""
    import torch

    wish = torch.tensor([_wish(row) for row in rows], dtype=torch.float64).to(logits.device, non_blocking=True)
    tokens = torch.zeros(len(rows), dtype=torch.long, device=logits.device)
    missed = torch.zeros(len(rows), dtype=torch.bool, device=logits.device)
    kinds = [_ORDERED if row.sampling.top_k else _NUCLEUS if row.sampling.top_p < 1 else _ANY for row in rows]
    for kind in sorted({*kinds}):
        at = _there([at for at, one in enumerate(kinds) if one == kind], logits)
        some, wishes = logits.index_select(0, at), wish.index_select(0, at)
        if kind == _ANY:
            picked = _pick(all_shares(some, wishes), wishes)
        else:
            units, numbers, short = best_shares(some, wishes, min(most, logits.shape[1]), limited=kind == _ORDERED)
            picked = numbers.gather(1, _pick(units, wishes)[:, None])[:, 0]
            missed = missed.index_copy(0, at, short)
        tokens = tokens.index_copy(0, at, picked)
    return tokens, missed


def _wish(row: Row) -> tuple[float, float, float, float, float]:
    one = row.sampling
    return one.temperature, one.top_k, one.top_p, one.min_p, chance(row.seed, len(row.tokens))


def all_shares(logits: torch.Tensor, wish: torch.Tensor) -> torch.Tensor:
    """Without top_k and top_p: each token's share, in whole numbers."""
    shares = _shares(logits, logits.amax(-1, keepdim=True), wish)
    return _units(shares.where(shares >= wish[:, 3:4], 0.0))


def best_shares(
    logits: torch.Tensor, wish: torch.Tensor, most: int, *, limited: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """With top_k (`limited`) or only top_p: shares and numbers of the likeliest tokens, in order.

    The third says for which rows so many are too few.
    """
    import torch

    values, numbers = _in_order(logits, most)
    worst = values[:, -1:]
    shares = _shares(values, values[:, :1], wish)
    keep = (values > -torch.inf) & (shares >= wish[:, 3:4])
    units = _units(shares)
    if limited:
        # As transformers: all that are as likely as the k-th stay.
        kth = values.gather(1, (wish[:, 1:2].long() - 1).clamp(0, most - 1))
        units = units * (values >= kth)
        keep &= values >= kth
        mass = units.sum(-1, keepdim=True)
    else:
        mass = _units(_shares(logits, values[:, :1], wish)).sum(-1, keepdim=True)
    keep &= (units.cumsum(-1) - units) < wish[:, 2:3] * mass
    keep[:, 0] = True

    # What is as likely as the worst of these may lie outside.
    last = kth if limited else values.gather(1, keep.sum(-1, keepdim=True) - 1)
    short = (last <= worst) & (worst > -torch.inf)
    return units * keep, numbers, short[:, 0] & (most < logits.shape[1])


def _in_order(logits: torch.Tensor, most: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The likeliest so many: logits and numbers, of equal ones the lower number first."""
    if most == logits.shape[1]:
        values, numbers = logits.sort(dim=-1, descending=True, stable=True)
        return values, numbers
    values, numbers = logits.topk(most, dim=-1)
    numbers, order = numbers.sort(dim=-1)
    values, order = values.gather(1, order).sort(dim=-1, descending=True, stable=True)
    return values, numbers.gather(1, order)


def _shares(logits: torch.Tensor, best: torch.Tensor, wish: torch.Tensor) -> torch.Tensor:
    """How likely each token is beside the likeliest."""
    return (logits - best).div_(wish[:, :1].to(logits.dtype)).exp_()


def _units(shares: torch.Tensor) -> torch.Tensor:
    return (shares * _UNITS).long()  # a power of two: exact in float32


def _pick(units: torch.Tensor, wish: torch.Tensor) -> torch.Tensor:
    """Where each row's random number falls: never on a token without a share."""
    import torch

    ends = units.cumsum(-1)
    goal = (ends[:, -1:] * wish[:, 4:5]).long().minimum(ends[:, -1:] - 1)
    # The limit is for logits that are no numbers: a token outside would end the whole process on a GPU.
    return torch.searchsorted(ends, goal, right=True)[:, 0].clamp_(max=units.shape[1] - 1)


def _there(rows: list[int], logits: torch.Tensor) -> torch.Tensor:
    """Numbers of rows on the device of the logits, without waiting for what is computed there."""
    import torch

    return torch.tensor(rows).to(logits.device, non_blocking=True)


def _scores(raw: torch.Tensor, rows: Sequence[Row], tokens: torch.Tensor) -> list[torch.Tensor]:
    """Columns of a row's logprobs by the model's own logits: of its token, then of the likeliest tokens, then their numbers."""
    import torch

    wanting = [at for at, row in enumerate(rows) if row.logprobs is not None]
    if not wanting:
        return []
    at = _there(wanting, raw)
    known = raw.index_select(0, at).log_softmax(-1)
    best, numbers = known.topk(min(max(rows[one].logprobs or 0 for one in wanting), raw.shape[1]), dim=-1)
    columns = torch.cat([known.gather(1, tokens.index_select(0, at)[:, None]).double(), best.double(), numbers.double()], dim=1)
    return [columns.new_zeros(len(rows), columns.shape[1]).index_copy(0, at, columns)]


def _token(told: list[float], row: Row) -> Token | None:
    if row.logprobs is None:
        return None
    token, _, logprob, *rest = told
    best = sorted(zip(map(int, rest[len(rest) // 2 :]), rest[: len(rest) // 2], strict=True), key=lambda one: (-one[1], one[0]))
    return Token(int(token), logprob, tuple(best[: row.logprobs]))
