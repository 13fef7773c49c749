"""Pull: files of a model from the Hub into its cache, each verified, whatever the network does.

`fetch_entry` fetches what a registry entry pins, `fetch_address` what hf://user/repo[@revision] names. Both return the
folder in the cache that huggingface_hub and other tools share.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from zoo_core.errors import DigestError, HubError, ModelFolderError, UnreachableError, ZooError
from zoo_core.hub import cache, client
from zoo_core.hub.errors import HubResource, clean
from zoo_core.hub.retrying import StoppedError, attempt
from zoo_core.hub.settings import cache_folder, endpoint, offline
from zoo_core.modelfolder import CONFIG, MODEL_FILES, WEIGHTS, read_config
from zoo_core.registries import FileFacts, ModelEntry
from zoo_core.registries.address import HubAddress

if TYPE_CHECKING:
    from huggingface_hub import HfFileMetadata

_Result = TypeVar("_Result")

WORKERS = 6  # files that are downloaded side by side
_ETAG = re.compile(r"(?!\.)[A-Za-z0-9._+=-]{1,200}")
_warned: set[str] = set()  # addresses for which this process has logged what their verification is worth
_log = logging.getLogger("zoo_core.hub")


class DownloadProgress(Protocol):
    """What is informed of how far downloads are."""

    def begin(self, name: str, size: int | None) -> Callable[[int], None]:
        """Announce a file of `size` bytes. Return a function to call with the number of bytes that have arrived."""


@dataclass(frozen=True)
class Job:
    """What several downloads share.

    Attributes:
        progress: informed of every byte; None draws huggingface_hub's own bars.
        stop: set it to end all of them soon.
    """

    progress: DownloadProgress | None = None
    stop: threading.Event = field(default_factory=threading.Event)


def fetch_entry(entry: ModelEntry, job: Job | None = None) -> Path:
    """Fetch the files that a registry entry lists, from the Hub where one is not in the cache.

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
    return fetch(entry.hub.repo, entry.hub.revision, entry.files, job or Job())


def fetch(repo: str, commit: str, files: Mapping[str, FileFacts | None], job: Job) -> Path:
    """Fetch these files of a commit and return their folder in the cache.

    Args:
        commit: the full hash.
        files: by name, with what the registry states; None where only the Hub vouches for a file.

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
            side_by_side(lambda name: _download(repo, commit, name, files[name], job), missing, job)
    return folder


def _missing(folder: Path, files: Mapping[str, FileFacts | None]) -> list[str]:
    return [name for name, facts in files.items() if not cache.holds(folder, name, facts)]


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


def _download(repo: str, commit: str, name: str, facts: FileFacts | None, job: Job) -> None:
    resource = HubResource(repo, commit, name)

    def request() -> None:
        from huggingface_hub import hf_hub_download

        announced = _announcement(resource, facts)
        hf_hub_download(
            repo,
            name,
            revision=commit,
            endpoint=endpoint(),
            cache_dir=cache_folder(),
            library_name="zoo-core",
            tqdm_class=_progress_bar(f"{repo}/{name}", announced.size, job),
        )

    attempt(resource, request, stop=job.stop, folder=cache_folder())
    # The file is read once more to be hashed. Hashing it while it arrives, from huggingface_hub's temporary file, was
    # measured: 215 MB from a Hub on the same machine took 0.60 s instead of 0.62 s (medians of 20 pulls each).
    if not cache.holds(cache.snapshot_folder(repo, commit), name, facts):
        raise HubError(f"{resource}: it was downloaded, and then removed by another program; pull it again")


def _announcement(resource: HubResource, facts: FileFacts | None) -> HfFileMetadata:
    """Return what the Hub states of a file; refuse before the download a file that is not the requested one."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    assert resource.file is not None
    url = hf_hub_url(resource.repo, resource.file, revision=resource.revision, endpoint=endpoint())
    announced = get_hf_file_metadata(url, timeout=client.TIMEOUT, endpoint=endpoint(), library_name="zoo-core")
    # huggingface_hub makes a path of the ETag, and of the commit that the Hub names, whichever was requested.
    if announced.etag is not None and not _ETAG.fullmatch(announced.etag):
        raise HubError(f"{resource}: the Hub gives the ETag {clean(announced.etag)!r}, which cannot be a file name")
    if announced.commit_hash is not None and announced.commit_hash != resource.revision:
        raise HubError(f"{resource}: the Hub serves the commit {clean(announced.commit_hash)} instead")
    if facts is None:
        return announced
    if announced.size is not None and announced.size != facts.size:
        problem = f"the Hub has {announced.size:,} bytes, but the registry states {facts.size:,}"
        raise ModelFolderError(str(resource), problem)
    if announced.etag and len(announced.etag) == 64 and announced.etag != facts.sha256:
        raise DigestError(str(resource), facts.sha256, clean(announced.etag), note="the Hub has another file")
    return announced


