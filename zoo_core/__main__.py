"""`python -m zoo_core` is the `zoo` command."""

from zoo_core.cli import main

if __name__ == "__main__":
    main()
