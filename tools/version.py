"""Print the version that every distribution of this repository has, or set a new one everywhere.

    python tools/version.py           # fails if two places disagree
    python tools/version.py 0.2.0

The standard library is enough for it, so that a release is checked before anything is installed.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
# A file, or a pattern of files, and what is before the version in it.
PLACES = (
    ("zoo_core/_version.py", r'^__version__ = "'),
    ("pyproject.toml", r'^version = "'),
    ("plugins/*/pyproject.toml", r'^version = "'),
    ("plugins/*/pyproject.toml", r'"zoo-core>='),
    ("examples/*/pyproject.toml", r'"zoo-core>='),
    ("zoo_core/scaffold/templates/pyproject.toml.jinja", r'"zoo-core>='),
    ("CITATION.cff", r"^version: "),
    ("CHANGELOG.md", r"\A(?:(?!## ).*\n)*## \["),
)
_VERSION = re.compile(r"\d+\.\d+\.\d+(?:(?:a|b|rc)\d+)?")


def places(root: Path = ROOT) -> Iterator[tuple[Path, re.Match[str]]]:
    """Each file that states the version, with the match of the version in it.

    Raises:
        SystemExit: if a file does not state it, or states it twice.
    """
    for pattern, before in PLACES:
        for file in sorted(root.glob(pattern)):
            found = list(re.finditer(f"({before})({_VERSION.pattern})", file.read_text(encoding="utf-8"), re.MULTILINE))
            if len(found) != 1:
                raise SystemExit(
                    f"{file.relative_to(root)} states the version {len(found)} times; it should do so once"
                )
            yield file, found[0]


def current(root: Path = ROOT) -> str:
    """The version that all places state.

    Raises:
        SystemExit: if two of them disagree.
    """
    versions: dict[str, list[str]] = {}
    for file, match in places(root):
        versions.setdefault(match[2], []).append(str(file.relative_to(root)))
    if len(versions) != 1:
        listed = "; ".join(f"{version} in {', '.join(files)}" for version, files in versions.items())
        raise SystemExit(f"the version differs: {listed}; set it with python tools/version.py VERSION")
    return next(iter(versions))


def replace(version: str, root: Path = ROOT) -> None:
    """Set the version everywhere. CHANGELOG.md gets a new section, unless its newest one is not released yet."""
    for file, match in places(root):
        text = file.read_text(encoding="utf-8")
        if file.name == "CHANGELOG.md" and not text.startswith("] - Unreleased", match.end()):
            start = match.end(1) - len("## [")
            text = f"{text[:start]}## [{version}] - Unreleased\n\n{text[start:]}"
        else:
            text = text[: match.start(2)] + version + text[match.end(2) :]
        file.write_text(text, encoding="utf-8", newline="\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("version", nargs="?", help="new version, such as 0.2.0 or 0.2.0rc1")
    version: str | None = parser.parse_args().version
    if version is not None:
        if not _VERSION.fullmatch(version):
            parser.error(f"{version!r} is not a version; write three numbers, such as 0.2.0 or 0.2.0rc1")
        replace(version)
    print(current())


if __name__ == "__main__":
    main()
