"""Distributions in this environment: where each was installed from, and installing and uninstalling them.

pip does it, or uv if there is no pip. An environment that another program manages (pipx, uv tool, the operating system)
is left alone; the error names that program's own command.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
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

import msgspec

from zoo_core.errors import InstallationError, printable
from zoo_core.files.paths import user_path
from zoo_core.plugins.hookspecs import ENTRY_POINT_GROUP

_REMOTE = re.compile(r"[a-z][a-z0-9+.]*://", re.IGNORECASE)
_GIT_SUFFIX = re.compile(r"(https?|ssh)://\S+\.git(@\S+)?", re.IGNORECASE)


@dataclass(frozen=True)
class Origin:
    """Where a distribution was installed from, by its direct_url.json (PEP 610).

    Attributes:
        kind: kind of the source; index if there is no direct_url.json.
        url: URL of the source, without credentials.
        commit: commit of a git repository.
        editable: the code of the folder is used in place.

    Example:
        >>> print(Origin("folder", "file:///home/me/zoo-ring", editable=True))
        editable folder /home/me/zoo-ring
    """

    kind: Literal["index", "folder", "wheel", "archive", "git", "unknown"]
    url: str | None = None
    commit: str | None = None
    editable: bool = False

    @property
    def place(self) -> str | None:
        """The URL, or the path that a file URL refers to."""
        if self.url is None or not self.url.startswith("file://"):
            return self.url
        return url2pathname(urlsplit(self.url).path)

    def __str__(self) -> str:
        words = [("editable " if self.editable else "") + self.kind, self.place or ""]
        return printable(" ".join(filter(None, words)) + (f"@{self.commit[:12]}" if self.commit else ""))


class _GitFacts(msgspec.Struct):
    commit_id: str | None = None


class _FolderFacts(msgspec.Struct):
    editable: bool = False


class _DirectUrl(msgspec.Struct):
    """The part of a direct_url.json that is shown."""

    url: str
    vcs_info: _GitFacts | None = None
    dir_info: _FolderFacts | None = None


def origin_of(distribution: str) -> Origin:
    """Return where an installed distribution came from; its kind is unknown if that cannot be read."""
    try:
        text = importlib.metadata.distribution(distribution).read_text("direct_url.json")
        if text is None:
            return Origin("index")
        stated = msgspec.json.decode(text, type=_DirectUrl)
        url = _without_credentials(stated.url)
        if stated.vcs_info is not None:
            return Origin("git", url, stated.vcs_info.commit_id)
        if stated.dir_info is not None:
            return Origin("folder", url, editable=stated.dir_info.editable)
        return Origin("wheel" if url.endswith(".whl") else "archive", url)
    except Exception:  # anybody may have written the file; the list of plugins must not fail because of it
        return Origin("unknown")


def _without_credentials(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


@dataclass(frozen=True)
class Installed:
    """A distribution as it is now; `stamp` differs after a plugin was installed again in the same version."""

    version: str
    stamp: int | None = None


def installed() -> dict[str, Installed]:
    """List every distribution of this environment by name.

    Example:
        >>> "click" in installed()
        True
    """
    importlib.invalidate_caches()
    by_name: dict[str, Installed] = {}
    for distribution in importlib.metadata.distributions():
        try:
            name, version = distribution.metadata["Name"], distribution.version
            is_plugin = any(point.group == ENTRY_POINT_GROUP for point in distribution.entry_points)
        except Exception:  # a distribution that was half removed has no metadata; that is not for us to report
            continue
        by_name.setdefault(name, Installed(version, _stamp(distribution) if is_plugin else None))
    return by_name


def _stamp(distribution: importlib.metadata.Distribution) -> int | None:
    """Return the time, in nanoseconds, at which the metadata was written."""
    for file in distribution.files or ():
        if file.name == "METADATA":
            return Path(str(distribution.locate_file(file))).stat().st_mtime_ns
    return None


def install(requirement: str, *, editable: bool = False, upgrade: bool = False, verbose: bool = False) -> None:
    """Install a distribution into the environment of this process.

    Args:
        requirement: a name in the package index with or without a version, a folder, a wheel, or the URL of a git
            repository.
        editable: use the code of a folder in place.
        upgrade: install the newest version that fits.
        verbose: show the installer's output, on stderr.

    Raises:
        InstallationError: if another program manages this environment, or the installation fails.
    """
    requirement = _checked(requirement, editable=editable)
    options = [*(["--upgrade"] if upgrade else []), *(["--editable"] if editable else []), requirement]
    hint = f"; for the folder of that name write ./{requirement}" if Path(requirement).is_dir() else ""
    hint = hint if os.sep not in requirement else ""
    _run("install", requirement, options, f"cannot install {printable(requirement, 120)}", hint=hint, verbose=verbose)


def uninstall(distribution: str, *, verbose: bool = False) -> None:
    """Uninstall a distribution from the environment of this process.

    Raises:
        InstallationError: if that fails, or the distribution is outside this environment.
    """
    _run("uninstall", distribution, [distribution], f"cannot uninstall {distribution}", verbose=verbose)
    if distribution in installed():
        place = importlib.metadata.distribution(distribution).locate_file("")
        raise InstallationError(f"{distribution} is still installed: {printable(place)} is outside {sys.prefix}")


def _checked(requirement: str, *, editable: bool) -> str:
    """Return what to give to the installer. Raises InstallationError for what it would misread or explain at length."""
    shown = printable(requirement, 120)
    if not requirement.strip() or requirement.startswith("-"):
        raise InstallationError(
            f"{shown!r} is not a plugin: give a name, a folder, a wheel or the URL of a git repository"
        )
    if _GIT_SUFFIX.fullmatch(requirement):
        return f"git+{requirement}"
    is_path = requirement.startswith((".", "~")) or os.sep in requirement or requirement.endswith(".whl")
    if _REMOTE.match(requirement) or " @ " in requirement or not is_path:
        if editable:
            raise InstallationError(f"{shown} is not a folder, and only a folder can be editable")
        return requirement
    path = user_path(requirement)
    if not path.exists():
        raise InstallationError(f"there is no folder or wheel {shown}")
    if path.is_dir() and not any((path / name).is_file() for name in ("pyproject.toml", "setup.py")):
        raise InstallationError(f"{shown} is not a distribution: it has no pyproject.toml")
    if editable and not path.is_dir():
        raise InstallationError(f"{shown} is not a folder, and only a folder can be editable")
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
    # None of its output may reach stdout, which holds the results of the command.
    output = sys.stderr if verbose else subprocess.PIPE
    done = subprocess.run([*command, *arguments], stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False)
    if done.returncode != 0:
        printed = b"\n".join(filter(None, (done.stdout, done.stderr))).decode(errors="replace")
        raise InstallationError(f"{name} {failure}: {_reason(printed)}{hint}")


def _installer(action: Literal["install", "uninstall"], what: str) -> tuple[str, list[str]]:
    """Return the name and the command of the program that changes this environment. Raises InstallationError."""
    _refuse_managed_environment(action, what)
    if importlib.util.find_spec("pip") is not None:
        options = ["--no-input", "--disable-pip-version-check", *(["--yes"] if action == "uninstall" else [])]
        return "pip", [sys.executable, "-m", "pip", action, *options]
    uv = shutil.which("uv")
    if uv is not None:
        return "uv", [uv, "pip", action, "--python", sys.executable]
    raise InstallationError(f"there is neither pip nor uv for {sys.executable}; install pip with: python -m ensurepip")


def _refuse_managed_environment(action: Literal["install", "uninstall"], what: str) -> None:
    """Raise InstallationError, with the other program's own command, if another program manages this environment."""
    prefix, shown = Path(sys.prefix), printable(what, 120)
    if (prefix / "pipx_metadata.json").exists():
        command = f"pipx {'inject' if action == 'install' else 'uninject'} {prefix.name} {shown}"
        raise InstallationError(f"pipx manages this environment; run: {command}")
    if (prefix / "uv-receipt.toml").exists():
        change = f"uv tool install zoo-core --with {shown}"
        if action == "uninstall":
            change = f"uv tool install --force zoo-core, without --with {shown}"
        raise InstallationError(f"uv tool manages this environment; run: {change}")
    marker = Path(sysconfig.get_path("stdlib")) / "EXTERNALLY-MANAGED"
    if sys.prefix == sys.base_prefix and marker.exists() and not os.environ.get("PIP_BREAK_SYSTEM_PACKAGES"):
        raise InstallationError(
            f"the operating system manages {sys.prefix} (PEP 668); install zoo-core and the plugin into an environment "
            "of their own: python -m venv ENVIRONMENT"
        )


def _reason(output: str) -> str:
    """Find the reason in an installer's output: the end of a failed build, the text after uv's ×, or an error line."""
    lines = [line.strip(" │├╰─▶>") for line in output.splitlines() if line.strip(" │├╰─▶>")]
    if "[end of output]" in lines[1:]:
        return printable(lines[lines.index("[end of output]") - 1], 300)
    drawn = next((number for number, line in enumerate(lines) if line.startswith("×")), None)
    if drawn is not None:
        return printable(" ".join(lines[drawn:]).removeprefix("× "), 300)
    # After "ERROR: Exception:" pip prints a traceback; its last line is the reason.
    reasons = (
        [line for line in lines if re.match(r"error:\s+(?!exception:)", line, re.IGNORECASE)]
        or lines[-1:]
        or ["the installer gives no reason"]
    )
    return printable(re.sub(r"^error:\s*", "", reasons[-1], flags=re.IGNORECASE), 300)
