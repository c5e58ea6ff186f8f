"""The sampler: transformers' distributions, a token that depends on its own row alone, nothing that can't be chosen."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as some

from inference_image.engine import Engine, Piece, Request, Sampling
from inference_image.engine.sample import Row, Sampler, _pick, all_shares, best_shares, chance, draw

SIZE = 40
QUIET = settings(deadline=None, max_examples=40)


def logits_of(seed: int, rows: int = 1, size: int = SIZE, step: float = 0.0) -> Any:
    """Random logits; with a `step` many are equal, as those of a model in bfloat16 are."""
    import torch

    made = torch.randn(rows, size, generator=torch.Generator().manual_seed(seed)) * 3
    return (made / step).round() * step if step else made


def row(sampling: Sampling, tokens: Sequence[int] = (), seed: int = 5, **more: Any) -> Row:
    return Row(sampling, seed, more.pop("ids", (3, 4, 4)), tokens, **more)


def drawn(sampling: Sampling, logits: Any, count: int) -> list[int]:
    """One token for each of so many seeds."""
    return Sampler()(logits.expand(count, -1), [row(sampling, seed=seed) for seed in range(count)]).tokens


SAMPLINGS = some.builds(
    Sampling,
    temperature=some.sampled_from([0.0, 0.3, 1.0, 1.7]),
    top_k=some.sampled_from([0, 0, 1, 2, 7, 64]),
    top_p=some.sampled_from([1.0, 0.93, 0.51, 0.07]),
    min_p=some.sampled_from([0.0, 0.0, 0.013, 0.3]),
    repetition_penalty=some.sampled_from([1.0, 1.3, 0.8]),
    presence_penalty=some.sampled_from([0.0, 0.7]),
    frequency_penalty=some.sampled_from([0.0, 0.4, -0.4]),
)


def shares(sampling: Sampling, logits: Any) -> Any:
    """Our probabilities of one row."""
    import torch

    wish = torch.tensor([[sampling.temperature, sampling.top_k, sampling.top_p, sampling.min_p, 0]], dtype=torch.float64)
    if sampling.top_k or sampling.top_p < 1:
        units, numbers, short = best_shares(logits, wish, logits.shape[1], limited=bool(sampling.top_k))
        assert not short.any()
        units = torch.zeros_like(units).scatter_(1, numbers, units)
    else:
        units = all_shares(logits, wish)
    assert not units.is_floating_point()  # sums are the same in any order
    return units.double()[0] / units.sum()


@QUIET
@given(SAMPLINGS, some.integers(0, 10_000), some.sampled_from([0.0, 0.5]))
def test_distributions_are_those_of_transformers(sampling: Sampling, seed: int, step: float) -> None:
    """Temperature, top_k, top_p and min_p leave the same tokens with the same probabilities as transformers' own classes."""
    import torch
    from transformers import LogitsProcessorList, MinPLogitsWarper, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

    assume(sampling.temperature > 0)
    logits = logits_of(seed, step=step)
    theirs: list[Any] = [TemperatureLogitsWarper(sampling.temperature)]
    if sampling.top_k:
        theirs.append(TopKLogitsWarper(sampling.top_k))
    before = LogitsProcessorList(theirs)(None, logits).double().softmax(-1).sort(descending=True)[0]
    # Where a border falls within rounding, transformers' own answer is a matter of float32.
    borders = before.cumsum(-1) - before
    assume(float((borders - sampling.top_p).abs().min()) > 1e-5)
    if sampling.top_p < 1:
        theirs.append(TopPLogitsWarper(sampling.top_p))
    theirs.append(MinPLogitsWarper(sampling.min_p))
    expected = LogitsProcessorList(theirs)(None, logits).double().softmax(-1)[0]
    ours = shares(sampling, logits)
    # Of equally likely tokens at a border it is not said which stay: compared are the probabilities.
    assert torch.allclose(ours.sort()[0], expected.sort()[0], atol=1e-6)
    if not step:
        assert torch.equal(ours > 0, expected > 1e-12)


