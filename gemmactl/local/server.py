"""`serve`: the container's own server in this process. Knows nothing of a service in the cloud."""

from __future__ import annotations

from collections.abc import Mapping

from gemmactl.errors import Trouble
from gemmactl.local import model as models
from gemmactl.result import Line, Result
from gemmactl.serving.looking import folders
from gemmactl.voice import Voice
from inference_image import contract
from inference_image.contract import Code, LoadFailed


def serve(text: str, host: str, port: int, voice: Voice, environ: Mapping[str, str]) -> Result:
    """Serve until Ctrl-C or SIGTERM.

    Raises:
        Trouble: the extra `local` is missing, the port is taken, or the model is refused.
    """
    voice.aim("local")
    where = models.place(text)
    models.require((*models.needed(environ), *models.FOR_SERVER))
    models.look(where, folders(environ.get("GOOGLE_CLOUD_PROJECT", "")), environ)
    models.hush(environ)
    from inference_image.server.process import serve as run
    from inference_image.settings import Settings

    voice.say(
        Line(f"loading {text}; the port answers {contract.ROUTE_HEALTH} meanwhile, {contract.ROUTE_READY} when it is done", "dim")
    )
    try:
        settings = Settings.from_environ(
            {**environ, contract.ENV_MODEL: where, contract.ENV_HOST: host, contract.ENV_PORT: str(port)}
        )
        run(settings, environ=environ, on_ready=lambda url: _ready(url, voice))
    except LoadFailed as failed:
        raise _trouble(failed, text, host, port) from None
    return Result("serve", {"model": where, "url": f"http://{host}:{port}"}, (Line("stopped", "dim"),), target="local")


def _ready(url: str, voice: Voice) -> None:
    body = '{"type": "text", "prompt": "Hello."}'
    example = f"curl -X POST {url}{contract.ROUTE_GENERATE} -H 'Content-Type: application/json' -d '{body}'"
    voice.say(Line(f"ready at {url} (Ctrl-C ends it)", "good"), Line(example))


def _trouble(failed: LoadFailed, text: str, host: str, port: int) -> Trouble:
    if failed.failure.code is Code.SETTING_INVALID and failed.failure.object == contract.ENV_PORT:
        return Trouble(
            f"can't listen on {host}:{port}", why=failed.failure.detail, remedy="choose another with --port", code="port-taken"
        )
    return models.trouble(failed, text)
