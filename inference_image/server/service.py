"""Owns what the routes share: the engine once it is there, and whether requests are still taken in. Knows no HTTP."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

from inference_image.contract import RequestCode
from inference_image.engine.generate import Engine
from inference_image.engine.request import Refused, Stats
from inference_image.server.metrics import Metrics
from inference_image.server.pictures import INSIDE, Pictures
from inference_image.settings import Settings
from inference_image.timeline import Timeline


@dataclass
class Service:
    """One owner writes each field: the loading thread `engine`, the main thread `draining`, the event loop the counts."""

    settings: Settings
    timeline: Timeline
    engine: Engine | None = None
    draining: bool = False
    began: int = field(default_factory=lambda: int(time.time()))
    in_flight: int = 0
    metrics: Metrics = field(default_factory=Metrics)
    pictures: Pictures = INSIDE
    """Where images of a chat may be; by default only in the message itself."""

    @property
    def ready(self) -> bool:
        return self.engine is not None and self.engine.failed is None and not self.draining

    def stats(self) -> Stats | None:
        """None before there is an engine."""
        return self.engine.stats() if self.engine is not None else None

    def admit(self) -> Engine:
        """The engine for one more request. Raises Refused: draining, not_ready."""
        if self.draining:
            raise Refused(RequestCode.DRAINING, "this instance is stopping", retry_after=1)
        if self.engine is None:
            progress = self.timeline.progress()
            wait = min(60, max(2, math.ceil(progress["eta_s"] or 0)))
            message = f"the model is not loaded yet: {self.timeline.stage}"
            raise Refused(RequestCode.NOT_READY, message, retry_after=wait, facts=progress)
        return self.engine
