"""The order of a stack. Knows addresses and needs, nothing of what they stand for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from gemmactl.errors import Trouble
from gemmactl.kernel.resource import Resource


def check(stack: Sequence[Resource]) -> dict[str, Resource]:
    """The stack by address, in an order in which every need comes first.

    A need that the stack does not hold belongs to somebody else and counts as met.

    Raises:
        Trouble: two resources share an address, or needs form a circle. Both are faults of the program that built the
            stack, found before any call is made.
    """
    by_address: dict[str, Resource] = {}
    for resource in stack:
        if resource.address in by_address:
            raise Trouble(
                f"two things in one plan are called {resource.address!r}",
                why="an address must name one thing, or one of the two would be lost silently",
                remedy="report this: it is a fault of gemmactl, nothing was changed",
                code="duplicate-address",
            )
        by_address[resource.address] = resource
    sorter = TopologicalSorter(needs(by_address))
    try:
        return {address: by_address[address] for address in sorter.static_order()}
    except CycleError as error:
        raise Trouble(
            "the steps of the plan wait for each other in a circle",
            why=" -> ".join(map(str, error.args[1])),
            remedy="report this: it is a fault of gemmactl, nothing was changed",
            code="cycle",
        ) from error


def needs(stack: Mapping[str, Resource]) -> dict[str, set[str]]:
    """Address -> the needs that are in the stack."""
    return {a: {n for n in r.needs if n in stack} for a, r in stack.items()}


def reversed_needs(graph: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """The same graph for tearing down: a thing waits for all that need it."""
    return {a: {b for b, waits in graph.items() if a in waits} for a in graph}
