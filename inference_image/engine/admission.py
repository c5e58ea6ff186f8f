"""Owns what a request must be to be taken in, and how one is made of a prompt. Knows no thread and no queue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from inference_image import contract
from inference_image.contract import RequestCode
from inference_image.engine import grammar, pixels
from inference_image.engine.grammar import Grammar, Grammars
from inference_image.engine.request import Refused, Request, Sampling
from inference_image.engine.schedule import Solid
from inference_image.engine.text import Text
from inference_image.presets import BUILT_IN, Chat, Message, Picture, Preset, Presets, Raw, put

if TYPE_CHECKING:
    from inference_image.engine.eyes import Eyes

TEXT_ONLY: Final = f"this service answers text only: its operator may start it with --images ({contract.ENV_IMAGES}=1)"


class Admission:
    """A model's words, limits and abilities. Safe to use from any thread."""

    def __init__(
        self,
        text: Text,
        *,
        max_context: int,
        defaults: Sampling | None = None,
        adapters: Sequence[str] = (),
        grammars: Grammars | None = None,
        eyes: Eyes | None = None,
        presets: Presets = BUILT_IN,
    ) -> None:
        self.text = text
        self.presets = presets
        """The types of /generate."""
        self.max_context = max_context
        self.defaults = defaults or Sampling()
        """How the checkpoint wants to be sampled."""
        self.adapters = tuple(adapters)
        """Names that Request.adapter may have."""
        self._grammars = grammars
        self._eyes = eyes

    @property
    def images(self) -> bool:
        """Are images answered?"""
        return self._eyes is not None

    def see(self, image: bytes) -> bytes:
        """An image file as Request.images has it. It takes a while: call it off an event loop.

        Raises Refused(unsupported_content): none that can be read, too large, or the model is served for text only.
        """
        if self._eyes is None:
            pixels.refuse(TEXT_ONLY)
        return self._eyes.pixels.of(image)

    def request(
        self,
        preset: Preset,
        prompt: str,
        *,
        max_tokens: int | None = None,
        stops: Sequence[str] = (),
        sampling: Sampling | None = None,
        images: Sequence[bytes] = (),
    ) -> Request:
        """A prompt in the form of its preset. Without `max_tokens` or `sampling` the preset's own; the answer fits the context.

        `images`: files that are shown before the prompt. Raises Refused: unknown_type for a chat type on a checkpoint without a
        chat template, unsupported_content.
        """
        if preset.mode == "chat" and not self.text.chats:
            raw = [one.type for one in self.presets.rows.values() if one.mode == "raw"]
            message = f"this model has no chat template, which {preset.type} needs; its types: {', '.join(raw)}"
            raise Refused(RequestCode.UNKNOWN_TYPE, message, facts={"types": raw})
        seen = tuple(self.see(image) for image in images)
        ids = self.text.encode(_shown(put(preset, prompt), len(seen)))
        room = max(1, self.max_context - len(ids))
        return Request(
            ids=tuple(ids),
            max_tokens=min(preset.max_tokens, room) if max_tokens is None else max_tokens,
            stops=(*preset.stops, *(stop for stop in stops if stop)),
            sampling=sampling or Sampling(**preset.chances()),
            images=seen,
        )

    def check(self, request: Request) -> None:
        """Raises Refused: unknown_adapter, context_length_exceeded."""
        if request.adapter is not None and request.adapter not in self.adapters:
            known = ", ".join(self.adapters) or "it has none"
            message = f"this service has no adapter of that name; its adapters: {known}"
            raise Refused(RequestCode.UNKNOWN_ADAPTER, message, facts={"adapters": list(self.adapters)})
        if len(request.ids) + request.max_tokens > self.max_context:
            raise Refused(
                RequestCode.CONTEXT_LENGTH_EXCEEDED,
                f"a prompt of {len(request.ids)} tokens and max_tokens {request.max_tokens} are more than the"
                f" {self.max_context} tokens of this service",
                facts={"prompt_tokens": len(request.ids), "max_context": self.max_context},
            )

    def grammar(self, schema: str | None) -> Grammar | None:
        """Get a schema ready, so that submit() needs no time for it: not on an event loop. Raises Refused(invalid_request)."""
        if schema is None:
            return None
        if self._grammars is None:
            grammar.refuse("this engine was made without grammars")
        return self._grammars.compile(schema)

    def solids(self, request: Request) -> Sequence[Solid]:
        """Where the images of its prompt are. Raises Refused(invalid_request)."""
        if not request.images:
            return ()
        if self._eyes is None or self.text.soft is None:
            raise Refused(RequestCode.INVALID_REQUEST, "images for a model that is served for text only", facts={"fields": []})
        return self._eyes.solids(request.ids, self.text.soft, request.images)


def _shown(prompt: Raw | Chat, images: int) -> Raw | Chat:
    """The same with images before it. Raises Refused(unsupported_content) for a form that has no place for them."""
    if not images:
        return prompt
    if isinstance(prompt, Raw) or len(prompt.messages) != 1 or len(prompt.messages[0].parts) != 1:
        pixels.refuse("images go with the type text")
    message = prompt.messages[0]
    return Chat((Message(message.role, (Picture(),) * images + message.parts, listed=True),))
