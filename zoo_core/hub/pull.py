"""From the Hub into its cache: the files that are wanted, each verified, whatever the network does meanwhile."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from zoo_core.errors import DigestError, HubError, ModelFolderError, UnreachableError, ZooError
from zoo_core.hub import cache, client, verified_digests
from zoo_core.hub.client import StoppedError, Subject
from zoo_core.hub.streaming_digest import Follower
from zoo_core.modelfolder import CONFIG, MODEL_FILES, WEIGHTS, read_config
from zoo_core.registries import FileFacts, ModelEntry
from zoo_core.registries.address import HubAddress

if TYPE_CHECKING:
    from huggingface_hub import HfFileMetadata

_Result = TypeVar("_Result")

WORKERS = 6
_ETAG = re.compile(r"(?!\.)[A-Za-z0-9._+=-]{1,200}")
_FOLLOWED = 16 * 2**20  # bytes from which a file is hashed while it comes
_told: set[str] = set()


class Progress(Protocol):
    """Who wants to know how far downloads are."""

    def begin(self, name: str, size: int | None) -> Callable[[int], None]:
        """A file of `size` bytes comes; call what this returns with the bytes that are there so far."""


@dataclass(frozen=True)
class Job:
    """What several downloads share.

    Attributes:
        progress: told of every byte.
        stop: set to end all of them soon.
    """

    progress: Progress | None = None
    stop: threading.Event = field(default_factory=threading.Event)

    def abort(self) -> None:
        """End all of them at once."""
        self.stop.set()
        client.hang_up()


def fetch_entry(entry: ModelEntry, job: Job | None = None) -> Path:
    """The folder in the cache with every file that the entry lists, verified; from the Hub where one is missing.

    Raises:
        DigestError, ModelFolderError: for a file that is not the one that the entry states. It is removed.
        HubError: where the Hub does not give it. UnreachableError: where it does not answer.
    """
    assert entry.hub is not None
    if CONFIG not in entry.files or WEIGHTS not in entry.files:
        raise HubError(f"{entry.name}: the registry states no sha256 of {CONFIG} and {WEIGHTS}, so it is not pulled")
    return fetch(entry.hub.repo, entry.hub.revision, entry.files, job or Job())


def fetch(repo: str, commit: str, files: Mapping[str, FileFacts | None], job: Job) -> Path:
    """The folder in the cache with these files of a commit. Raises as fetch_entry."""
    folder = cache.snapshot_folder(repo, commit)
    if missing := _missing(folder, files):
        subject = Subject(repo, commit)
        client.require_online(subject, f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not in the cache")
        # One process downloads, the others find its files; those that other tools download, the client itself locks.
        with client.locked(cache.lock_file(f"{cache.repository_folder(repo)}"), f"it pulls hf://{repo}"):
            missing = _missing(folder, files)
            cache.note_pull(repo)
            side_by_side(lambda name: _download(repo, commit, name, files[name], job), missing, job)
    return folder


def _missing(folder: Path, files: Mapping[str, FileFacts | None]) -> list[str]:
    return [name for name, facts in files.items() if not cache.holds(folder, name, facts)]


def side_by_side(
    work: Callable[[str], _Result], items: Sequence[str], job: Job, workers: int = WORKERS
) -> list[_Result]:
    """Work on several items at once. A failure, or Ctrl-C, stops the rest and is raised once they have ended."""
    pool = ThreadPoolExecutor(workers)
    try:
        futures = [pool.submit(work, item) for item in items]
        failure = _first_failure(futures, job)
    except BaseException:  # Ctrl-C
        job.abort()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    if failure is not None:
        raise failure
    return [future.result() for future in futures]


def _first_failure(futures: Sequence[Future[Any]], job: Job) -> BaseException | None:
    """Wait for all; stop the rest at the first failure, and give that one."""
    first: BaseException | None = None
    for future in as_completed(futures):
        error = future.exception()
        if error is not None and (first is None or isinstance(first, StoppedError)):
            first = error
            job.stop.set()
    return first


def _download(repo: str, commit: str, name: str, facts: FileFacts | None, job: Job) -> None:
    subject = Subject(repo, commit, name)

    def ask() -> None:
        from huggingface_hub import hf_hub_download

        announced = _announcement(subject, facts)
        # Xet writes a file in no order, and a small one is read again in no time.
        followed = announced.xet_file_data is None and (announced.size or 0) > _FOLLOWED and bool(announced.etag)
        follower = Follower(cache.repository_folder(repo) / "blobs", str(announced.etag)) if followed else None
        try:
            path = hf_hub_download(
                repo,
                name,
                revision=commit,
                endpoint=client.endpoint(),
                cache_dir=client.cache_folder(),
                library_name="zoo-core",
                tqdm_class=_counter(f"{repo}/{name}", announced.size, job, follower),
            )
            _note_digest(Path(path), follower)
        finally:
            if follower is not None:
                follower.close()

    client.attempt(subject, ask, stop=job.stop, folder=client.cache_folder())
    if not cache.holds(cache.snapshot_folder(repo, commit), name, facts):
        raise HubError(f"{subject}: it was downloaded, and then removed by another program")


def _note_digest(path: Path, follower: Follower | None) -> None:
    """Write down what the follower computed, so that the file is not read once more."""
    if follower is None:
        return
    with contextlib.suppress(OSError):
        real = path.resolve(strict=True)
        digest = follower.sha256_of(real)
        if digest is not None:
            verified_digests.note(real, cache.stamps_folder(), digest)


def _announcement(subject: Subject, facts: FileFacts | None) -> HfFileMetadata:
    """What the Hub says of a file. What is not the one that was asked for is refused before it is downloaded."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    assert subject.file is not None
    url = hf_hub_url(subject.repo, subject.file, revision=subject.revision, endpoint=client.endpoint())
    announced = get_hf_file_metadata(url, timeout=client.TIMEOUT, endpoint=client.endpoint(), library_name="zoo-core")
    # The client makes a path of the ETag, and of the commit that the Hub names, whatever was asked for.
    if announced.etag is not None and not _ETAG.fullmatch(announced.etag):
        raise HubError(
            f"{subject}: the Hub names its content {client.clean(announced.etag)!r}, which no file can be called"
        )
    if announced.commit_hash is not None and announced.commit_hash != subject.revision:
        raise HubError(f"{subject}: the Hub serves the commit {client.clean(announced.commit_hash)} instead")
    if facts is None:
        return announced
    if announced.size is not None and announced.size != facts.size:
        problem = f"the Hub has {announced.size:,} bytes, but the registry states {facts.size:,}"
        raise ModelFolderError(str(subject), problem)
    if announced.etag and len(announced.etag) == 64 and announced.etag != facts.sha256:
        raise DigestError(str(subject), facts.sha256, client.clean(announced.etag), note="the Hub has another file")
    return announced


