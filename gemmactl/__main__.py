"""The way in, as `gemmactl` and as `python -m gemmactl`. Knows only how to start fast."""

import gc


def main() -> int:
    """Run the command line; returns the exit code."""
    # imports make many objects that all stay; looking for garbage among them cost 15 % of a start (bench/start.py)
    gc.set_threshold(100_000)
    from gemmactl.app import main as door

    return door()


if __name__ == "__main__":
    raise SystemExit(main())
