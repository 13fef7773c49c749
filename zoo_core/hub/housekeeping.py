"""Housekeeping: list, remove, prune and verify the models of this zoo in the cache.

All tools of the Hub share the cache. Only commits with a model of this zoo are listed, and only those are removed.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from zoo_core.errors import DigestError, ModelFolderError, ZooError, printable
from zoo_core.files import verified_digests
from zoo_core.hub import cache
from zoo_core.hub.cache import StatedFile
from zoo_core.hub.errors import disk_problem
from zoo_core.hub.settings import cache_folder
from zoo_core.modelfolder import CONFIG, MODEL_FILES, read_config
from zoo_core.registries import ModelEntry
from zoo_core.registries.address import COMMIT, SCHEME, parse_address

_SHORTEST = 7  # digits of a commit hash that may stand for all of it
_ABANDONED = 3600.0  # seconds without a change after which an unfinished download counts as abandoned


@dataclass(frozen=True)
class CachedModel:
    """A commit in the cache that has a model of this zoo.

    Attributes:
        size: bytes on disk, including those that other commits share.
        references: the branches and tags that stand for the commit.
        names: the registry entries that pin it.
    """

    repo: str
    commit: str
    folder: Path
    size: int
    references: tuple[str, ...]
    names: tuple[str, ...]

    @property
    def address(self) -> str:
        """The address of this commit, as `zoo pull` takes it."""
        return f"{SCHEME}{self.repo}@{self.commit}"


def cached_models(entries: Iterable[ModelEntry] = ()) -> list[CachedModel]:
    """Return the models of this zoo in the cache, sorted by repository and commit.

    Args:
        entries: the registry's, for the names of the models.
    """
    pinned: dict[tuple[str, str], list[str]] = {}
    for entry in entries:
        if entry.hub is not None:
            pinned.setdefault((entry.hub.repo, entry.hub.revision), []).append(entry.name)
    models = [
        CachedModel(
            repo=repo,
            commit=snapshot.name,
            folder=snapshot,
            size=sum(path.stat().st_size for path in {file.resolve() for file in _files(snapshot)} if path.exists()),
            references=tuple(sorted(name for name, commit in _references(repo).items() if commit == snapshot.name)),
            names=tuple(sorted(pinned.get((repo, snapshot.name), ()))),
        )
        for repo, snapshot in _snapshots()
        if (repo, snapshot.name) in pinned or _has_model(snapshot)
    ]
    return sorted(models, key=lambda model: (model.repo, model.commit))


# huggingface_hub's own scan leaves out a repository of which a file is missing, and those are of interest here.


def _snapshots() -> Iterator[tuple[str, Path]]:
    for folder in cache_folder().glob("models--*--*"):
        repo = folder.name.removeprefix("models--").replace("--", "/", 1)
        if cache.repository_folder(repo) == folder:
            yield from ((repo, path) for path in (folder / "snapshots").glob("*") if COMMIT.fullmatch(path.name))


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_symlink() or path.is_file())


def _references(repo: str) -> dict[str, str]:
    folder = cache.repository_folder(repo) / "refs"
    names = [path.relative_to(folder).as_posix() for path in _files(folder)]
    return {name: commit for name in names if (commit := cache.read_reference(repo, name)) is not None}


def _has_model(snapshot: Path) -> bool:
    """Whether a snapshot has a model of this zoo, complete or not."""
    try:
        read_config(snapshot)
    except ModelFolderError:
        return False
    return True


def choose(models: Sequence[CachedModel], names: Sequence[str]) -> list[CachedModel]:
    """Return the models with these names: names in the registry, or hf://user/repo[@revision]. Raises ZooError."""
    chosen = []
    for name in names:
        named = [model for model in models if _is_named(model, name)]
        if not named:
            raise ZooError(f"{printable(name, 120)} is not in the cache: zoo cache list shows what is")
        chosen += named
    return list(dict.fromkeys(chosen))


def _is_named(model: CachedModel, name: str) -> bool:
    if not name.startswith(SCHEME):
        return name in model.names
    address = parse_address(name)
    if address.repo != model.repo:
        return False
    wanted = address.revision
    if wanted is None or wanted in model.references:
        return True
    return len(wanted) >= _SHORTEST and model.commit.startswith(wanted)