@QUIET
@given(some.lists(SAMPLINGS, min_size=2, max_size=6), some.integers(0, 10_000), some.randoms())
def test_a_token_depends_on_its_own_row_alone(samplings: list[Sampling], seed: int, dice: random.Random) -> None:
    """Alone, in any batch and in any place of it: the same token and the same logprobs, bit for bit."""
    size = 3000 if dice.random() < 0.3 else SIZE  # more than are put in order first, too
    logits = logits_of(seed, len(samplings), size, step=0.25)
    answers = [[dice.randrange(SIZE) for _ in range(dice.randrange(5))] for _ in samplings]
    wanted = [dice.choice([None, 0, 3]) for _ in samplings]

    def asked(order: Sequence[int]) -> Any:
        rows = [row(samplings[at], answers[at], seed=seed + at, logprobs=wanted[at]) for at in order]
        return Sampler()(logits[list(order)], rows)

    alone = [asked([at]) for at in range(len(samplings))]
    order = dice.sample(range(len(samplings)), len(samplings))
    together = asked(order)
    assert together.tokens == [alone[at].tokens[0] for at in order]
    assert together.scored == [alone[at].scored[0] for at in order]


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(temperature=1.0),
        Sampling(temperature=1.3, min_p=0.02),
        Sampling(temperature=1.0, top_k=9),
        Sampling(temperature=0.7, top_p=0.9),
    ],
    ids=["all", "min_p", "top_k", "top_p"],
)
def test_tokens_come_as_often_as_they_should(sampling: Sampling) -> None:
    """Over many seeds, each token in its share: chi square below what one of ten thousand such tests exceeds."""
    logits = logits_of(11)
    expected = shares(sampling, logits)
    count = 4000
    seen = Counter(drawn(sampling, logits, count))
    likely = [token for token in range(SIZE) if float(expected[token]) * count >= 5]
    square = sum((seen[token] - float(expected[token]) * count) ** 2 / (float(expected[token]) * count) for token in likely)
    free = len(likely) - 1
    assert square < free + 4 * (2 * free) ** 0.5 + 11
    assert not [token for token in seen if expected[token] == 0]


@QUIET
@given(SAMPLINGS, some.integers(0, 10_000), some.integers(1, SIZE))
@example(Sampling(temperature=2.0, top_k=30, top_p=0.5), 1, 10)
@example(Sampling(temperature=9.0, top_k=12, top_p=0.5), 4, 13)
def test_fewer_candidates_never_change_a_token(sampling: Sampling, seed: int, most: int) -> None:
    """What the likeliest few decide is what the whole vocabulary decides; where they don't suffice, that is said."""
    assume(sampling.temperature > 0)
    rows = [row(sampling, seed=seed + at) for at in range(40)]
    logits = logits_of(seed, 4, step=0.5).repeat(10, 1)
    tokens, missed = draw(logits, rows, most)
    whole, never = draw(logits, rows, SIZE)
    assert not never.any()
    assert all(bool(out) or token == right for token, out, right in zip(tokens, missed, whole, strict=True))


def test_a_flat_distribution_reaches_beyond_the_candidates() -> None:
    """top_p over thousands of equally likely tokens draws from all of them, as does a top_k that large."""
    import torch

    for sampling in (Sampling(temperature=1.0, top_p=0.99), Sampling(temperature=1.0, top_k=2500)):
        tokens = drawn(sampling, torch.zeros(1, 4000), 64)
        assert max(tokens) > 2000
        assert len(set(tokens)) > 55


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(temperature=1e-30), Sampling(temperature=2.0, top_k=1)])
def test_no_chance_is_the_best_token(sampling: Sampling) -> None:
    """Temperature 0 or nearly, and top_k 1: the first of the likeliest tokens."""
    import torch

    logits = logits_of(4, 8)
    assert Sampler()(logits, [row(sampling, seed=at) for at in range(8)]).tokens == logits.argmax(-1).tolist()
    if sampling.temperature != 1e-30:
        assert Sampler()(torch.zeros(1, SIZE), [row(sampling)]).tokens == [0]


def test_greedy_rows_cost_one_argmax() -> None:
    """When all rows are plainly greedy, nothing else is asked of the logits."""

    class Only:
        def argmax(self, dim: int) -> Any:
            return logits_of(2, 3).argmax(dim)

    assert Sampler()(Only(), [row(Sampling()) for _ in range(3)]).tokens == logits_of(2, 3).argmax(-1).tolist()  # type: ignore[arg-type]


def test_what_is_impossible_is_never_chosen() -> None:
    """Tokens at minus infinity, as a grammar leaves them, never come; logits that are no numbers give some token and no crash."""
    import torch

    logits = logits_of(3)
    logits[:, 5:] = -torch.inf
    for sampling in (Sampling(temperature=2.0), Sampling(temperature=2.0, top_k=30), Sampling(temperature=2.0, top_p=0.9999)):
        assert set(drawn(sampling, logits, 400)) <= set(range(5))
        for size in (SIZE, SIZE + 1):
            assert all(0 <= token < size for token in drawn(sampling, torch.full((1, size), torch.nan), 50))


def test_a_random_number_falls_on_a_share() -> None:
    """Borders belong to the token above them, and nothing falls on a token without a share."""
    import torch

    wish = torch.zeros(4, 5, dtype=torch.float64)
    wish[:, 4] = torch.tensor([0.0, 0.49, 0.5, 1 - 2**-53])
    assert _pick(torch.tensor([[0, 5, 0, 5, 0]]).expand(4, -1), wish).tolist() == [1, 1, 3, 3]


