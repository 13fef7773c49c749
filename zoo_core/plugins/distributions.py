"""Distributions of this environment: where each came from, and installing and uninstalling them.

pip does it, or uv where there is no pip. An environment that another program keeps (pipx, uv tool, an operating
system) is left alone, with the command that its keeper has for it.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit, urlunsplit
from urllib.request import url2pathname

from zoo_core.errors import InstallationError, printable
from zoo_core.plugins.hookspecs import ENTRY_POINT_GROUP

_REMOTE = re.compile(r"[a-z][a-z0-9+.]*://", re.IGNORECASE)
_GIT_SUFFIX = re.compile(r"(https?|ssh)://\S+\.git(@\S+)?", re.IGNORECASE)


@dataclass(frozen=True)
class Origin:
    """Where a distribution was installed from, as its direct_url.json says (PEP 610).

    Attributes:
        kind: index for one that has none.
        url: without credentials.
        commit: of git.
    """

    kind: Literal["index", "folder", "wheel", "archive", "git", "unknown"]
    url: str | None = None
    commit: str | None = None
    editable: bool = False

    @property
    def place(self) -> str | None:
        """The url, or the path that it stands for."""
        if self.url is None or not self.url.startswith("file://"):
            return self.url
        return url2pathname(urlsplit(self.url).path)

    def __str__(self) -> str:
        words = [("editable " if self.editable else "") + self.kind, self.place or ""]
        return printable(" ".join(filter(None, words)) + (f"@{self.commit[:12]}" if self.commit else ""))


def origin_of(distribution: str) -> Origin:
    """Of an installed distribution; unknown where that cannot be read."""
    try:
        text = importlib.metadata.distribution(distribution).read_text("direct_url.json")
        if text is None:
            return Origin("index")
        stated = json.loads(text)
        url = _without_credentials(stated["url"])
        if "vcs_info" in stated:
            return Origin("git", url, stated["vcs_info"].get("commit_id"))
        if "dir_info" in stated:
            return Origin("folder", url, editable=bool(stated["dir_info"].get("editable")))
        return Origin("wheel" if url.endswith(".whl") else "archive", url)
    except Exception:  # a file that anybody may have written; not knowing is no failure of the list
        return Origin("unknown")


def _without_credentials(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


@dataclass(frozen=True)
class Installed:
    """A distribution as it is now; `stamp` changes when a plugin is installed again in the same version."""

    version: str
    stamp: int | None = None


def installed() -> dict[str, Installed]:
    """Every distribution of this environment, by name."""
    importlib.invalidate_caches()
    found: dict[str, Installed] = {}
    for distribution in importlib.metadata.distributions():
        try:
            name, version = distribution.metadata["Name"], distribution.version
            is_plugin = any(point.group == ENTRY_POINT_GROUP for point in distribution.entry_points)
        except Exception:  # one that was half removed has no metadata, and is none of our business
            continue
        found.setdefault(name, Installed(version, _stamp(distribution) if is_plugin else None))
    return found


def _stamp(distribution: importlib.metadata.Distribution) -> int | None:
    for file in distribution.files or ():
        if file.name == "METADATA":
            return Path(str(distribution.locate_file(file))).stat().st_mtime_ns
    return None


def install(requirement: str, *, editable: bool = False, upgrade: bool = False, verbose: bool = False) -> None:
    """Install a distribution into the environment that runs this.

    Args:
        requirement: a name of the package index with or without a version, a folder, a wheel, or the address of a git
            repository.
        editable: a folder's code is used where it lies.
        upgrade: to the newest version that fits.
        verbose: let the installer speak, on stderr.

    Raises:
        InstallationError: where this environment is not ours to change, or it fails.
    """
    requirement = _checked(requirement, editable=editable)
    options = [*(["--upgrade"] if upgrade else []), *(["--editable"] if editable else []), requirement]
    hint = f"; for the folder of that name write ./{requirement}" if Path(requirement).is_dir() else ""
    hint = hint if os.sep not in requirement else ""
    _run("install", requirement, options, f"cannot install {printable(requirement, 120)}", hint=hint, verbose=verbose)


def uninstall(distribution: str, *, verbose: bool = False) -> None:
    """Take a distribution out of the environment that runs this.

    Raises:
        InstallationError: where that fails, or it lies outside of this environment.
    """
    _run("uninstall", distribution, [distribution], f"cannot uninstall {distribution}", verbose=verbose)
    if distribution in installed():
        place = importlib.metadata.distribution(distribution).locate_file("")
        raise InstallationError(f"{distribution} is still there: {printable(place)} is outside of {sys.prefix}")


def _checked(requirement: str, *, editable: bool) -> str:
    """What the installer is given. Raises InstallationError for what it would misunderstand or tell at length."""
    shown = printable(requirement, 120)
    if not requirement.strip() or requirement.startswith("-"):
        raise InstallationError(f"{shown!r} is no plugin: give a name, a folder, a wheel or a git address")
    if _GIT_SUFFIX.fullmatch(requirement):
        return f"git+{requirement}"
    is_path = requirement.startswith((".", "~")) or os.sep in requirement or requirement.endswith(".whl")
    if _REMOTE.match(requirement) or " @ " in requirement or not is_path:
        if editable:
            raise InstallationError(f"{shown} is no folder, and only a folder can be editable")
        return requirement
    path = Path(requirement).expanduser()
    if not path.exists():
        raise InstallationError(f"there is no folder or wheel {shown}")
    if path.is_dir() and not any((path / name).is_file() for name in ("pyproject.toml", "setup.py")):
        raise InstallationError(f"{shown} is no distribution: it has no pyproject.toml")
    if editable and not path.is_dir():
        raise InstallationError(f"{shown} is no folder, and only a folder can be editable")
    return str(path.absolute())


def _run(
    action: Literal["install", "uninstall"],
    what: str,
    arguments: Sequence[str],
    failure: str,
    *,
    hint: str = "",
    verbose: bool,
) -> None:
    name, command = _installer(action, what)
    # Nothing of it may reach stdout, which holds the results of zoo.
    output = sys.stderr if verbose else subprocess.PIPE
    done = subprocess.run([*command, *arguments], stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False)
    if done.returncode != 0:
        said = b"\n".join(filter(None, (done.stdout, done.stderr))).decode(errors="replace")
        raise InstallationError(f"{name} {failure}: {_reason(said)}{hint}")


def _installer(action: Literal["install", "uninstall"], what: str) -> tuple[str, list[str]]:
    """The program that changes this environment, and its command. Raises InstallationError."""
    _refuse_kept_environment(action, what)
    if importlib.util.find_spec("pip") is not None:
        options = ["--no-input", "--disable-pip-version-check", *(["--yes"] if action == "uninstall" else [])]
        return "pip", [sys.executable, "-m", "pip", action, *options]
    uv = shutil.which("uv")
    if uv is not None:
        return "uv", [uv, "pip", action, "--python", sys.executable]
    raise InstallationError(f"there is neither pip nor uv for {sys.executable}: python -m ensurepip brings pip")


def _refuse_kept_environment(action: Literal["install", "uninstall"], what: str) -> None:
    """Raise InstallationError, with the keeper's own command, where another program keeps this environment."""
    prefix, shown = Path(sys.prefix), printable(what, 120)
    if (prefix / "pipx_metadata.json").exists():
        command = f"pipx {'inject' if action == 'install' else 'uninject'} {prefix.name} {shown}"
        raise InstallationError(f"pipx keeps the environment of this zoo: {command}")
    if (prefix / "uv-receipt.toml").exists():
        change = f"uv tool install zoo-core --with {shown}"
        if action == "uninstall":
            change = f"uv tool install --force zoo-core, without --with {shown}"
        raise InstallationError(f"uv tool keeps the environment of this zoo: {change}")
    marker = Path(sysconfig.get_path("stdlib")) / "EXTERNALLY-MANAGED"
    if sys.prefix == sys.base_prefix and marker.exists() and not os.environ.get("PIP_BREAK_SYSTEM_PACKAGES"):
        raise InstallationError(
            f"the operating system keeps {sys.prefix} (PEP 668): install zoo-core into an environment of its own, "
            "python -m venv ENVIRONMENT, and the plugin beside it"
        )


def _reason(output: str) -> str:
    """What an installer gives as its reason: the end of a failed build, all that uv draws behind an ×, an error."""
    lines = [line.strip(" │├╰─▶>") for line in output.splitlines() if line.strip(" │├╰─▶>")]
    if "[end of output]" in lines[1:]:
        return printable(lines[lines.index("[end of output]") - 1], 300)
    drawn = next((number for number, line in enumerate(lines) if line.startswith("×")), None)
    if drawn is not None:
        return printable(" ".join(lines[drawn:]).removeprefix("× "), 300)
    # Behind "ERROR: Exception:" pip prints a traceback, whose end says what it was.
    said = (
        [line for line in lines if re.match(r"error:\s+(?!exception:)", line, re.IGNORECASE)]
        or lines[-1:]
        or ["it does not say why"]
    )
    return printable(re.sub(r"^error:\s*", "", said[-1], flags=re.IGNORECASE), 300)
