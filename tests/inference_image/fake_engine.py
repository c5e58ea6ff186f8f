"""An engine that says prepared pieces at once, and keeps what it was asked. Knows no model."""

from __future__ import annotations

from collections.abc import Sequence

from inference_image.engine import Engine, Piece, Request, Sampling, Usage
from inference_image.engine.answer import Answer
from inference_image.engine.text import Text, TokenizerFiles
from inference_image.presets import BUILT_IN
from tests.inference_image.checkpoints import MODEL

GEMMA = Sampling(temperature=1.0, top_k=64, top_p=0.95)
"""What Gemma 3's generation_config.json asks for."""


def text_of_sample(template: str | None = None) -> Text:
    own = (MODEL / "chat_template.jinja").read_text()
    return Text(TokenizerFiles((MODEL / "tokenizer.json").read_bytes(), {}, own if template is None else template or None))


class Telling:
    """Stands for Engine where only what it is asked, or how its pieces are told, matters."""

    name = "base"
    adapters = ("poet", "coder")
    max_context = 512
    failed = None
    images = False
    presets = BUILT_IN
    busy = 0
    request = Engine.request

    def __init__(self, *said: Piece | Exception, text: Text | None = None, defaults: Sampling = GEMMA) -> None:
        self.said: Sequence[Piece | Exception] = said or (Piece("Hi"), Piece("!", "stop", Usage(9, 3)))
        self.text = text or text_of_sample()
        self.defaults = defaults
        self.asked: list[Request] = []
        self.cancelled = 0

    def submit(self, request: Request) -> Answer:
        self.asked.append(request)
        answer = Answer(self._cancelled)
        for piece in self.said:
            answer.put(piece)
        return answer

    def grammar(self, schema: str | None) -> None:
        """Any schema will do."""

    def cancel_all(self) -> None:
        """Nothing runs."""

    def close(self) -> None:
        """Nothing is held."""

    def _cancelled(self, _: Answer) -> None:
        self.cancelled += 1
