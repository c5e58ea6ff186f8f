"""What is said while a running service is called, and of its API keys; the codes of the server's own refusals. Knows no route"""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.own_codes.meaning import Meaning

ROWS: Final = (
    Meaning(
        "not-invoker",
        "You are not let in: you hold no role that may call the service",
        "Ask for roles/run.invoker on the service.",
    ),
    Meaning(
        "service-inside",
        "The service answers callers inside its network alone",
        "Call it from there, or deploy with `--ingress all`.",
    ),
    Meaning(
        "service-no-address",
        "The service has no address yet: its first revision is not ready",
        "Wait, or look at it: `gemmactl status`.",
    ),
    Meaning("service-stopped", "The service was stopped, and no instance starts", "Start it: `gemmactl start`."),
    Meaning(
        "service-unreachable",
        "The address of the service does not answer",
        "Look at the network and a proxy; then at `gemmactl status`.",
    ),
    Meaning("service-failed", "The service answered, and not with a completion", "Read its log: `gemmactl logs`."),
    Meaning(
        "smoke-empty",
        "The service answers with nothing: the model may be damaged, or ends at once",
        "Look at it: `gemmactl inspect --deep`.",
    ),
    Meaning("request-refused", "The service refuses the request as it is", "Change what the message names."),
    Meaning("key-limit", "The key is over its limit for now", "Wait as long as the message says, or raise its limit."),
    Meaning("key-not-asked", "The service answers without an API key, so it needs none", "Leave GEMMACTL_API_KEY unset for it."),
    Meaning("key-unknown", "The service has no such key", "Take one that `gemmactl keys list` shows."),
    Meaning("key-wish-illegal", "A limit or an age of a key can't be read", "Write it as the help of the option shows."),
    Meaning(
        "keys-busy", "The secret with the keys changes all the time: somebody else works on it", "Run the same command again."
    ),
    Meaning("keys-missing", "The secret with the keys is not there", "Deploy again with `--auth api-key`."),
    Meaning("keys-too-many", "No more keys fit into the secret", "Revoke those that nobody uses."),
    Meaning(
        "keys-unreadable",
        "The document with the keys can't be read",
        "Look at the secret's newest version; make a key to write a new one.",
    ),
    Meaning("no-keys-here", "The service asks for no API keys", "Deploy it with `--auth api-key` first."),
    Meaning("unknown-type", "The request names a type that the model does not have", "Ask `/v1/presets` for those that it has."),
    Meaning(
        "unknown-adapter",
        "The request names an adapter that the service does not have",
        "Ask `/v1/models` for those that it has.",
    ),
    Meaning("unsupported-parameter", "The request asks for something that the engine does not do", "Leave the field out."),
    Meaning(
        "unsupported-content",
        "The request holds a kind of content that the model can't take",
        "Send text, or images to a service with `--images`.",
    ),
    Meaning(
        "conversation-refused",
        "The chat template of the model refuses the order of the messages",
        "Let user and assistant take turns, and begin with the user.",
    ),
    Meaning(
        "context-length-exceeded",
        "Prompt and answer together are longer than the context of the service",
        "Shorten them, or deploy with a larger `--max-context`.",
    ),
    Meaning("invalid-json", "The body of the request is no JSON", "Send a JSON document."),
    Meaning(
        "invalid-request", "The request lacks a field, or one has a value that is not allowed", "Correct the field that is named."
    ),
    Meaning("method-not-allowed", "The route takes another method", "Use the one that docs/api.md names."),
    Meaning(
        "body-too-large", "The body of the request is larger than the server takes", "Send less, or images by gs:// address."
    ),
    Meaning("body-timeout", "The body of the request did not arrive in time", "Send it again over a better line."),
    Meaning(
        "api-key-missing",
        "The service asks for an API key, and none was sent",
        "Send it as a bearer token, or set GEMMACTL_API_KEY.",
    ),
    Meaning(
        "invalid-api-key", "The service does not know the API key, or its time is over", "Make a new one: `gemmactl keys create`."
    ),
    Meaning("rate-limit-exceeded", "The key is over its limit of requests or tokens", "Wait as long as `Retry-After` says."),
    Meaning(
        "queue-full",
        "More requests wait than the server keeps waiting",
        "Try again with growing pauses, or raise `--max-instances`.",
    ),
    Meaning("not-ready", "The model is still loading", "Try again in a moment."),
    Meaning("draining", "The instance is about to end and takes nothing new", "Try again: another instance answers."),
    Meaning("engine-failed", "The engine failed at this request", "Read the log: `gemmactl logs`; send it again."),
    Meaning("internal-error", "The server failed in a way that nobody foresaw", "Read the log: `gemmactl logs`, and report it."),
)
