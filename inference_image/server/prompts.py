"""Owns how conversations and prompts of a request become token ids. Knows the engine's text, no engine and no HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from inference_image import contract, presets
from inference_image.contract import LoadFailed, RequestCode
from inference_image.engine.admission import TEXT_ONLY
from inference_image.engine.generate import Engine
from inference_image.engine.request import Refused
from inference_image.engine.text import Text
from inference_image.presets import Chat, Part, Picture, Raw
from inference_image.server.forms import wrong_fields
from inference_image.server.openai_schemas import Message, Prompt
from inference_image.server.pictures import Pictures

IMAGE = "image_url"
"""The type of a part that is an image."""
_ROLES = {"developer": "system"}


def chat_ids(engine: Engine, messages: Sequence[Message]) -> tuple[int, ...]:
    """A conversation through the checkpoint's chat template; images have their places in it, whatever they show.

    Raises Refused: unsupported_content, or conversation_refused with the template's reason.
    """
    if not engine.text.chats:
        message = "this model has no chat template; /v1/completions and the raw types of /generate need none"
        raise Refused(RequestCode.CONVERSATION_REFUSED, message, facts={"param": "messages"})
    turns = tuple(
        presets.Message(
            _ROLES.get(one.role, one.role), _parts(engine, one.content, index), listed=not isinstance(one.content, str)
        )
        for index, one in enumerate(messages)
    )
    try:
        return tuple(engine.text.encode(Chat(turns)))
    except LoadFailed as error:
        # The template saw roles and marks, never a word of a message: its reason may be told.
        message = f"the model's chat template refuses this conversation: {error.failure.detail}"
        raise Refused(RequestCode.CONVERSATION_REFUSED, message, facts={"param": "messages"}) from None


def images_of(engine: Engine, messages: Sequence[Message], pictures: Pictures) -> tuple[bytes, ...]:
    """The images of a conversation, in order, as Request.images has them. It reads and decodes: it takes a while.

    Raises Refused: unsupported_content, invalid_request, not_ready.
    """
    named = [
        (part, _field(index, place))
        for index, one in enumerate(messages)
        for place, part in enumerate(one.content if isinstance(one.content, list) else ())
        if part.get("type") == IMAGE
    ]
    if len(named) > contract.IMAGES_MOST:
        message = f"{len(named)} images; one request may have {contract.IMAGES_MOST}"
        raise Refused(RequestCode.UNSUPPORTED_CONTENT, message, facts={"param": "messages"})
    made = []
    for part, field in named:
        try:
            made.append(engine.see(pictures.read(part, field)))
        except Refused as refused:
            refused.facts["param"] = field
            raise
    return tuple(made)


def spoken(content: str | Sequence[dict[str, Any]]) -> str:
    """The words of a message."""
    return content if isinstance(content, str) else " ".join(str(part.get("text", "[image]")) for part in content)


def _parts(engine: Engine, content: str | Sequence[dict[str, Any]], index: int) -> tuple[Part | Picture, ...]:
    if isinstance(content, str):
        return (Part(content, trusted=False),)
    made: list[Part | Picture] = []
    for place, part in enumerate(content):
        field = _field(index, place)
        if part.get("type") == IMAGE:
            if not engine.images:
                raise Refused(RequestCode.UNSUPPORTED_CONTENT, TEXT_ONLY, facts={"param": f"{field}.type"})
            made.append(Picture())
        elif part.get("type") != "text":
            message = f"parts of a message have the type text{' or image_url' if engine.images else ''}"
            raise Refused(RequestCode.UNSUPPORTED_CONTENT, message, facts={"param": f"{field}.type"})
        elif not isinstance(part.get("text"), str):
            wrong_fields([(f"{field}.text", "Input should be a valid string")])
        else:
            made.append(Part(part["text"], trusted=False))
    return tuple(made)


def _field(message: int, part: int) -> str:
    return f"messages.{message}.content.{part}"


def raw_ids(text: Text, prompt: Prompt) -> tuple[int, ...]:
    """A prompt as it is: a text after the token that begins one, or token ids, which are taken as they are.

    Raises Refused(invalid_request) for an id that the model doesn't know.
    """
    if isinstance(prompt, str):
        return tuple(text.encode(Raw((Part(prompt, trusted=False),)))) or wrong_fields([("prompt", "it is empty")])
    if not all(0 <= one < text.rows for one in prompt):
        wrong_fields([("prompt", f"token ids go from 0 to {text.rows - 1}")])
    return tuple(prompt)
