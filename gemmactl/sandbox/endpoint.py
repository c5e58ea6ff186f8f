"""What a command needs to speak to a running sandbox: address, caller, tokens, orders for tests. Knows no Google client."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from gemmactl.errors import Trouble
from gemmactl.sandbox.tokens import Tokens

ADMIN: Final = "admin@sandbox.invalid"
"""Whose token the `/-/` routes take. No instance inside the sandbox is ever given it."""

YOU: Final = "you@sandbox.invalid"


@dataclass(frozen=True)
class Endpoint:
    """A running sandbox, as one caller sees it."""

    base_url: str
    project: str
    number: str
    caller: str = YOU
    """E-mail of the identity that commands act as."""
    secret: bytes = field(default=b"", repr=False)

    def token(self, email: str = "") -> str:
        """An access token of the caller, or of another identity."""
        return self._tokens().access(email or self.caller)

    def id_token(self, audience: str, email: str = "") -> str:
        """An ID token for one service."""
        return self._tokens().identity(email or self.caller, audience)

    def grant(self, member: str, role: str, resource: str) -> None:
        """Bind a role on a resource (`projects/P`, `projects/_/buckets/B`...), whoever the caller is."""
        self.order("POST", "/-/iam", {"verb": "grant", "member": member, "role": role, "resource": resource})

    def revoke(self, member: str, role: str, resource: str) -> None:
        """Take the binding away."""
        self.order("POST", "/-/iam", {"verb": "revoke", "member": member, "role": role, "resource": resource})

    def surround(self, collection: str, name: str, document: dict[str, Any] | None) -> None:
        """Place what lies around the project (see `surroundings_api.put`); None removes it."""
        self.order("POST", "/-/surroundings", {"collection": collection, "name": name, "document": document})

    def fault(self, match: str, **fields: Any) -> None:
        """Order a fault (see `faults.Fault`) for requests whose `METHOD PATH` matches."""
        self.order("POST", "/-/faults", {"match": match, **fields})

    def clear_faults(self) -> None:
        self.order("DELETE", "/-/faults")

    def maintenance(self, job: str = "", match: str = "", times: int = 1) -> None:
        """Kill the running attempts of a job (short name; empty: any) as a maintenance event does: now, or, with `match`,
        those that write a line which the expression is found in, `times` times.
        """
        if match:
            self.order("POST", "/-/maintenance", {"job": job, "match": match, "times": times})
        else:
            self.order("POST", "/-/maintenance/now", {"job": job})

    def settings(self, **fields: float) -> None:
        """Change settings of the running sandbox (see `world.Settings`)."""
        self.order("POST", "/-/settings", fields)

    def status(self, timeout: float = 5.0) -> dict[str, Any]:
        """What the daemon says of itself."""
        return self.order("GET", "/-/status", timeout=timeout)

    def order(self, method: str, path: str, body: Any = None, timeout: float = 30.0) -> dict[str, Any]:
        """One request to the daemon itself.

        Raises:
            OSError: nobody answers.
            Trouble: the daemon refused.
        """
        host, _, port = self.base_url.removeprefix("http://").partition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=timeout)
        try:
            head = {"authorization": f"Bearer {self._tokens().access(ADMIN)}", "content-type": "application/json"}
            connection.request(method, path, None if body is None else json.dumps(body), head)
            answer = connection.getresponse()
            text = answer.read()
        except http.client.HTTPException as broken:
            raise OSError(f"not the sandbox's answer: {broken}") from broken
        finally:
            connection.close()
        if answer.status != 200:
            raise Trouble(
                "the sandbox refused an order",
                why=f"{method} {path}: HTTP {answer.status} {text[:300].decode(errors='replace')}",
                remedy="check the order; `gemmactl sandbox reset` starts anew",
                code="sandbox-order",
                facts={"status": answer.status},
            )
        document: dict[str, Any] = json.loads(text)
        return document

    def _tokens(self) -> Tokens:
        return Tokens(self.secret, lambda: datetime.now(UTC))
