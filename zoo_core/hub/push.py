"""Push: a model folder to the Hub, checked as a load would, in one commit that appears complete or not at all."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from zoo_core.errors import HubError, UnreachableError, printable
from zoo_core.files.paths import user_path
from zoo_core.hub import client
from zoo_core.hub.errors import HubResource
from zoo_core.hub.plan import Plan, make_plan
from zoo_core.hub.repository import Content, is_there, what_the_hub_has
from zoo_core.hub.retrying import attempt
from zoo_core.hub.settings import endpoint
from zoo_core.registries import HubLocation, ModelEntry, editing
from zoo_core.registries.address import DEFAULT_REVISION

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd


@dataclass(frozen=True)
class Published:
    """What a push did.

    Attributes:
        entry: the registry entry of the model, pinned to the commit.
        changed: the files that the commit adds or replaces.
        url: the repository's page.
        pull_request: the address of the pull request, where one was opened.
    """

    entry: ModelEntry
    commit: str
    changed: tuple[str, ...]
    url: str
    pull_request: str | None = None


def push(
    folder: str | Path,
    repo: str,
    *,
    private: bool | None = None,
    register: str | Path | None = None,
    pull_request: bool = False,
    tag: str | None = None,
    name: str | None = None,
) -> ModelEntry:
    """Publish a model folder as a repository on the Hub.

    The folder is checked as a load would check it, and never written to. Its files go into one commit. The model card
    is generated or updated, and what a person wrote in it stays. The token is HF_TOKEN, or what `hf auth login` saved.
    How long to wait for the answer to a commit is up to huggingface_hub's session: without a timeout of its own
    (`huggingface_hub.set_client_factory`), it waits for ever. The `zoo` command waits 100 seconds.

    Args:
        folder: the model folder.
        repo: user/repo; created where it does not exist.
        private: whether a new repository is private; by default as the user's settings on the Hub say.
        register: a registry.yaml to enter the model in.
        pull_request: open a pull request for the owners to merge, and leave the branch as it is.
        tag: a name for the commit.
        name: the model's name in the registry; by default the name of the repository.

    Returns:
        The registry entry, with the commit and the digest of every file.

    Raises:
        ModelFolderError: for a folder that would not load.
        RegistryError: where `register` is not a valid registry.
        HubError: where the Hub refuses.
        UnreachableError: where it does not answer. Either way, it has the old commit or the new one, never half of it.

    Example:
        >>> import zoo_core as zoo
        >>> entry = zoo.push("runs/digits", "alice/digits", private=True)  # doctest: +SKIP
        >>> entry.hub.revision  # doctest: +SKIP
        '5bd2cd3c7c0ee4c9b6ab1e0a6bbb0d2a7a1e0f52'
    """
    client.require_token(HubResource(repo, act="write"))
    made = make_plan(folder, repo, name=name, register=register)
    return publish(made, private=private, register=register, pull_request=pull_request, tag=tag).entry


def publish(
    made: Plan,
    *,
    private: bool | None = None,
    register: str | Path | None = None,
    pull_request: bool = False,
    tag: str | None = None,
) -> Published:
    """Carry out a plan. Arguments and errors are those of `push`."""
    if made.head is None:
        if pull_request:
            raise HubError(f"hf://{made.repo}: there is no such repository to open a pull request in")
        head = _create(made.repo, private)
    else:
        head = made.head
        _refuse_wrong_privacy(made.repo, private)
    if tag is not None:
        _refuse_taken_tag(made, tag)
    commit, opened = (head, None) if not made.changed else _commit(made, head, pull_request)
    _confirm(made, commit)
    if tag is not None:
        attempt(HubResource(made.repo, act="write"), lambda: _tag(made.repo, tag, commit))
    entry = replace(made.entry, hub=HubLocation(repo=made.repo, revision=commit))
    if register is not None:
        editing.write_entry(user_path(register), entry)
    return Published(entry, commit, made.changed, f"{endpoint()}/{made.repo}", opened)


# changing the Hub


def _create(repo: str, private: bool | None) -> str:
    """Make the repository, and return its first commit."""
    api, resource = client.api(), HubResource(repo, act="make")
    attempt(resource, lambda: api.create_repo(repo, private=private, exist_ok=True))
    info = attempt(resource, lambda: api.model_info(repo, timeout=client.TIMEOUT))
    _refuse_wrong_privacy(repo, private)
    if info.sha is None:
        raise HubError(f"{resource}: the Hub made a repository without a first commit")
    return info.sha


def _refuse_wrong_privacy(repo: str, private: bool | None) -> None:
    """Refuse to put what should be private into a public repository. The opposite is left to the owner."""
    if not private:
        return
    info = attempt(HubResource(repo), lambda: client.api().model_info(repo, timeout=client.TIMEOUT))
    if not info.private:
        page = f"{endpoint()}/{repo}/settings"
        raise HubError(f"hf://{repo} exists already and is public; make it private first, at {page}")


def _commit(made: Plan, head: str, pull_request: bool) -> tuple[str, str | None]:
    """Make one commit on `head`. Return its hash, and the address of the pull request."""
    as_streams = not _offers_xet(made.repo, pull_request)
    sent_before = False

    def send() -> tuple[str, str | None]:
        nonlocal sent_before
        commit = _made_already(made, head) if sent_before else None
        sent_before = True
        return (commit, None) if commit is not None else _send(made, head, pull_request, as_streams=as_streams)

    try:
        # Where the answer is lost, a pull request may have been opened. A second one would be worse than none.
        return attempt(HubResource(made.repo, act="write"), send, attempts=1 if pull_request else None)
    except UnreachableError as error:
        if pull_request:
            page = f"{endpoint()}/{made.repo}/discussions"
            raise UnreachableError(f"{error}; {page} shows whether the pull request was opened") from error
        commit = _made_already(made, head)
        if commit is None:
            raise
        return commit, None


def _send(made: Plan, head: str, pull_request: bool, *, as_streams: bool) -> tuple[str, str | None]:
    with contextlib.ExitStack() as opened:
        operations = [_operation(name, made.files[name], opened if as_streams else None) for name in made.changed]
        done = client.api().create_commit(
            made.repo,
            operations,
            commit_message=f"Publish {made.entry.name}",
            parent_commit=head,
            create_pr=pull_request,
            revision=DEFAULT_REVISION,
        )
    return done.oid, done.pr_url


def _operation(name: str, content: Content, opened: contextlib.ExitStack | None) -> CommitOperationAdd:
    """Return the addition of one file to a commit; as a stream, closed by `opened`, where that is given."""
    from huggingface_hub import CommitOperationAdd
    from huggingface_hub.utils import tqdm_stream_file  # type: ignore[attr-defined]

    operation = CommitOperationAdd(name, content.source)
    operation.upload_info.sha256 = bytes.fromhex(content.facts.sha256)  # or the file would be read once more
    if opened is not None:
        source = content.source
        stream = tqdm_stream_file(source) if isinstance(source, Path) else io.BytesIO(source)
        operation.path_or_fileobj = opened.enter_context(stream)  # type: ignore[assignment] # it names BinaryIO alone
    return operation


def _made_already(made: Plan, head: str) -> str | None:
    """Return the commit if the Hub made it and only the answer was lost; None if the Hub did not make it.

    Raises:
        HubError: where somebody else made another commit.
    """
    now, theirs = what_the_hub_has(made.repo)
    if now == head:
        return None
    if now is not None and all(is_there(theirs.get(name), content) for name, content in made.files.items()):
        return now
    raise HubError(f"hf://{made.repo} was changed by somebody else in the meantime; push again")


def _offers_xet(repo: str, pull_request: bool) -> bool:
    """Whether the Hub takes uploads by Xet, or Xet is switched off anyway.

    With Xet, huggingface_hub fails on a Hub without it instead of falling back to LFS. Its switch,
    HF_HUB_DISABLE_XET, is one for all threads of the process; but it never sends a stream by Xet.
    """
    from huggingface_hub import constants, get_session
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status  # type: ignore[attr-defined]

    def request() -> bool:
        address = f"{endpoint()}/api/models/{repo}/xet-write-token/{DEFAULT_REVISION}"
        query = {"create_pr": "1"} if pull_request else {}
        answer = get_session().get(address, params=query, headers=build_hf_headers(), timeout=client.TIMEOUT)
        if answer.status_code in (404, 405, 501):
            return False
        hf_raise_for_status(answer)
        return True

    return bool(constants.HF_HUB_DISABLE_XET) or attempt(HubResource(repo, act="write"), request)


def _confirm(made: Plan, commit: str) -> None:
    """Check that the commit has the files that were sent."""
    from huggingface_hub import RepoFile

    names, resource = list(made.files), HubResource(made.repo, commit)
    listed = attempt(resource, lambda: client.api().get_paths_info(made.repo, names, revision=commit))
    theirs = {item.path: item for item in listed if isinstance(item, RepoFile)}
    wrong = [name for name, content in made.files.items() if not is_there(theirs.get(name), content)]
    if wrong:
        raise HubError(f"{resource}: the Hub holds another {' and '.join(wrong)} than was sent; push again")


def _refuse_taken_tag(made: Plan, tag: str) -> None:
    refs = attempt(HubResource(made.repo), lambda: client.api().list_repo_refs(made.repo))
    taken = next((ref.target_commit for ref in refs.tags if ref.name == tag), None)
    if taken is not None and (made.changed or taken != made.head):
        raise HubError(f"hf://{made.repo} has the tag {printable(tag, 80)} at {taken[:12]} already; tags are not moved")


def _tag(repo: str, tag: str, commit: str) -> None:
    client.api().create_tag(repo, tag=tag, revision=commit, exist_ok=True)