def remove_models(models: Sequence[CachedModel]) -> int:
    """Remove models from the cache, except for files that other commits share. Return the number of bytes freed.

    Raises:
        HubError: where the cache cannot be written.
    """
    try:
        freed = sum(_remove_one(model) for model in models)
    except OSError as error:
        raise disk_problem(error, cache_folder()) from error
    verified_digests.sweep(cache.verified_folder())
    return freed


def _remove_one(model: CachedModel) -> int:
    repository = cache.repository_folder(model.repo)
    blobs = {path.resolve() for path in _files(model.folder)}
    for name in model.references:
        (repository / "refs" / name).unlink(missing_ok=True)
    cache.forget_listing(model.repo, model.commit)
    shutil.rmtree(model.folder)
    others = [path for path in (repository / "snapshots").iterdir() if path.is_dir()]
    kept = {path.resolve() for folder in others for path in _files(folder)}
    unused = [path for path in blobs - kept if path.is_relative_to(repository.resolve())]
    freed = model.size if not others else sum(path.stat().st_size for path in unused if path.exists())
    if not others:
        shutil.rmtree(repository)
        return freed
    for path in unused:
        path.unlink(missing_ok=True)
    return freed


def superseded(models: Iterable[CachedModel]) -> list[CachedModel]:
    """Return the cached commits that no registry entry, branch or tag refers to."""
    return [model for model in models if not model.names and not model.references]


def abandoned_downloads(models: Iterable[CachedModel]) -> list[Path]:
    """Return what killed downloads left, in the repositories of these models and of every pull that was begun."""
    folders = {model.folder.parent.parent for model in models}
    folders |= {cache.repository_folder(repo) for repo in cache.pulled_repositories()}
    unfinished = [path for folder in folders for path in (folder / "blobs").glob("*.incomplete")]
    before = time.time() - _ABANDONED
    return sorted(path for path in unfinished if path.lstat().st_mtime < before)


def remove_files(paths: Iterable[Path]) -> int:
    """Remove files of the cache. Return the number of bytes freed."""
    freed = 0
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            size = path.lstat().st_size
            path.unlink()
            freed += size
    verified_digests.sweep(cache.verified_folder())
    return freed


@dataclass(frozen=True)
class CacheReport:
    """What reading a cached model again showed.

    Attributes:
        files: the number of files that were checked.
        problems: one line for each damaged or missing file.
        unverifiable: the files of which no digest is known.
    """

    model: CachedModel
    files: int
    problems: tuple[str, ...]
    unverifiable: tuple[str, ...]


def verify_model(model: CachedModel, entries: Iterable[ModelEntry]) -> CacheReport:
    """Read every file of a model and compare it with its digest. What is damaged is removed from the cache."""
    stated = {name: each for name, each in (cache.read_listing(model.repo, model.commit) or {}).items() if each}
    for entry in entries:
        if entry.hub is not None and (entry.hub.repo, entry.hub.revision) == (model.repo, model.commit):
            stated |= {name: StatedFile.of(facts) for name, facts in entry.files.items()}
    names = [name for name in MODEL_FILES if (model.folder / name).exists() or _dangles(model.folder / name)]
    problems, unverifiable = [], []
    for name in sorted(names, key=lambda name: (name != CONFIG, name)):
        path = model.folder / name
        if not path.exists():
            problems.append(f"{printable(path)}: is a link to a file that is gone; pull the model again")
        elif name not in stated and cache.stated_by_name(path) is None:
            unverifiable.append(name)
        else:
            problem = _problem_of(model.folder, name, stated.get(name))
            problems += [problem] if problem else []
    return CacheReport(model, len(names), tuple(problems), tuple(unverifiable))


def _problem_of(folder: Path, name: str, stated: StatedFile | None) -> str | None:
    try:
        cache.holds(folder, name, stated, trust_records=False)
    except (DigestError, ModelFolderError) as error:
        return str(error)
    return None


def _dangles(path: Path) -> bool:
    return path.is_symlink() and not path.exists()
