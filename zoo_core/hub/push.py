"""From a model folder to the Hub: checked as a load would, in one commit that is there whole or not at all."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from zoo_core.errors import HubError, UnreachableError, printable
from zoo_core.hub import client
from zoo_core.hub.client import Subject
from zoo_core.hub.plan import Plan, make_plan
from zoo_core.hub.repository import is_there, what_the_hub_has
from zoo_core.registries import HubLocation, ModelEntry, editing
from zoo_core.registries.address import DEFAULT_REVISION


@dataclass(frozen=True)
class Published:
    """What a push did. `pull_request` is its address, where one was opened."""

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

    The folder is checked as a load would, and never written to. Its files go into one commit; the model card is made
    or updated on the way, and what a person wrote in it stays. The token is the one of HF_TOKEN or `hf auth login`.

    Args:
        repo: user/repo; made where it is not there.
        private: whether a new repository is private; by default as the user's settings say.
        register: a registry.yaml to enter the model in.
        pull_request: open one, for the owners to merge, and leave the branch as it is.
        tag: a name for the commit.
        name: of the model in the registry; by default that of the repository.

    Returns:
        The entry, with the commit and every file's digest.

    Raises:
        ModelFolderError: for a folder that would not load. RegistryError: for a register that is wrong.
        HubError, UnreachableError: where the Hub refuses or does not answer; it then has the old commit or the new.
    """
    client.require_token(Subject(repo, act="write"))
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
    """Carry a plan out. Raises as `push`."""
    subject = Subject(made.repo, act="write")
    with _bars_on_a_terminal():
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
            client.attempt(subject, lambda: _tag(made.repo, tag, commit))
    entry = replace(made.entry, hub=HubLocation(repo=made.repo, revision=commit))
    if register is not None:
        editing.write_entry(Path(register), entry)
    return Published(entry, commit, made.changed, f"{client.endpoint()}/{made.repo}", opened)


# changing the Hub


def _create(repo: str, private: bool | None) -> str:
    """Make the repository, and give its first commit."""
    api, subject = client.api(), Subject(repo, act="make")
    client.attempt(subject, lambda: api.create_repo(repo, private=private, exist_ok=True))
    info = client.attempt(subject, lambda: api.model_info(repo, timeout=client.TIMEOUT))
    _refuse_wrong_privacy(repo, private)
    if info.sha is None:
        raise HubError(f"{subject}: the Hub made a repository without a first commit")
    return info.sha


def _refuse_wrong_privacy(repo: str, private: bool | None) -> None:
    """What shall be private does not go into a public repository. The other way round is the owner's business."""
    if not private:
        return
    info = client.attempt(Subject(repo), lambda: client.api().model_info(repo, timeout=client.TIMEOUT))
    if not info.private:
        page = f"{client.endpoint()}/{repo}/settings"
        raise HubError(f"hf://{repo} is there already and is public; make it private first, at {page}")


def _commit(made: Plan, head: str, pull_request: bool) -> tuple[str, str | None]:
    """One commit on `head`; gives its hash, and the pull request's address."""
    asked = False

    def send() -> tuple[str, str | None]:
        nonlocal asked
        commit = _made_already(made, head) if asked else None
        asked = True
        return (commit, None) if commit is not None else _send(made, head, pull_request)

    with _without_xet_where_the_hub_has_none(made.repo, pull_request):
        try:
            # An answer that is lost leaves open whether a pull request was opened: a second one would be worse.
            return client.attempt(Subject(made.repo, act="write"), send, attempts=1 if pull_request else None)
        except UnreachableError as error:
            if pull_request:
                page = f"{client.endpoint()}/{made.repo}/discussions"
                raise UnreachableError(f"{error}; whether the pull request was opened shows {page}") from error
            commit = _made_already(made, head)
            if commit is None:
                raise
            return commit, None


def _send(made: Plan, head: str, pull_request: bool) -> tuple[str, str | None]:
    from huggingface_hub import CommitOperationAdd

    operations = []
    for name in made.changed:
        content = made.files[name]
        operation = CommitOperationAdd(name, content.source)
        operation.upload_info.sha256 = bytes.fromhex(content.facts.sha256)  # or it would be read once more
        operations.append(operation)
    done = client.api().create_commit(
        made.repo,
        operations,
        commit_message=f"Publish {made.entry.name}",
        parent_commit=head,
        create_pr=pull_request,
        revision=DEFAULT_REVISION,
    )
    return done.oid, done.pr_url


def _made_already(made: Plan, head: str) -> str | None:
    """The commit, where the Hub made it and only the answer was lost; None where it did not make it.

    Raises:
        HubError: where somebody else made another one.
    """
    now, theirs = what_the_hub_has(made.repo)
    if now == head:
        return None
    if now is not None and all(is_there(theirs.get(name), content) for name, content in made.files.items()):
        return now
    raise HubError(f"hf://{made.repo} was changed by somebody else meanwhile; push again")


@contextlib.contextmanager
def _without_xet_where_the_hub_has_none(repo: str, pull_request: bool) -> Iterator[None]:
    """Upload through LFS to a Hub that has no Xet: huggingface_hub does not fall back by itself, and fails."""
    from huggingface_hub import constants, get_session
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status  # type: ignore[attr-defined]

    def ask() -> bool:
        address = f"{client.endpoint()}/api/models/{repo}/xet-write-token/{DEFAULT_REVISION}"
        query = {"create_pr": "1"} if pull_request else {}
        answer = get_session().get(address, params=query, headers=build_hf_headers(), timeout=client.TIMEOUT)
        if answer.status_code in (404, 405, 501):
            return False
        hf_raise_for_status(answer)
        return True

    before = constants.HF_HUB_DISABLE_XET
    if not before and not client.attempt(Subject(repo, act="write"), ask):
        constants.HF_HUB_DISABLE_XET = True
    try:
        yield
    finally:
        constants.HF_HUB_DISABLE_XET = before


def _confirm(made: Plan, commit: str) -> None:
    """See that the commit holds what was sent."""
    from huggingface_hub import RepoFile

    names, subject = list(made.files), Subject(made.repo, commit)
    found = client.attempt(subject, lambda: client.api().get_paths_info(made.repo, names, revision=commit))
    theirs = {item.path: item for item in found if isinstance(item, RepoFile)}
    wrong = [name for name, content in made.files.items() if not is_there(theirs.get(name), content)]
    if wrong:
        raise HubError(f"{subject}: the Hub holds another {' and '.join(wrong)} than was sent; push again")


def _refuse_taken_tag(made: Plan, tag: str) -> None:
    refs = client.attempt(Subject(made.repo), lambda: client.api().list_repo_refs(made.repo))
    taken = next((ref.target_commit for ref in refs.tags if ref.name == tag), None)
    if taken is not None and (made.changed or taken != made.head):
        raise HubError(f"hf://{made.repo} has the tag {printable(tag, 80)} at {taken[:12]} already; tags are not moved")


def _tag(repo: str, tag: str, commit: str) -> None:
    client.api().create_tag(repo, tag=tag, revision=commit, exist_ok=True)


@contextlib.contextmanager
def _bars_on_a_terminal() -> Iterator[None]:
    """Keep huggingface_hub's bars for uploads out of pipes, where it draws some of them."""
    from huggingface_hub.utils import (  # type: ignore[attr-defined]
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    if sys.stderr.isatty() or are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()