def test_each_step_has_its_own_chance() -> None:
    """A request's seed gives other numbers at each token, and the same ones again."""
    import torch

    def told() -> list[int]:
        flat, tokens = torch.zeros(1, 1000), list[int]()
        for _ in range(12):
            tokens += Sampler()(flat, [row(Sampling(temperature=1.0), tokens)]).tokens
        return tokens

    assert told() == told()
    assert len(set(told())) > 10


def test_chance_is_the_same_on_any_machine() -> None:
    """A number is a function of seed and step, written down here; no two are alike."""
    assert [chance(0, 0), chance(7, 1), chance(-3, 2)] == [0.6400741756716787, 0.22924105308113152, 0.727705072279639]
    many = [chance(seed, step) for seed in range(60) for step in range(60)]
    assert len(set(many)) == 3600
    assert 0 <= min(many) < 0.01 < 0.48 < sum(many) / 3600 < 0.52 < 0.99 < max(many) < 1


@QUIET
@given(
    some.lists(some.integers(0, SIZE + 3), max_size=9), some.lists(some.integers(0, SIZE - 1), max_size=9), some.integers(0, 999)
)
def test_penalties_are_those_of_their_makers(ids: list[int], answer: list[int], seed: int) -> None:
    """Repetition as transformers does it, over prompt and answer; frequency and presence as OpenAI does, over the answer."""
    import torch
    from transformers import RepetitionPenaltyLogitsProcessor

    logits = logits_of(seed)
    sampling = Sampling(repetition_penalty=1.4, frequency_penalty=0.3, presence_penalty=0.6)
    known = torch.tensor([[one for one in [*ids, *answer] if one < SIZE]], dtype=torch.long)
    expected = RepetitionPenaltyLogitsProcessor(1.4)(known, logits.clone())[0]
    for token, count in Counter(answer).items():
        expected[token] -= 0.3 * count + 0.6
    grown: list[int] = []
    one = row(sampling, grown, ids=ids)
    for token in answer:  # told one by one, as in an answer
        Sampler()(logits, [one])
        grown.append(token)
    assert Sampler()(logits, [one]).tokens == [int(expected.argmax())]
    assert one.seen is not None
    assert torch.allclose(one.seen.penalise(logits[0], sampling), expected, atol=1e-6)


def test_logprobs_are_the_models_own() -> None:
    """Of the raw logits, whatever penalties and temperature did; the likeliest first, as many as asked."""
    import torch

    logits = logits_of(8, 3)
    sampling = Sampling(temperature=5.0, repetition_penalty=2.0, seed=1)
    told = Sampler()(logits, [row(sampling, (1, 2), logprobs=4), row(Sampling()), row(Sampling(), logprobs=0)])
    expected = logits.log_softmax(-1)
    first, nothing, last = told.scored
    assert (nothing, first.id, last.top) == (None, told.tokens[0], ())  # type: ignore[union-attr]
    assert first.logprob == pytest.approx(float(expected[0, first.id]))  # type: ignore[union-attr]
    assert last.logprob == pytest.approx(float(expected[2].max()))  # type: ignore[union-attr]
    assert [one for one, _ in first.top] == expected[0].topk(4).indices.tolist()  # type: ignore[union-attr]
    assert torch.allclose(torch.tensor([value for _, value in first.top]), expected[0].topk(4).values)  # type: ignore[union-attr]


def test_an_engine_repeats_a_seed_in_any_company(engine: Engine) -> None:
    """Sampled answers and their logprobs, alone and among others that are greedy, penalised or held to a schema."""
    ids = tuple(engine.text.plain("zzz qqq"))
    watched = Request(ids, 10, sampling=Sampling(temperature=1.5, top_p=0.95, seed=3), logprobs=2)
    others = [
        Request(ids, 14),
        Request(ids, 7, sampling=Sampling(temperature=1.0, repetition_penalty=1.5)),
        Request(ids, 9, schema='{"type": "object"}', sampling=Sampling(temperature=1.0)),
    ]
    alone = list(engine.submit(watched))
    answers = [engine.submit(one) for one in (*others, watched)]
    together = [list(answer) for answer in answers][-1]
    assert read(together) == read(alone)
    assert len(read(alone)[1]) in (alone[-1].usage.completion_tokens, alone[-1].usage.completion_tokens - 1)  # type: ignore[union-attr]


def read(pieces: list[Piece]) -> tuple[str, list[int]]:
    return "".join(piece.text for piece in pieces), [token.id for piece in pieces for token in piece.tokens]
