"""Owns prompt -> stream of pieces: model, text, schedule. Knows no HTTP.

In one process:

    from inference_image.engine import load
    from inference_image.settings import Settings

    engine = load(Settings(model="gs://bucket/my-gemma"))
    request = engine.request(engine.presets.choose("translation", "Hello."), "Hello.")
    print("".join(piece.text for piece in engine.submit(request)))

or asynchronously with `async for piece in engine.submit(request)`.
"""

from inference_image.engine.answer import Answer
from inference_image.engine.generate import Engine
from inference_image.engine.load import as_load_failed, begin, finish, load
from inference_image.engine.request import Piece, Refused, Request, Sampling, Usage

__all__ = [
    "Answer",
    "Engine",
    "Piece",
    "Refused",
    "Request",
    "Sampling",
    "Usage",
    "as_load_failed",
    "begin",
    "finish",
    "load",
]
