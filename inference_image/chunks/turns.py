"""Owns which piece of which request is given out next. Pure: knows no readers and no memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from inference_image.chunks.plan import Range


class Chain:
    """Pieces that one request asks for, one after another."""

    def __init__(self, pieces: Sequence[Range]) -> None:
        self._rest = deque(pieces)
        self.till = pieces[-1].end
        self.out = 0

    def __bool__(self) -> bool:
        return bool(self._rest)

    @property
    def piece(self) -> Range:
        """What comes next of it."""
        return self._rest[0]

    def take(self) -> Range:
        self.out += 1
        return self._rest.popleft()


class Turns:
    """Chains in their order. A piece takes memory from when it is given out, so a request gets its next one as late as may be:

    first whoever has none, then a request for whoever will be done soon, then a second piece for whoever got his longest ago.
    """

    def __init__(self, chains: Iterable[Sequence[Range]]) -> None:
        self._later = deque(Chain(one) for one in chains)
        self._begun: deque[Chain] = deque()
        self._owners: dict[tuple[str, int], Chain] = {}

    def __bool__(self) -> bool:
        """Is there anything that was not given out?"""
        return bool(self._later or self._begun)

    def next(self, connections: int) -> Chain | None:
        """Whose piece comes next, when so many requests may be under way; None: all have what they need for now."""
        hungry = next((chain for chain in self._begun if not chain.out), None)
        if hungry is not None:
            return hungry
        if self._later and len(self._begun) < connections:
            return self._later[0]
        return next((chain for chain in self._begun if chain.out == 1), None)

    def give(self, chain: Chain) -> Range:
        """The next piece of the chain that next() named."""
        if self._later and chain is self._later[0]:
            self._later.popleft()
        else:
            self._begun.remove(chain)
        one = chain.take()
        self._owners[one.object, one.begin] = chain
        if chain:
            self._begun.append(chain)
        return one

    def done(self, name: str, begin: int) -> None:
        """The piece that begins there has come; one that was not given out here is none of ours."""
        chain = self._owners.pop((name, begin), None)
        if chain is not None:
            chain.out -= 1
