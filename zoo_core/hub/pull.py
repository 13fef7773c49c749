"""Pull: files of a model from the Hub into its cache, each verified, whatever the network does.

`fetch_entry` fetches what a registry entry pins, `fetch_address` what hf://user/repo[@revision] names. Both return the
folder in the cache that huggingface_hub and other tools share.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, TypeVar

from zoo_core.errors import HubError, ModelFolderError, UnreachableError, ZooError, printable
from zoo_core.hub import cache, client
from zoo_core.hub.cache import StatedFile
from zoo_core.hub.downloading import Job, download
from zoo_core.hub.errors import HubResource
from zoo_core.hub.listing import request_listing
from zoo_core.hub.retrying import StoppedError
from zoo_core.hub.settings import offline
from zoo_core.modelfolder import CONFIG, MODEL_FILES, WEIGHTS, read_config
from zoo_core.registries import ModelEntry
from zoo_core.registries.address import HubAddress

_Result = TypeVar("_Result")

WORKERS = 6  # files that are downloaded side by side
_warned: set[str] = set()  # addresses for which this process has logged what their verification is worth
_log = logging.getLogger("zoo_core.hub")


def fetch_entry(entry: ModelEntry, job: Job | None = None) -> Path:
    """Fetch the files that a registry entry lists, from the Hub where one is not in the cache.

    A file that the format does not name is left out, which is logged: nothing else has a place in a model's folder.

    Returns:
        The folder in the cache that has all of them, verified.

    Raises:
        DigestError, ModelFolderError: for a file that is not the one that the entry states. It is removed.
        HubError: where the Hub does not provide a file.
        UnreachableError: where the Hub does not answer.
    """
    assert entry.hub is not None
    if CONFIG not in entry.files or WEIGHTS not in entry.files:
        raise HubError(f"{entry.name}: the registry states no sha256 of {CONFIG} and {WEIGHTS}, so it is not pulled")
    others = [printable(name, 60) for name in entry.files if name not in MODEL_FILES]
    if others:
        listed = ", ".join(others[:5]) + (" and more" if len(others) > 5 else "")
        _log.warning("%s: not fetched, for they are no files of a model: %s", entry.name, listed)
    files = {name: StatedFile.of(facts) for name, facts in entry.files.items() if name in MODEL_FILES}
    return fetch(entry.hub.repo, entry.hub.revision, files, job or Job())


def fetch(repo: str, commit: str, files: Mapping[str, StatedFile | None], job: Job) -> Path:
    """Fetch these files of a commit and return their folder in the cache.

    Args:
        commit: the full hash.
        files: by name, with what the registry or the Hub's listing states; None where neither does.

    Raises:
        As `fetch_entry`.
    """
    folder = cache.snapshot_folder(repo, commit)
    if missing := _missing(folder, files):
        resource = HubResource(repo, commit)
        client.require_online(resource, f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not in the cache")
        # One process downloads, the others find its files. huggingface_hub itself locks what other tools download.
        with cache.locked_repository(repo):
            missing = _missing(folder, files)
            cache.note_pull(repo)
            side_by_side(lambda name: download(HubResource(repo, commit, name), files[name], job), missing, job)
            if removed := _missing(folder, files):
                gone = ", ".join(removed)
                raise HubError(f"{resource}: {gone} was downloaded, and then removed by another program; pull it again")
    return folder


def _missing(folder: Path, files: Mapping[str, StatedFile | None]) -> list[str]:
    return [name for name, stated in files.items() if not cache.holds(folder, name, stated)]


def side_by_side(
    work: Callable[[str], _Result], items: Sequence[str], job: Job, workers: int = WORKERS
) -> list[_Result]:
    """Work on several items in threads, and return the results in the order of the items.

    The first failure stops the rest and is raised once they have ended. Ctrl-C stops them too. In the `zoo` command it
    ends their connections; in any other process the connections are not ours alone, so the call returns at once and
    the threads end when their next bytes arrive.
    """
    pool, wait = ThreadPoolExecutor(workers), True
    try:
        futures = [pool.submit(work, item) for item in items]
        failure = _first_failure(futures, job)
    except BaseException:  # Ctrl-C
        job.stop.set()
        wait = client.hang_up()
        raise
    finally:
        pool.shutdown(wait=wait, cancel_futures=True)
    if failure is not None:
        raise failure
    return [future.result() for future in futures]


def _first_failure(futures: Sequence[Future[Any]], job: Job) -> BaseException | None:
    """Wait for all, stop the rest at the first failure, and return it."""
    first: BaseException | None = None
    for future in as_completed(futures):
        error = future.exception()
        if error is not None and (first is None or isinstance(first, StoppedError)):
            first = error
            job.stop.set()
    return first


# without a registry entry


def fetch_address(address: HubAddress, job: Job | None = None, *, config_only: bool = False) -> Path:
    """Fetch the model of a repository, verified as far as that is possible without a registry entry.

    The commit of a branch or tag is requested each time; where the Hub does not answer, the last known one is used and
    a warning is logged. Only files that the format names are fetched, config.json before all others. With
    `config_only` it is fetched alone, unless the others are in the cache.

    Returns:
        The folder in the cache.

    Raises:
        ModelFolderError: where the repository holds no model, or files that are not what the Hub itself states.
        HubError, UnreachableError: as `fetch_entry`.
    """
    job = job or Job()
    known = address.commit or cache.read_reference(address.repo, address.reference)
    if known is not None and (offline() or address.commit):
        files = _complete_model(address.repo, known, even_if_unlisted=offline())
        if files:
            return _warn_once(address, fetch(address.repo, known, files, job), files)
    client.require_online(address, "it is not completely in the cache")
    try:
        commit, files = _request_model(
            address, job, attempts=1 if known and _complete_model(address.repo, known) else None
        )
    except UnreachableError as error:
        in_cache = _complete_model(address.repo, known) if known else None
        if known is None or not in_cache:
            raise
        _log.warning("%s; using the commit %s, which was pulled before", error, known[:12])
        return _warn_once(address, fetch(address.repo, known, in_cache, job), in_cache)
    folder = fetch(address.repo, commit, {CONFIG: files[CONFIG]}, job)
    read_config(folder)  # a repository of another library is refused before its weights are downloaded
    if config_only:
        return folder
    fetch(address.repo, commit, files, job)
    cache.write_listing(address.repo, commit, files)
    if not address.commit:
        try:
            cache.write_reference(address.repo, address.reference, commit)
        except (OSError, ZooError):
            _log.warning("the cache cannot be written, so %s will not be available offline", address)
    return _warn_once(address, folder, files)


def _complete_model(repo: str, commit: str, *, even_if_unlisted: bool = True) -> Mapping[str, StatedFile | None] | None:
    """Return the files of a commit that are in the cache where they are a complete model, else None."""
    folder = cache.snapshot_folder(repo, commit)
    files = cache.read_listing(repo, commit)
    if files is None and even_if_unlisted:  # perhaps another tool of the Hub fetched them
        present = [name for name in MODEL_FILES if (folder / name).exists()]
        files = {name: cache.stated_by_name(folder / name) for name in present}
    complete = files and {CONFIG, WEIGHTS} <= set(files) and all((folder / name).exists() for name in files)
    return files if complete else None


def _request_model(address: HubAddress, job: Job, attempts: int | None) -> tuple[str, Mapping[str, StatedFile | None]]:
    """Return the commit that an address stands for, and its files that the format names."""
    resource = HubResource(address.repo, address.reference)
    listing = request_listing(resource, MODEL_FILES, attempts=attempts, stop=job.stop)
    missing = [name for name in (CONFIG, WEIGHTS) if name not in listing.files]
    if missing:
        raise ModelFolderError(str(address), f"is not a model of this zoo: it has no {' and no '.join(missing)}")
    return listing.commit, {name: listing.files[name] for name in MODEL_FILES if name in listing.files}


def _warn_once(address: HubAddress, folder: Path, files: Mapping[str, StatedFile | None]) -> Path:
    """Return the folder; log, once in a process, what its verification is worth."""
    if str(address) not in _warned:
        _warned.add(str(address))
        unverified = [name for name in files if files[name] is None]
        exception = f", except for {', '.join(unverified)}, of which it states none" if unverified else ""
        _log.warning(
            "%s: no registry vouches for it; its files were compared with the digests that the Hub itself states%s",
            address,
            exception,
        )
    return folder
