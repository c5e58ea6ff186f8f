"""Owns a run's model, tokenizer and trl's trainer, from rows to an adapter. Knows no bucket, no clock and no attempt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetune_image import kernels, language_model, micro, rng
from finetune_image.contract import Code, TuneFailed
from finetune_image.data.encode import Encoder, Row
from finetune_image.sft_config import checkpointing, config, fixed, logging_steps, prepared, silence
from finetune_image.table import Table, tabled
from finetune_image.words import TokenizerWords

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import TrainerCallback
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    from finetune_image.language_model import Language
    from finetune_image.run import Run, Wish


@dataclass(frozen=True)
class Stats:
    """What became of the rows, and how they are trained."""

    rows: int
    used: int
    dropped: int
    """Rows without a token to learn once they are cut at max_length."""
    truncated: int
    """Rows that are used, but not whole."""
    tokens: int
    """Of all used rows; `learned`: those of them with a label."""
    learned: int
    tokens_p50: int
    """Of the rows as they came: median, 95th percentile, longest."""
    tokens_p95: int
    tokens_max: int
    sequences: int
    """After packing."""
    held: int
    trainable: int
    """Parameters of the adapter; `parameters`: of the base."""
    parameters: int
    nf4: bool
    dtype: str
    unfused: str
    """Why trl's kernels don't run here, so that the loss is slower; empty: they do, or it is a CPU."""
    micro: int
    accumulation: int
    checkpointing: bool


@dataclass
class Built:
    """One owner of model, tokenizer and trainer. `trainer.train(resume_from_checkpoint=folder)` goes on where a run stood."""

    trainer: SFTTrainer
    steps: int
    stats: Stats
    language: Language
    encoder: Encoder
    wish: Wish
    device: str = "cpu"

    @property
    def _model(self) -> Any:
        return self.trainer.model

    @property
    def smaller(self) -> int | None:
        """`micro` to build with after memory ran out: less, or the same with activation checkpointing; None: nothing is left."""
        stats = self.stats
        if self.device != "cpu" and not stats.checkpointing and checkpointing(self.wish) is not False:
            return stats.micro
        return micro.smaller(stats.micro, stats.accumulation)

    def held_out(self, *, base: bool = False) -> float | None:
        """Mean loss over the learned tokens of the held-out rows; None without any. `base`: without the adapter.

        Leaves the random numbers as they were: a run with more evaluations trains the same weights.
        """
        if not self.stats.held:
            return None
        import torch

        trainer: Any = self.trainer
        total, count = 0.0, 0
        with self._aside(base=base), trainer.compute_loss_context_manager():
            for batch in trainer.get_eval_dataloader():
                inputs = trainer._prepare_inputs(batch)  # noqa: SLF001 - to the device, as evaluate() does
                made = self._model(**inputs, use_cache=False, fused_lm_head=True)
                total -= float(made.log_probs.sum(dtype=torch.float64))
                count += int(made.label_mask.sum())
        return total / max(1, count)

    def answers(self, rows: Sequence[Row], most_tokens: int = 128, *, base: bool = False) -> list[str]:
        """Greedy answers to the prompts of rows, in the form in which they are trained. `base`: without the adapter."""
        import torch

        tokenizer, model = self.language.tokenizer, self._model
        ends = [*self.language.family.stops, str(tokenizer.eos_token)]
        found: Any = tokenizer.convert_tokens_to_ids(ends)
        stops = sorted({number for number in found if number is not None})
        made = []
        with self._aside(base=base):
            for row in rows:
                asked = torch.tensor([self.encoder.prompt(row)], device=model.device)
                said = model.generate(
                    input_ids=asked, attention_mask=torch.ones_like(asked), do_sample=False, max_new_tokens=most_tokens,
                    eos_token_id=stops, pad_token_id=tokenizer.pad_token_id,
                )  # fmt: skip
                made.append(str(tokenizer.decode(said[0, asked.shape[1] :], skip_special_tokens=True)))
        return made

    @contextmanager
    def _aside(self, *, base: bool) -> Iterator[None]:
        """Evaluate in between: no dropout, no gradients, and neither the mode nor any random number is changed after it."""
        import torch

        model = self._model
        trained = model.training
        without = model.disable_adapter() if base else nullcontext()
        try:
            with rng.untouched(), torch.no_grad(), without:
                model.eval()
                yield
        finally:
            model.train(trained)


def build(
    run: Run, base: Path, train: Sequence[Row], held: Sequence[Row], out: Path, *,
    device: str, callbacks: Sequence[TrainerCallback] = (), micro: int | None = None, dtype: str | None = None,
) -> Built:  # fmt: skip
    """Read the model, make tokens of the rows, give the model its adapter. `out`: trl's folder, checkpoint-N inside.

    `device`: `cpu` or `cuda:0`; `micro`: most sequences of a micro-batch, instead of measuring, and on a GPU with activation
    checkpointing: it is given after memory ran out. `dtype`: bfloat16, or float32,
    which is the default on CPU: there bfloat16 takes four times as long, and Gemma's weights are the same numbers in both.

    Raises:
        TuneFailed: (model_invalid, data_invalid, settings_invalid) what it says.
        torch.OutOfMemoryError: the model itself does not fit.
    """
    silence()
    unfused = kernels.settle(device)
    wish, dtype = run.wish, dtype or ("float32" if device == "cpu" else "bfloat16")
    language = language_model.read(wish, base, device=device, dtype=dtype)
    sft = wish.train.sft
    if sft.get("eos_token"):
        language.tokenizer.eos_token = sft["eos_token"]
    whole = sft.get("assistant_only_loss") is False or sft.get("completion_only_loss") is False
    encoder = Encoder(TokenizerWords(language.tokenizer), language.family, answers_only=not whole)
    rows, kept = tabled(encoder, train, wish), tabled(encoder, held, wish)
    if not rows.used:
        detail = f"none of {rows.given} rows has an answer within max_length ({wish.train.max_length} tokens)"
        raise TuneFailed(Code.DATA_INVALID, "train.max_length", detail, "set train.max_length higher")
    _require_known(rows, language)
    mixed = dtype == "bfloat16"
    model = _with_adapter(wish, language)
    batch = _batch(wish, rows, model, device, micro, mixed=mixed)
    trainer = _trainer(config(wish, out, batch, cpu=device == "cpu", mixed=mixed), language, model, rows, kept, list(callbacks))
    sequences = len(trainer.train_dataset)  # type: ignore[arg-type]  # a Dataset, as it was given
    steps = int(trainer.set_initial_training_values(trainer.args, trainer.get_train_dataloader())[-1])
    trainer.args.logging_steps = logging_steps(wish, steps)
    trainable = sum(one.numel() for one in model.parameters() if one.requires_grad)
    stats = Stats(
        rows=rows.given, used=rows.used, dropped=rows.dropped, truncated=rows.truncated, tokens=rows.tokens,
        learned=rows.learned, tokens_p50=rows.percentile(0.5), tokens_p95=rows.percentile(0.95), tokens_max=rows.percentile(1),
        sequences=sequences, held=kept.used, trainable=trainable, parameters=language.parameters, nf4=language.nf4,
        dtype=dtype, unfused=unfused, **asdict(batch),
    )  # fmt: skip
    return Built(trainer, steps, stats, language, encoder, wish, device)


def _require_known(rows: Table, language: Language) -> None:
    """What a model does not know would end in the middle of a kernel, or be learned wrong. Raises TuneFailed."""
    config = language.model.config.get_text_config()
    if rows.highest >= (words := int(config.vocab_size)):
        named = str(language.tokenizer.convert_ids_to_tokens(rows.highest))
        detail = f"the tokenizer makes {named} of a text, which this model doesn't know: it has {words:,} tokens"
        raise TuneFailed(Code.DATA_INVALID, "data.train", detail, "gemmactl finetune check DATA names the rows")
    if rows.longest > (places := int(config.max_position_embeddings)):
        detail = f"a row has {rows.longest:,} tokens, and the model knows {places:,} places"
        raise TuneFailed(Code.SETTINGS_INVALID, "train.max_length", detail, f"--set train.max_length={places}")


def _with_adapter(wish: Wish, language: Language) -> PeftModel:
    """The base frozen, and beside each of its language model's linear layers the adapter, in float32.

    float32: AdamW's second moment moves by a thousandth a step, which bfloat16 can't hold.
    """
    from peft import LoraConfig, get_peft_model
    from transformers import set_seed

    names = language_model.targets(language.model, language.family, wish.lora.target)
    set_seed(wish.train.seed)  # the adapter begins with random numbers
    told = LoraConfig(
        r=wish.lora.r, lora_alpha=wish.lora.alpha, lora_dropout=wish.lora.dropout, bias="none", task_type="CAUSAL_LM",
        target_modules=language_model.leaves(names), exclude_modules=language_model.others(language.model, language.family),
    )  # fmt: skip
    model = get_peft_model(language.model, told)
    _float(model)
    return model


def _float(model: PeftModel) -> None:
    for one in model.parameters():
        if one.requires_grad:
            one.data = one.data.float()


def _batch(wish: Wish, rows: Table, model: PeftModel, device: str, most: int | None, *, mixed: bool) -> micro.Cut:
    """What a step is made of: the user's own, or batch_tokens in micro-batches that fit."""
    length, packed, said = wish.train.max_length, wish.train.packing, checkpointing(wish)
    longest = length if packed else min(length, rows.percentile(1))
    named = fixed(wish)
    if named is None:
        each = length if packed else max(1, rows.tokens // rows.used)
        there = -(-rows.tokens // length) if packed else rows.used
        sequences, cap = max(1, min(round(wish.train.batch_tokens / each), there)), micro.most(longest, packed)
    else:
        sequences, cap = named.sequences, named.micro
    if device == "cpu" or most is not None:
        careful = device != "cpu" if said is None else said  # memory ran out before
        return micro.cut(sequences, min(cap, most or cap), checkpointing=careful)
    with fused(model):
        limit, measure = micro.probe(model, longest, micro.Cuda(device), mixed=mixed)
        return micro.fitting(sequences, cap, limit, measure, (False, True) if said is None else (said,))


@contextmanager
def fused(model: PeftModel) -> Iterator[None]:
    """With trl's head, which never holds a whole row's logits, for as long as it lasts."""
    from trl.trainer.utils import add_fused_lm_head

    inner: Any = model.get_base_model()
    own = inner.__dict__.get("forward")
    add_fused_lm_head(inner)
    try:
        yield
    finally:
        del inner.forward
        if own is not None:
            inner.forward = own


def _trainer(
    settings: SFTConfig, language: Language, model: PeftModel, rows: Table, held: Table, callbacks: list[TrainerCallback]
) -> SFTTrainer:
    from transformers import PrinterCallback
    from trl.trainer.sft_trainer import SFTTrainer

    try:
        trainer = SFTTrainer(
            model=model, args=prepared(settings), train_dataset=rows.dataset(), processing_class=language.tokenizer,
            eval_dataset=held.dataset() if held.used else None, callbacks=callbacks,
        )  # fmt: skip
    except (ValueError, TypeError, ImportError) as error:
        raise TuneFailed(Code.SETTINGS_INVALID, "train", str(error)[:300]) from error
    trainer.remove_callback(PrinterCallback)  # metrics.jsonl says it
    _float(model)  # trl makes the adapter of a quantised base bfloat16
    return trainer
