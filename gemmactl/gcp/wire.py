"""How every call goes out: credentials, endpoint, time limits, retries of reads, translation of errors. Knows no single API."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Final, TypeVar

from gemmactl.errors import Trouble
from gemmactl.gcp import endpoint as endpoints
from gemmactl.gcp.endpoint import Endpoint
from gemmactl.gcp.errors import translated
from gemmactl.gcp.identity import Identity
from gemmactl.gcp.once import Once
from gemmactl.gcp.sessions import settle
from gemmactl.kernel.plan import not_allowed
from gemmactl.kernel.resource import Clock

T = TypeVar("T")
TIMEOUT: Final = 60.0
"""Seconds that one request may take."""
READ_TRIES: Final = 5
SETTLING: Final = 240.0
"""Seconds after enabling in which an API may still refuse as disabled."""
FEW, MANY = 4, 8
"""How often a step is begun again after 429, which may also be a limit that stays, and after 5xx or a broken connection."""
AGAIN: Final = frozenset({429, 500, 502, 503, 504})


def _import_shared() -> bool:
    """What all clients share, imported by one thread: two threads that meet in it deadlock in Python's import locks."""
    for name in ("requests", "google.api_core.exceptions", "google.auth.transport.requests"):
        import_module(name)
    return True


_SHARED: Final = Once(_import_shared)


@dataclass
class Wire:
    """One project's means to call. Shared by all gateways; safe in threads."""

    project: str
    identity: Identity
    endpoint: Endpoint | None = None
    clock: Clock = field(default_factory=Clock)
    enabled: dict[str, float] = field(default_factory=dict)
    """APIs that this process enabled, and until when they may still call themselves disabled."""
    _idle: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    """Host -> sessions that nobody uses."""

    def client(self, make: Callable[[], Any]) -> Once[Any]:
        """A REST client of a google-cloud-* package, imported and built at first use. `make` returns its class."""

        def build() -> Any:
            options = {"api_endpoint": self.endpoint.base_url} if self.endpoint else {}
            client = make()(transport="rest", credentials=self.identity.credentials(), client_options=options)
            transport: Any = client.transport
            settle(transport._session, transport._host)  # noqa: SLF001 - the session that the client makes for itself
            return client

        return Once(build)

    def find(self, api: str, doing: str, call: Callable[[], T], needs: str = "") -> T | None:
        """A read whose answer may be "not there"."""
        try:
            return self.read(api, doing, call, needs)
        except Trouble as trouble:
            if trouble.facts.get("status") == 404:
                return None
            raise

    def read(self, api: str, doing: str, call: Callable[[], T], needs: str = "") -> T:
        """A read of something that must be there. Tried again on 429, 5xx and a broken connection.

        `needs`: the permission that the method asks for, where its API refuses without naming one.
        """
        try:
            return self._again(api, doing, call)
        except Trouble as trouble:
            if needs and not_allowed(trouble):
                trouble.facts.setdefault("permission", needs)
            raise

    def _again(self, api: str, doing: str, call: Callable[[], T]) -> T:
        for attempt in range(READ_TRIES - 1):
            try:
                return self.send(api, doing, call)
            except Trouble as trouble:
                if not passing(trouble):
                    raise
                self.clock.sleep(_pause(attempt))
        return self.send(api, doing, call)

    def send(self, api: str, doing: str, call: Callable[[], T]) -> T:
        """A write: tried once, because the first try may have been carried out although its answer was lost. Whoever knows what
        it was for reads again first, and may then begin again as often as `facts["passing"]` says.

        Only one refusal is sure to have changed nothing and to pass: the API was enabled a moment ago and not all of
        its servers know it yet (Google: "if you enabled this API recently, wait a few minutes").
        """
        _SHARED()
        pause = 1.0
        while True:
            try:
                with translated(api, doing):
                    return call()
            except Trouble as trouble:
                if trouble.code == "impersonation":
                    raise self.identity.not_as(trouble) from None
                if passing(trouble):
                    trouble.facts["passing"] = FEW if trouble.facts.get("status") == 429 else MANY
                if trouble.facts.get("reason") != "SERVICE_DISABLED" or self.clock.now() > self.enabled.get(api, 0.0):
                    raise
            self.clock.sleep(pause)
            pause = min(pause * 1.6, 10.0)

    def gone(self, api: str, doing: str, call: Callable[[], Any]) -> None:
        """A delete. Already gone is done."""
        try:
            self.send(api, doing, call)
        except Trouble as trouble:
            if trouble.facts.get("status") != 404:
                raise

    def wait(self, api: str, doing: str, operation: Any, limit: float = 300.0) -> Any:
        """The result of a long-running operation. The client's own polling would give up at its own default."""
        until = self.clock.now() + limit
        pause = 0.2
        while not self.read(api, doing, lambda: operation.done(retry=None)):
            if self.clock.now() > until:
                raise Trouble(
                    f"{doing} did not end within {limit:.0f} s",
                    why=f"{api} still calls it unfinished",
                    remedy="run the same command again",
                    code="step-timeout",
                    facts={"api": api},
                )
            self.clock.sleep(pause)
            pause = min(pause * 1.5, 5.0)
        # polling is off: done() was true
        return self.send(api, doing, lambda: operation.result(timeout=TIMEOUT))

    def rest(
        self, host: str, method: str, path: str, *, params: Any = None, body: Any = None, headers: dict[str, str] | None = None
    ) -> Any:
        """One JSON request to an API whose client has no REST transport. Raises what the clients would raise."""
        from google.api_core.exceptions import from_http_response

        url = f"{endpoints.url(self.endpoint, host)}{path}"
        with self._session(endpoints.url(self.endpoint, host)) as session:
            answer = session.request(method, url, params=params, json=body, headers=headers, timeout=TIMEOUT)
        if answer.status_code >= 400:
            raise from_http_response(answer)  # type: ignore[no-untyped-call]  # the library is untyped here
        return answer.json() if answer.content else {}

    @contextmanager
    def _session(self, where: str) -> Iterator[Any]:
        """One that nobody else has meanwhile (a requests.Session is not made to be shared), with its connection from before."""
        try:
            session = self._idle[where].pop()
        except IndexError:
            from google.auth.transport.requests import AuthorizedSession

            session = AuthorizedSession(self.identity.credentials())  # type: ignore[no-untyped-call]  # the library is untyped here
            settle(session, where)
        yield session
        self._idle[where].append(session)  # not after an error: its connection may be broken


def passing(trouble: Trouble) -> bool:
    """Whether the same read may succeed a moment later."""
    lasting = trouble.facts.get("network") in ("SSLError", "ProxyError")
    return trouble.facts.get("status") in AGAIN or (trouble.code == "network" and not lasting)


def _pause(attempt: int) -> float:
    return float(min(8.0, 0.4 * 2**attempt) * random.uniform(0.7, 1.3))  # noqa: S311 - jitter, not a secret
