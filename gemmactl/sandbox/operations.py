"""Long-running operations: work in a thread, an answer that survives a restart. Knows no API's messages."""

from __future__ import annotations

import base64
import logging
import threading
import time
import uuid
from collections.abc import Callable
from typing import Final

from google.longrunning import operations_pb2
from google.protobuf.message import Message

from gemmactl.sandbox.store import Store
from gemmactl.sandbox.wire import ApiError, failed

COLLECTION: Final = "operations"


class Operations:
    """Starts, keeps and tells."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._threads: set[threading.Thread] = set()
        self._changed = threading.Condition()
        for name, document in store.items(COLLECTION):
            if not document["done"]:
                operation = _read(document)
                operation.done = True
                operation.error.code = 14
                operation.error.message = "The sandbox was stopped before this operation had finished."
                self._write(name, operation)

    def start(
        self,
        name_prefix: str,
        metadata: Message | None,
        work: Callable[[], Message],
        *,
        name: str = "",
    ) -> operations_pb2.Operation:
        """Run `work` in a thread; what it returns is the response, what it raises the error.

        The operation's name is `PREFIX/operations/UUID`, or `name` where an API has a form of its own.
        """
        operation = self._new(name_prefix, metadata, name)
        thread = threading.Thread(target=self._run, args=(operation.name, work), name=operation.name, daemon=True)
        self._threads.add(thread)
        thread.start()
        return operation

    def done(self, name_prefix: str, metadata: Message | None, response: Message, *, name: str = "") -> operations_pb2.Operation:
        """An operation that was over at once."""
        operation = self._new(name_prefix, metadata, name)
        operation.done = True
        operation.response.Pack(response)
        self._write(operation.name, operation)
        return operation

    def note(self, name: str, metadata: Message) -> None:
        """Replace the metadata of one that runs: how a build tells its status."""
        with self._store.lock:
            operation = self.get(name)
            operation.metadata.Pack(metadata)
            self._write(name, operation)

    def get(self, name: str) -> operations_pb2.Operation:
        document = self._store.get(COLLECTION, name)
        if document is None:
            raise failed("NOT_FOUND", f"Operation '{name}' not found.")  # guess: the wording differs by API
        return _read(document)

    def list(self, prefix: str) -> list[operations_pb2.Operation]:
        return [_read(d) for name, d in self._store.items(COLLECTION) if name.startswith(prefix)]

    def delete(self, name: str) -> None:
        self.get(name)
        self._store.delete(COLLECTION, name)

    def wait(self, name: str, seconds: float) -> operations_pb2.Operation:
        """It, when it is done or the time is over."""
        end = time.monotonic() + seconds
        while True:
            operation = self.get(name)
            left = end - time.monotonic()
            if operation.done or left <= 0:
                return operation
            # the store is never asked with this lock held: who holds the store's may be about to notify
            with self._changed:
                self._changed.wait(min(left, 0.1))

    def close(self) -> None:
        """Let short work end; what hangs dies with the process."""
        end = time.monotonic() + 2.0
        for thread in list(self._threads):
            thread.join(timeout=max(0.0, end - time.monotonic()))

    def _new(self, prefix: str, metadata: Message | None, name: str) -> operations_pb2.Operation:
        full = name or f"{prefix}/operations/{uuid.uuid4()}".removeprefix("/")
        operation = operations_pb2.Operation(name=full)
        if metadata is not None:
            operation.metadata.Pack(metadata)
        self._write(full, operation)
        return operation

    def _run(self, name: str, work: Callable[[], Message]) -> None:
        error: ApiError | None = None
        response: Message | None = None
        try:
            response = work()
        except ApiError as raised:
            error = raised
        except Exception:
            logging.getLogger(__name__).exception("the work of %s failed", name)
            error = failed("INTERNAL", "Internal error encountered.")
        with self._store.lock:
            document = self._store.get(COLLECTION, name)
            if document is not None:
                operation = _read(document)
                operation.done = True
                if error is not None:
                    operation.error.code, operation.error.message = error.number, error.message
                elif response is not None:
                    operation.response.Pack(response)
                self._write(name, operation)
        self._threads.discard(threading.current_thread())
        with self._changed:
            self._changed.notify_all()

    def _write(self, name: str, operation: operations_pb2.Operation) -> None:
        # binary: JSON of an Any can only be read back once its message type was imported
        document = {"done": operation.done, "pb": base64.b64encode(operation.SerializeToString()).decode()}
        self._store.put(COLLECTION, name, document)


def _read(document: dict[str, object]) -> operations_pb2.Operation:
    return operations_pb2.Operation.FromString(base64.b64decode(str(document["pb"])))
