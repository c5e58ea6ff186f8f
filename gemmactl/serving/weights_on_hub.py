"""Whether the commits of the Hub that a revision is pinned to are still there, before it gets requests. Brings none back."""

from __future__ import annotations

from gemmactl.errors import Trouble, refused
from gemmactl.result import Item
from gemmactl.serving import adapting, find
from gemmactl.serving.find import Json
from gemmactl.serving.folder import Hub
from gemmactl.serving.pinning import at_commits
from inference_image.contract import ENV_ADAPTERS, ENV_HF_TOKEN


def unpinned(revision: Json) -> tuple[str, ...]:
    """The places that a revision without a pin reads at no commit, each as its container was told."""
    live = {"template": revision}
    places = (find.model_of(live), *(model.uri for _, model in adapting.remembered(find.variable(live, ENV_ADAPTERS))))
    return tuple(one for one in dict.fromkeys(places) if one not in at_commits(live).values())


def look(revision: Json, hub: Hub) -> tuple[Item, ...]:
    """What is to be said of each commit: it is there, or the Hub does not say.

    Raises:
        Trouble: (refused) the Hub has the repository and not the commit; or neither, and the container has no token of its own.
    """
    name, live = find.tail(revision.get("name", "")), {"template": revision}
    return tuple(_asked(name, uri, live, hub) for uri in at_commits(live).values())


def _asked(name: str, uri: str, live: Json, hub: Hub) -> Item:
    head = f"{name} is pinned by its commit: {uri}"
    try:
        # a commit's name is known without a question; its list of files is not
        files = hub(uri).sizes
    except Trouble as trouble:
        if trouble.code == "hub-missing" and (_answers(hub, uri.partition("@")[0]) or not _has_token(live)):
            raise _gone(name, uri, trouble.why) from trouble
        why = f"the Hub does not say here whether it still has it: {trouble.what}; {trouble.why}"
        return Item("?", head, (why, "if it is gone, an instance that starts later fails"), "warn")
    if not files:
        raise _gone(name, uri, "the commit holds no files")
    return Item("=", head, ("the Hub still has it",), "good")


def _answers(hub: Hub, uri: str) -> bool:
    """Whether this machine may see the repository at all, so that its word on one commit counts."""
    try:
        return bool(hub(uri).sizes)
    except Trouble:
        return False


def _has_token(live: Json) -> bool:
    """Whether the container may be shown more than this machine is."""
    return any(one.get("name") == ENV_HF_TOKEN for one in find.container(live).get("env", ()))


def _gone(name: str, uri: str, why: str) -> Trouble:
    return refused(
        f"{uri}, which {name} was deployed with, is no longer on the Hub",
        why=f"{why}; its next start would fail",
        remedy=f"choose another revision, or deploy what is there now: gemmactl deploy {uri.partition('@')[0]}",
        code="commit-gone",
        facts={"hub": uri},
    )
