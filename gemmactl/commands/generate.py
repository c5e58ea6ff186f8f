"""`gemmactl generate`: options in, one call, a Result out."""

from __future__ import annotations

from typing import Annotated

import typer

from gemmactl.commands import options as o
from gemmactl.commands.session import session
from gemmactl.errors import usage
from gemmactl.result import Result


def generate(
    ctx: typer.Context,
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="The prompt; - reads it from stdin.")],
    name: o.Service = None,
    type: o.Type = None,  # noqa: A002 - the flag's own name
    max_tokens: o.MaxTokens = None,
    adapter: o.OneAdapter = None,
    local: o.LocalModel = None,
    quantize: o.Quantize = None,
    image: o.ImageFile = None,
    skip_unverified: o.SkipUnverified = False,
    presets: o.Presets = None,
    project: o.Project = None,
    region: o.Region = None,
    format: o.Format = "text",  # noqa: A002 - the flag's own name
) -> Result:
    """Send a prompt; the answer alone goes to stdout. A sleeping service is woken.

    A service that is scaled to zero takes a cold start: what it waits for is told on stderr.

    Example: gemmactl generate "Google Cloud Run의 장점은 무엇인가요?" --type text

    Example: gemmactl generate --local ./model --type translation "Good morning."

    Example: gemmactl generate --local ./gemma-3-4b-it --image cat.png "What is this?"
    """
    from gemmactl.serving.ask import Prompt
    from gemmactl.serving.ask import ask as run

    here = session(ctx)
    wanted = Prompt.read(prompt, type, max_tokens, adapter, image or ())
    if local is not None:
        from gemmactl.local.adapters import chosen
        from gemmactl.local.engine import answer
        from gemmactl.local.model import asked

        environ = asked(here.environ, skip_unverified=skip_unverified, quantize=quantize, images=bool(image), presets=presets)
        environ, wanted = chosen(environ, wanted)
        return answer(local, wanted, here.voice, environ)
    if presets is not None:
        raise usage(
            "--presets goes with --local",
            why="a service has its own types: those beside its model, and those that it was deployed with",
            remedy="leave it out, or deploy again with --presets",
            code="presets-without-local",
        )
    settings = here.settings()
    return run(here.place(settings, project, region), settings, name, wanted, here.voice)
