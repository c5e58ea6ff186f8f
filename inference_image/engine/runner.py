"""Owns how transformers' generate() continues one prompt. Knows no queue and no text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from inference_image.engine.request import Sampling

if TYPE_CHECKING:
    import torch
    from transformers import GenerationConfig


class TransformersRunner:
    """One prompt at a time through generate(); nothing of the checkpoint's own sampling defaults is used."""

    def __init__(self, model: Any, stop_ids: Iterable[int]) -> None:
        # Any: a PreTrainedModel has no generate() in transformers' types, its text classes get it from a mixin.
        self._model = model
        self._stop_ids = sorted(stop_ids)
        # generate() fills what a request leaves open from here; the checkpoint's top_k 64 must not leak in.
        model.generation_config = _config(eos_token_id=self._stop_ids, pad_token_id=0)

    def run(self, ids: Sequence[int], max_tokens: int, sampling: Sampling, on_token: Callable[[int], bool]) -> None:
        import torch
        from transformers import StoppingCriteria, StoppingCriteriaList

        class Tell(StoppingCriteria):
            """Called once after each token in every version; a streamer is told late since transformers 5.23."""

            def __call__(self, input_ids: torch.LongTensor, scores: Any, **_: Any) -> torch.BoolTensor:
                stop = on_token(int(input_ids[0, -1]))
                return torch.full((input_ids.shape[0],), stop, dtype=torch.bool, device=input_ids.device)  # type: ignore[return-value]  # a bool tensor

        prompt = torch.tensor([list(ids)], device=self._model.device)
        config = _config(
            max_new_tokens=max_tokens, eos_token_id=self._stop_ids, pad_token_id=0, use_cache=True, **_choice(sampling)
        )
        devices = [self._model.device] if self._model.device.type == "cuda" else []
        with torch.inference_mode(), torch.random.fork_rng(devices=devices, enabled=sampling.seed is not None):
            if sampling.seed is not None:
                torch.manual_seed(sampling.seed)
            self._model.generate(
                prompt,
                attention_mask=torch.ones_like(prompt),
                generation_config=config,
                stopping_criteria=StoppingCriteriaList([Tell()]),
            )


def _config(**settings: Any) -> GenerationConfig:
    from transformers import GenerationConfig

    made: GenerationConfig = GenerationConfig(**settings)  # type: ignore[no-untyped-call]  # transformers leaves it untyped
    return made


def _choice(sampling: Sampling) -> dict[str, Any]:
    if sampling.temperature <= 0:
        return {"do_sample": False}
    return {
        "do_sample": True,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
    }