def _counter(name: str, size: int | None, job: Job, follower: Follower | None) -> type:
    """What huggingface_hub takes for its progress bar: its own, or one that tells ours; both end what shall stop."""
    from huggingface_hub.utils import tqdm  # type: ignore[attr-defined]

    there = 0

    def advance(n: float | None) -> int:
        """Count bytes that are about to be written: all before them are."""
        nonlocal there
        if job.stop.is_set():
            raise StoppedError
        if follower is not None and n is not None and n < 0:
            follower.forget()  # the Hub began anew, and the client with it
        elif follower is not None and n:
            follower.begin()
            follower.written(there)
        there += int(n or 0)
        return there

    class Bar(tqdm):
        def update(self, n: float | None = 1) -> Any:
            advance(n)
            return super().update(n)

    class Counter:
        def __init__(self, *_: Any, initial: float = 0, **__: Any) -> None:
            assert job.progress is not None
            self.tell = job.progress.begin(name, size)
            self.tell(advance(initial))

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def update(self, n: float | None = 1) -> None:
            self.tell(advance(n))

        def close(self, *_: Any) -> None:
            pass

        # What else the client's downloads by Xet call.
        refresh = set_description = set_postfix_str = set_transfer_postfix_str = update_transfer = close

    return Bar if job.progress is None else Counter