def _progress_bar(name: str, size: int | None, job: Job) -> type:
    """Return the class that huggingface_hub takes for its progress bar.

    It is huggingface_hub's own, or one that informs `job.progress`. Both end a download that should stop.
    """
    from huggingface_hub.utils import tqdm  # type: ignore[attr-defined]

    class Bar(tqdm):
        def update(self, n: float | None = 1) -> Any:
            _check_stopped(job)
            return super().update(n)

    class Counter:
        def __init__(self, *_: Any, initial: float = 0, **__: Any) -> None:
            assert job.progress is not None
            self.inform, self.arrived = job.progress.begin(name, size), 0
            self.update(initial)

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def update(self, n: float | None = 1) -> None:
            _check_stopped(job)
            self.arrived += int(n or 0)  # negative where the Hub sends a file from its beginning again
            self.inform(self.arrived)

        def close(self, *_: Any) -> None:
            pass

        # What downloads by Xet call besides.
        refresh = set_description = set_postfix_str = set_transfer_postfix_str = update_transfer = close

    return Bar if job.progress is None else Counter


def _check_stopped(job: Job) -> None:
    if job.stop.is_set():
        raise StoppedError


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
        names = _complete_model(address.repo, known, even_if_unlisted=offline())
        if names:
            return _warn_once(address, fetch(address.repo, known, dict.fromkeys(names), job), names)
    client.require_online(address, "it is not completely in the cache")
    try:
        commit, names = _request_listing(
            address, job, attempts=1 if known and _complete_model(address.repo, known) else None
        )
    except UnreachableError as error:
        names = _complete_model(address.repo, known) if known else None
        if known is None or not names:
            raise
        _log.warning("%s; using the commit %s, which was pulled before", error, known[:12])
        return _warn_once(address, fetch(address.repo, known, dict.fromkeys(names), job), names)
    folder = fetch(address.repo, commit, {CONFIG: None}, job)
    read_config(folder)  # a repository of another library is refused before its weights are downloaded
    if config_only:
        return folder
    fetch(address.repo, commit, dict.fromkeys(names), job)
    cache.write_listing(address.repo, commit, names)
    if not address.commit:
        try:
            cache.write_reference(address.repo, address.reference, commit)
        except (OSError, ZooError):
            _log.warning("the cache cannot be written, so %s will not be available offline", address)
    return _warn_once(address, folder, names)


def _complete_model(repo: str, commit: str, *, even_if_unlisted: bool = True) -> list[str] | None:
    """Return the files of a commit that are in the cache where they are a complete model, else None."""
    folder = cache.snapshot_folder(repo, commit)
    names = cache.read_listing(repo, commit)
    if names is None and even_if_unlisted:  # perhaps another tool of the Hub fetched them
        names = [name for name in MODEL_FILES if (folder / name).exists()]
    complete = names and {CONFIG, WEIGHTS} <= set(names) and all((folder / name).exists() for name in names)
    return names if complete else None


def _request_listing(address: HubAddress, job: Job, attempts: int | None) -> tuple[str, list[str]]:
    """Return the commit that an address stands for, and the names of its files that the format knows."""
    resource = HubResource(address.repo, address.reference)
    info = attempt(
        resource,
        lambda: client.api().model_info(address.repo, revision=address.reference, timeout=client.TIMEOUT),
        attempts=attempts,
        stop=job.stop,
    )
    listed = {sibling.rfilename for sibling in info.siblings or ()}
    missing = [name for name in (CONFIG, WEIGHTS) if name not in listed]
    if missing or not info.sha:
        raise ModelFolderError(str(address), f"is not a model of this zoo: it has no {' and no '.join(missing)}")
    if address.commit and info.sha != address.commit:
        raise HubError(f"{address}: the Hub serves the commit {clean(info.sha)} instead")
    return info.sha, [name for name in MODEL_FILES if name in listed]


def _warn_once(address: HubAddress, folder: Path, names: list[str]) -> Path:
    """Return the folder; log, once in a process, what its verification is worth."""
    if str(address) not in _warned:
        _warned.add(str(address))
        unverified = [name for name in names if not cache.is_verifiable(folder, name)]
        exception = f", except for {', '.join(unverified)}, of which it states none" if unverified else ""
        _log.warning(
            "%s: no registry vouches for it; its files were compared with the digests that the Hub itself states%s",
            address,
            exception,
        )
    return folder
