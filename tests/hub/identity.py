"""Who there is, what their tokens are, and who may read and write what."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from .errors import HubError, forbidden, repository_not_found
from .storage import Repository


@dataclass(frozen=True)
class User:
    """The bearer of a token."""

    name: str
    role: str = "write"  # "read": the token may not write


TOKENS = {"hf_test": User("alice"), "hf_other": User("bob"), "hf_reader": User("alice", role="read")}
ORGANIZATIONS = {"guild": {"alice"}}  # and their members


def user_of(request: Request) -> User | None:
    """The bearer, None without a token; a token that is not known is refused whatever is asked for."""
    header = request.headers.get("authorization")
    if header is None:
        return None
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or token not in TOKENS:
        raise HubError(401, "Invalid credentials in Authorization header")
    return TOKENS[token]


def signed_in(request: Request) -> User:
    user = user_of(request)
    if user is None:
        raise HubError(401, "Invalid username or password.")
    return user


def owns(user: User | None, namespace: str) -> bool:
    """Whether `namespace` is the user's own, or an organization's that the user belongs to."""
    return user is not None and (user.name == namespace or user.name in ORGANIZATIONS.get(namespace, ()))


def require_namespace(user: User, namespace: str) -> None:
    if user.role != "write" or not owns(user, namespace):
        raise forbidden(f"You don't have the rights to create a repository under the namespace {namespace}")


def require_read(user: User | None, repository: Repository) -> None:
    """A private repository looks missing to everybody else."""
    if repository.private and not owns(user, repository.namespace):
        raise repository_not_found(user is not None)


def require_write(user: User | None, repository: Repository) -> None:
    require_read(user, repository)
    if user is None:
        raise HubError(401, "Invalid username or password.")
    if user.role != "write":
        raise forbidden("Your token does not have the write role")
    if not owns(user, repository.namespace):
        raise forbidden("Forbidden: pass `create_pr=1` as a query parameter to create a Pull Request")


def require_files(user: User | None, repository: Repository) -> None:
    """Who may read the files: of a gated repository, its owner and whoever was granted access."""
    require_read(user, repository)
    if not repository.gated or owns(user, repository.namespace) or (user and user.name in repository.granted):
        return
    if user is None:
        message = f"Access to model {repository.id} is restricted. You must have access to it and be authenticated to access it. Please log in."
        raise HubError(401, message, "GatedRepo")
    message = f"Access to model {repository.id} is restricted and you are not in the authorized list. Visit the repository's page to ask for access."
    raise HubError(403, message, "GatedRepo")
