"""The command `zoo`, run as `python -m zoo_core`."""

from zoo_core.cli import main

if __name__ == "__main__":
    main()