# without an entry


def fetch_address(address: HubAddress, job: Job | None = None) -> Path:
    """The folder in the cache with the model of a repository, as verified as can be without a registry entry.

    A branch or tag is asked for each time; where the Hub does not answer, what it stood for last time is used, and
    that is said. Only files that the format names are fetched, config.json before all others.

    Raises:
        ModelFolderError: where the repository holds no model, or files that are not what the Hub itself states.
        HubError, UnreachableError.
    """
    job = job or Job()
    known = address.commit or cache.read_reference(address.repo, address.reference)
    if known is not None and (client.offline() or address.commit):
        names = _whole(address.repo, known, even_if_unlisted=client.offline())
        if names:
            return _vouched(address, fetch(address.repo, known, dict.fromkeys(names), job), names)
    client.require_online(address, "it is not in the cache as a whole")
    try:
        commit, names = _ask(address, job, attempts=1 if known and _whole(address.repo, known) else None)
    except UnreachableError as error:
        names = _whole(address.repo, known) if known else None
        if known is None or not names:
            raise
        client.log.warning("%s; using the commit %s, which was pulled before", error, known[:12])
        return _vouched(address, fetch(address.repo, known, dict.fromkeys(names), job), names)
    folder = fetch(address.repo, commit, {CONFIG: None}, job)
    read_config(folder)  # a folder that is none of ours costs no download of its weights
    fetch(address.repo, commit, dict.fromkeys(names), job)
    cache.write_listing(address.repo, commit, names)
    if not address.commit:
        try:
            cache.write_reference(address.repo, address.reference, commit)
        except (OSError, ZooError):
            client.log.warning("the cache cannot be written, so %s will not be found offline", address)
    return _vouched(address, folder, names)


def _whole(repo: str, commit: str, *, even_if_unlisted: bool = True) -> list[str] | None:
    """The files of a commit that lie in the cache, where they are a whole model; None otherwise."""
    folder = cache.snapshot_folder(repo, commit)
    names = cache.read_listing(repo, commit)
    if names is None and even_if_unlisted:  # perhaps another tool of the Hub fetched them
        names = [name for name in MODEL_FILES if (folder / name).exists()]
    complete = names and {CONFIG, WEIGHTS} <= set(names) and all((folder / name).exists() for name in names)
    return names if complete else None


def _ask(address: HubAddress, job: Job, attempts: int | None) -> tuple[str, list[str]]:
    """The commit that the address stands for, and its files that the format names."""
    subject = Subject(address.repo, address.reference)
    info = client.attempt(
        subject,
        lambda: client.api().model_info(address.repo, revision=address.reference, timeout=client.TIMEOUT),
        attempts=attempts,
        stop=job.stop,
    )
    there = {sibling.rfilename for sibling in info.siblings or ()}
    missing = [name for name in (CONFIG, WEIGHTS) if name not in there]
    if missing or not info.sha:
        raise ModelFolderError(str(address), f"is not a model of this zoo: it has no {' and no '.join(missing)}")
    if address.commit and info.sha != address.commit:
        raise HubError(f"{address}: the Hub serves the commit {client.clean(info.sha)} instead")
    return info.sha, [name for name in MODEL_FILES if name in there]


def _vouched(address: HubAddress, folder: Path, names: list[str]) -> Path:
    """The folder; says, once, what its verification was worth."""
    if str(address) not in _told:
        _told.add(str(address))
        unverified = [name for name in names if not cache.is_verifiable(folder, name)]
        but = f", {', '.join(unverified)} not even with that" if unverified else ""
        client.log.warning(
            "%s: no registry vouches for it; its files were compared with the digests that the Hub itself states%s",
            address,
            but,
        )
    return folder
