"""gemmactl's types of /generate over OpenAI's routes, for a server that has only those: vLLM. Knows neither HTTP nor waiting.

What the own server does inside is done here: the preset's form, its stops, greedy decoding. What can't be done from outside: text
of a user that looks like a control token becomes one, because a prompt arrives as one text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gemmactl import vllm
from gemmactl.errors import usage
from inference_image.presets import BUILT_IN, Chat, Part, Presets, Raw, UnknownTypeError, put


@dataclass(frozen=True)
class Request:
    """One exchange: where, what, and which type it came from."""

    route: str
    body: Mapping[str, Any]
    type: str


def request(
    model: str,
    prompt: str,
    type: str | None,  # noqa: A002 - the field's name
    max_tokens: int | None,
    types: Presets = BUILT_IN,
) -> Request:
    """The prompt in the form of its type. `model`: the name under which the service serves.

    Raises:
        Trouble: (usage) no type of that name.
    """
    try:
        preset = types.choose(type, prompt)
    except UnknownTypeError as error:
        raise usage(
            f"there is no type {type!r}",
            why=str(error),
            remedy=f"choose --type {', '.join(error.known)}",
            code="request-refused",
        ) from None
    body: dict[str, Any] = {"model": model, "max_tokens": max_tokens or preset.max_tokens, "temperature": 0, **preset.chances()}
    match put(preset, prompt):
        case Raw(parts):
            # one start token is the tokenizer's, which vLLM asks for special tokens here (CompletionRequest.add_special_tokens)
            text = "".join(part.text for part in parts)
            return Request(vllm.COMPLETIONS, {**body, "prompt": text, "stop": list(preset.stops)}, preset.type)
        case Chat(messages):
            turns = [
                {"role": m.role, "content": "".join(part.text for part in m.parts if isinstance(part, Part))} for m in messages
            ]
            return Request(vllm.CHAT, {**body, "messages": turns}, preset.type)


def fields(content: Any, type: str) -> dict[str, Any] | None:  # noqa: A002 - the field's name
    """What Answer holds, out of a completion or a chat completion; None when it is neither."""
    choice = _first(content.get("choices")) if isinstance(content, Mapping) else None
    if choice is None:
        return None
    message = choice.get("message")
    text = message.get("content") if isinstance(message, Mapping) else choice.get("text")
    if not isinstance(text, str):
        return None
    usage = content.get("usage")
    counts = {k: v for k, v in usage.items() if isinstance(v, int)} if isinstance(usage, Mapping) else {}
    reason = str(choice.get("finish_reason") or "")
    return {"text": text, "stop_reason": reason, "usage": counts, "model": str(content.get("model", "")), "type": type}


def advice(said: str) -> str:
    """The remedy for a refusal in vLLM's words."""
    if "chat template" in said.lower():
        return "save the tokenizer with its chat template beside the model, or choose --type translation or --type sql"
    if "context length" in said.lower() or "max_tokens" in said:
        return "lower --max-tokens or shorten the prompt; deploy with a larger --max-context"
    return "correct the request: gemmactl generate --help"


def _first(choices: Any) -> Mapping[str, Any] | None:
    found = choices[0] if isinstance(choices, Sequence) and choices else None
    return found if isinstance(found, Mapping) else None
