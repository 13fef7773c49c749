"""Push: a model folder to the Hub, checked as a load would, in one commit that appears complete or not at all."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from zoo_core.errors import HubError, UnreachableError, ZooError, printable
from zoo_core.files.paths import user_path
from zoo_core.hub import client, rest, upload
from zoo_core.hub.errors import HubResource, UnexpectedAnswerError
from zoo_core.hub.listing import list_files
from zoo_core.hub.plan import Plan, make_plan
from zoo_core.hub.redaction import shown_endpoint
from zoo_core.hub.repository import describe, is_there, what_the_hub_has
from zoo_core.hub.retrying import attempt
from zoo_core.modelfolder import CARD
from zoo_core.registries import HubLocation, ModelEntry, editing

_log = logging.getLogger("zoo_core.hub")


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
        UnreachableError: where it does not answer. Either way, it has the old commit or the new one, never half of it;
            and where it has the new one, the message says so, and the model is registered.

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
    target = upload.Target(made.repo, _head(made, private, pull_request), pull_request)
    if tag is not None:
        _refuse_taken_tag(made, tag)
    commit, opened = (target.head, None) if not made.changed else _commit(made, target)
    _confirm(made, commit)
    entry = replace(made.entry, hub=HubLocation(repo=made.repo, revision=commit))
    if register is not None:
        _register(user_path(register), entry)
    if tag is not None:
        _tag(made.repo, tag, commit)
    return Published(entry, commit, made.changed, f"{shown_endpoint()}/{made.repo}", opened)


# changing the Hub


def _head(made: Plan, private: bool | None, pull_request: bool) -> str:
    """Return the commit to follow, in a repository that is made where there is none."""
    if made.head is None:
        if pull_request:
            raise HubError(f"hf://{made.repo}: there is no such repository to open a pull request in")
        return _create(made.repo, private)
    if private:
        _refuse_public(made.repo, describe(made.repo).private)
    return made.head


def _create(repo: str, private: bool | None) -> str:
    """Make the repository, and return its first commit, or "" where the Hub makes none."""
    resource = HubResource(repo, act="make")
    try:
        attempt(resource, lambda: client.api().create_repo(repo, private=private, exist_ok=True))
    except UnexpectedAnswerError as error:  # without the address of the new repository, which nobody needs
        _log.debug("%s", error)
    described = describe(repo)
    if private:
        _refuse_public(repo, described.private)
    return described.head


def _refuse_public(repo: str, private: bool) -> None:
    """Refuse to put what should be private into a public repository. The opposite is left to the owner."""
    if not private:
        page = f"{shown_endpoint()}/{repo}/settings"
        raise HubError(f"hf://{repo} exists already and is public; make it private first, at {page}")


def _commit(made: Plan, target: upload.Target) -> tuple[str, str | None]:
    """Send the files and make one commit. Return its hash, and the address of the pull request."""
    files = {name: made.files[name] for name in made.changed}
    if CARD in files:
        upload.check_card(made.repo, files[CARD].read().decode())
    stored = upload.store(target, files)
    sent_before = False

    def send() -> upload.Commit:
        nonlocal sent_before
        commit = _made_already(made, target) if sent_before else None
        sent_before = True
        return upload.Commit(commit) if commit else upload.commit(target, files, stored, f"Publish {made.entry.name}")

    try:
        # Where the answer is lost, a pull request may have been opened. A second one would be worse than none.
        done = attempt(target.resource, send, attempts=1 if target.pull_request else None)
    except (UnreachableError, UnexpectedAnswerError) as error:
        if target.pull_request:
            page = f"{shown_endpoint()}/{made.repo}/discussions"
            raise UnreachableError(f"{error}; {page} shows whether the pull request was opened") from error
        return _require_made(made, target, error), None
    if done.oid is not None:
        return done.oid, done.pull_request
    if target.pull_request:
        page = f"{shown_endpoint()}/{made.repo}/discussions"
        raise HubError(f"{target.resource}: the Hub does not say what it made; see {page}")
    return _require_made(made, target, HubError(f"{target.resource}: the Hub does not say which commit it made")), None


def _require_made(made: Plan, target: upload.Target, error: HubError) -> str:
    """Return the commit that the Hub made though its answer did not say so. Raises `error` where it made none."""
    commit = _made_already(made, target)
    if commit is None:
        raise error
    return commit


def _made_already(made: Plan, target: upload.Target) -> str | None:
    """Return the commit if the Hub made it and only the answer was lost; None if the Hub did not make it.

    Raises:
        HubError: where somebody else made another commit.
    """
    now, theirs = what_the_hub_has(made.repo)
    if now == target.head:
        return None
    if now and all(is_there(theirs.get(name), content) for name, content in made.files.items()):
        return now
    raise HubError(f"hf://{made.repo} was changed by somebody else in the meantime; push again")


# after the commit: nothing here may leave a commit that is made without its entry


def _confirm(made: Plan, commit: str) -> None:
    """Check that the commit has the files that were sent.

    Raises:
        HubError: where it has others.
    """
    resource = HubResource(made.repo, commit)
    try:
        theirs = list_files(made.repo, commit, list(made.files))
    except HubError as error:
        _log.warning("%s: made, but its digests could not be compared with those sent: %s", resource, error)
        return
    wrong = [name for name, content in made.files.items() if not is_there(theirs.get(name), content)]
    if wrong:
        raise HubError(f"{resource}: the Hub holds another {' and '.join(wrong)} than was sent; push again")


def _register(registry: Path, entry: ModelEntry) -> None:
    try:
        editing.write_entry(registry, entry)
    except ZooError as error:
        assert entry.hub is not None
        made = f"hf://{entry.hub.repo} was published as the commit {entry.hub.revision}"
        raise ZooError(f"{error}; {made}, and the same push will register it") from error


def _refuse_taken_tag(made: Plan, tag: str) -> None:
    resource = HubResource(made.repo)
    refs = rest.call(resource, "GET", rest.api_path(made.repo, "refs")).mapping()
    tags = {item.get("name"): item.get("targetCommit") for item in refs.get("tags") or () if isinstance(item, dict)}
    taken = tags.get(tag)
    if taken is not None and (made.changed or taken != made.head):
        raise HubError(
            f"hf://{made.repo} has the tag {printable(tag, 80)} at {printable(taken, 12)} already; tags are not moved"
        )


def _tag(repo: str, tag: str, commit: str) -> None:
    resource = HubResource(repo, act="write")
    try:
        attempt(resource, lambda: client.api().create_tag(repo, tag=tag, revision=commit, exist_ok=True))
    except HubError as error:
        raise HubError(f"{error}; the commit {commit} was made, and lacks only the tag", status=error.status) from error
