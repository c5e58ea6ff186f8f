"""The HTTP face of the engine. Knows no tensors; `python -m inference_image.server` is the container's entry point."""
