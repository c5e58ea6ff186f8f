"""Owns how conversations and prompts of a request become token ids. Knows the engine's text, no engine and no HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from inference_image import presets
from inference_image.contract import LoadFailed, RequestCode
from inference_image.engine.request import Refused
from inference_image.engine.text import Text
from inference_image.presets import Chat, Part, Raw
from inference_image.server.forms import wrong_fields
from inference_image.server.openai_schemas import Message, Prompt

_ROLES = {"developer": "system"}


def chat_ids(text: Text, messages: Sequence[Message]) -> tuple[int, ...]:
    """A conversation through the checkpoint's chat template.

    Raises Refused: unsupported_content, or conversation_refused with the template's reason.
    """
    if not text.chats:
        message = "this model has no chat template; /v1/completions and the raw types of /generate need none"
        raise Refused(RequestCode.CONVERSATION_REFUSED, message, facts={"param": "messages"})
    turns = tuple(
        presets.Message(_ROLES.get(one.role, one.role), _parts(one.content, f"messages.{index}.content"))
        for index, one in enumerate(messages)
    )
    try:
        return tuple(text.encode(Chat(turns)))
    except LoadFailed as error:
        # The template saw roles and marks, never a word of a message: its reason may be told.
        message = f"the model's chat template refuses this conversation: {error.failure.detail}"
        raise Refused(RequestCode.CONVERSATION_REFUSED, message, facts={"param": "messages"}) from None


def _parts(content: str | Sequence[dict[str, Any]], field: str) -> tuple[Part, ...]:
    """The text of a message. A part that holds an image would become a mark in the text, and its bytes Request.images."""
    if isinstance(content, str):
        return (Part(content, trusted=False),)
    made = []
    for index, part in enumerate(content):
        if part.get("type") != "text":
            message = "this model serves text only: parts of a message have the type text"
            raise Refused(RequestCode.UNSUPPORTED_CONTENT, message, facts={"param": f"{field}.{index}.type"})
        if not isinstance(part.get("text"), str):
            wrong_fields([(f"{field}.{index}.text", "Input should be a valid string")])
        made.append(Part(part["text"], trusted=False))
    return tuple(made)


def raw_ids(text: Text, prompt: Prompt) -> tuple[int, ...]:
    """A prompt as it is: a text after the token that begins one, or token ids, which are taken as they are.

    Raises Refused(invalid_request) for an id that the model doesn't know.
    """
    if isinstance(prompt, str):
        return tuple(text.encode(Raw((Part(prompt, trusted=False),)))) or wrong_fields([("prompt", "it is empty")])
    if not all(0 <= one < text.rows for one in prompt):
        wrong_fields([("prompt", f"token ids go from 0 to {text.rows - 1}")])
    return tuple(prompt)
