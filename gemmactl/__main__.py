"""`python -m gemmactl`."""

from gemmactl.app import main

if __name__ == "__main__":
    raise SystemExit(main())
