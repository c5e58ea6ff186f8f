"""The engine that answers with your Gemma: in the container on Cloud Run, and in this process for `generate --local`."""

__version__ = "0.1.0"
