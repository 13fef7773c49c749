"""The Hub of the tests does what the official client's documentation says a Hub does."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from httpx2 import ConnectError
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationCopy,
    CommitOperationDelete,
    HfApi,
    ModelCard,
    ModelCardData,
    hf_hub_download,
    metadata_update,
    snapshot_download,
)
from huggingface_hub.errors import (
    BadRequestError,
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import get_session

from tests.hub import ALICE, BOB, READER, Hub

pytest_plugins = ["tests.hub.fixture"]
pytestmark = [
    pytest.mark.usefixtures("without_xet"),
]

REPO = "alice/pets"
PERSON = {"NAME": "alice", "EMAIL": "alice@hub.invalid", "DATE": "@0 +0000"}
WEIGHTS = bytes(range(256)) * 5000
FILES = {
    "README.md": b"---\nlicense: mit\nlibrary_name: zoo-core\ntags:\n- gan\n---\n# Pets\n",
    "config.json": b'{"latent": 64}\n',
    "model.safetensors": WEIGHTS,
    "images/grid one.png": b"\x89PNG\r\n\x1a\n\0" + bytes(500),
    "deep/er/notes.txt": "Grüße\n".encode(),
    "empty.txt": b"",
}


@pytest.fixture
def api(hub: Hub) -> HfApi:
    """alice's, with an empty repository."""
    api = hub.api()
    api.create_repo(REPO)
    return api


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "pets", FILES)


@pytest.fixture
def pushed(api: HfApi, folder: Path) -> str:
    """The commit that holds FILES."""
    return api.upload_folder(repo_id=REPO, folder_path=folder).oid


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def read(folder: str | Path) -> dict[str, bytes]:
    """Without the files that the Hub and the client add."""
    paths = [path for path in Path(folder).rglob("*") if path.is_file() and ".cache" not in path.parts]
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
    found.pop(".gitattributes", None)
    return found


def add(path: str, content: bytes = b"x") -> CommitOperationAdd:
    return CommitOperationAdd(path, content)


# who, and which repositories


def test_whoami_names_the_bearer_and_its_organizations(hub: Hub) -> None:
    assert hub.api().whoami()["name"] == "alice"
    assert [org["name"] for org in hub.api().whoami()["orgs"]] == ["guild"]
    assert hub.api(BOB).whoami()["orgs"] == []
    assert hub.api(READER).whoami()["auth"]["accessToken"]["role"] == "read"


def test_whoami_refuses_a_bad_token(hub: Hub) -> None:
    with pytest.raises(HfHubHTTPError, match="Invalid user token") as error:
        hub.api("hf_nonsense").whoami()
    assert error.value.response.status_code == 401


def test_created_repository_has_a_first_commit(hub: Hub) -> None:
    url = hub.api().create_repo("pets")
    assert (url, url.repo_id, url.repo_type) == (f"{hub.url}/{REPO}", REPO, "model")
    assert hub.api().list_repo_files(REPO) == [".gitattributes"]


def test_creating_what_exists_is_refused_unless_allowed(api: HfApi) -> None:
    assert api.create_repo(REPO, exist_ok=True).repo_id == REPO
    with pytest.raises(HfHubHTTPError) as error:
        api.create_repo(REPO)
    assert error.value.response.status_code == 409


@pytest.mark.parametrize("name", ["bob/pets", "nobody/pets"])
def test_creating_needs_the_namespace(hub: Hub, name: str) -> None:
    with pytest.raises(HfHubHTTPError) as error:
        hub.api().create_repo(name)
    assert error.value.response.status_code == 403


def test_organizations_members_create_under_its_name(hub: Hub) -> None:
    assert hub.api().create_repo("guild/pets").repo_id == "guild/pets"
    with pytest.raises(HfHubHTTPError):
        hub.api(BOB).create_repo("guild/birds")


def test_deleted_repository_is_gone(api: HfApi) -> None:
    api.delete_repo(REPO)
    assert not api.repo_exists(REPO)
    with pytest.raises(RepositoryNotFoundError):
        api.delete_repo(REPO)
    api.delete_repo(REPO, missing_ok=True)


def test_moved_repository_answers_to_both_names(api: HfApi, hub: Hub, pushed: str, tmp_path: Path) -> None:
    api.move_repo(REPO, "guild/animals")
    assert api.model_info("guild/animals").sha == pushed
    assert api.model_info(REPO).id == "guild/animals"
    path = hf_hub_download(REPO, "model.safetensors", endpoint=hub.url, cache_dir=tmp_path)
    assert Path(path).read_bytes() == WEIGHTS


def test_moving_onto_another_or_into_a_foreign_namespace_is_refused(api: HfApi, hub: Hub) -> None:
    api.create_repo("alice/other")
    for target, status in (("alice/other", 409), ("bob/pets", 403)):
        with pytest.raises(HfHubHTTPError) as error:
            api.move_repo(REPO, target)
        assert error.value.response.status_code == status


def test_datasets_are_apart_from_models(hub: Hub, folder: Path, tmp_path: Path) -> None:
    api = hub.api()
    assert api.create_repo(REPO, repo_type="dataset") == f"{hub.url}/datasets/{REPO}"
    api.upload_folder(repo_id=REPO, folder_path=folder, repo_type="dataset")
    assert not api.repo_exists(REPO)
    local = snapshot_download(REPO, repo_type="dataset", endpoint=hub.url, cache_dir=tmp_path / "cache")
    assert read(local) == FILES


# pushing and pulling


def test_what_upload_folder_pushes_snapshot_download_pulls(api: HfApi, hub: Hub, pushed: str, tmp_path: Path) -> None:
    local = snapshot_download(REPO, endpoint=hub.url, cache_dir=tmp_path / "cache")
    assert read(local) == FILES
    assert Path(local).name == pushed


def test_upload_folder_takes_patterns_and_deletes(api: HfApi, folder: Path, pushed: str) -> None:
    api.upload_folder(
        repo_id=REPO, folder_path=folder, allow_patterns=["config.json"], delete_patterns=["deep/*", "*.txt"]
    )
    assert set(api.list_repo_files(REPO)) - {".gitattributes"} == {
        "README.md",
        "config.json",
        "images/grid one.png",
        "model.safetensors",
    }


def test_the_same_content_makes_no_new_commit(api: HfApi, hub: Hub, folder: Path, pushed: str) -> None:
    hub.forget()
    assert api.upload_folder(repo_id=REPO, folder_path=folder).oid == pushed
    assert not hub.requests("PUT")
    assert not hub.requests("POST", "*/commit/*")


def test_content_that_another_commit_holds_is_not_sent_again(api: HfApi, hub: Hub, pushed: str) -> None:
    hub.forget()
    api.upload_file(repo_id=REPO, path_or_fileobj=WEIGHTS, path_in_repo="again.safetensors")
    assert not hub.requests("PUT")
    assert len(api.list_repo_commits(REPO)) == 3


def test_large_files_go_up_in_parts(api: HfApi, hub: Hub, tmp_path: Path) -> None:
    hub.settings(multipart_above=1_000_000, part=300_000)
    content = os.urandom(1_000_001)
    api.upload_file(repo_id=REPO, path_or_fileobj=content, path_in_repo="big.bin")
    sizes = [int(request.headers["content-length"]) for request in hub.requests("PUT", "/part/*", "cdn")]
    assert sizes == [300_000] * 3 + [100_001]
    path = hf_hub_download(REPO, "big.bin", endpoint=hub.url, cache_dir=tmp_path)
    assert Path(path).read_bytes() == content


def test_no_token_reaches_the_cdn(api: HfApi, hub: Hub, pushed: str, tmp_path: Path) -> None:
    hub.settings(multipart_above=100, part=100_000)
    api.update_repo_settings(REPO, private=True)
    api.upload_file(repo_id=REPO, path_or_fileobj=os.urandom(200_000), path_in_repo="parts.bin")
    snapshot_download(REPO, endpoint=hub.url, cache_dir=tmp_path, token=ALICE)
    assert {request.method for request in hub.requests(side="cdn")} == {"PUT", "GET"}
    assert not any(request.token for request in hub.requests(side="cdn"))
    assert any(request.token for request in hub.requests("HEAD", side="hub"))


def test_one_download_fills_the_cache(api: HfApi, hub: Hub, pushed: str, tmp_path: Path) -> None:
    hub.forget()
    paths = {hf_hub_download(REPO, "model.safetensors", endpoint=hub.url, cache_dir=tmp_path) for _ in range(3)}
    assert len(paths) == 1
    assert [(request.side, request.sent) for request in hub.downloads()] == [("cdn", len(WEIGHTS))]


def test_etags_are_what_git_and_lfs_say(api: HfApi, hub: Hub, pushed: str, folder: Path) -> None:
    regular = api.get_hf_file_metadata(url=f"{hub.url}/{REPO}/resolve/main/config.json")
    large = api.get_hf_file_metadata(url=f"{hub.url}/{REPO}/resolve/main/model.safetensors")
    git = subprocess.run(["git", "hash-object", "config.json"], cwd=folder, capture_output=True, text=True, check=True)
    assert (regular.etag, regular.size, regular.commit_hash) == (git.stdout.strip(), 15, pushed)
    assert (large.etag, large.size) == (hashlib.sha256(WEIGHTS).hexdigest(), len(WEIGHTS))
    assert regular.xet_file_data is large.xet_file_data is None


def test_trees_hash_as_git_hashes_them(api: HfApi, folder: Path, pushed: str) -> None:
    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, check=True
        ).stdout.strip()

    git("init", "--quiet")
    git("add", "deep")
    expected = git("rev-parse", git("write-tree") + ":deep")
    assert [entry.tree_id for entry in api.get_paths_info(REPO, "deep")] == [expected]


def test_commits_hash_as_git_hashes_them(api: HfApi, hub: Hub, pushed: str, tmp_path: Path) -> None:
    """Built again by git from what raw gives, a commit has the hash that the Hub says."""
    people = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER") for what, value in PERSON.items()}

    def git(*arguments: str, content: bytes | None = None) -> str:
        command = ["git", "-C", str(tmp_path), *arguments]
        return (
            subprocess.run(command, input=content, capture_output=True, check=True, env=os.environ | people)
            .stdout.decode()
            .strip()
        )

    def tree(revision: str) -> str:
        git("read-tree", "--empty")
        for name in api.list_repo_files(REPO, revision=revision):
            content = get_session().get(f"{hub.url}/{REPO}/raw/{revision}/{name}").content
            blob = git("hash-object", "-w", "--stdin", "--no-filters", content=content)
            git("update-index", "--add", "--cacheinfo", f"100644,{blob},{name}")
        return git("write-tree")

    git("init", "--quiet")
    newest, first = api.list_repo_commits(REPO)
    assert git("commit-tree", tree(first.commit_id), "-m", first.title) == first.commit_id
    assert git("commit-tree", tree(pushed), "-p", first.commit_id, "-m", newest.title) == pushed


def test_the_same_history_has_the_same_hashes(hub: Hub, folder: Path) -> None:
    heads = []
    for name in ("alice/one", "alice/two"):
        hub.api().create_repo(name)
        heads.append(hub.api().upload_folder(repo_id=name, folder_path=folder).oid)
    assert heads[0] == heads[1]
    assert len(heads[0]) == 40


def test_missing_things_have_their_own_errors(api: HfApi, hub: Hub, pushed: str, tmp_path: Path) -> None:
    where = {"endpoint": hub.url, "cache_dir": tmp_path}
    with pytest.raises(RemoteEntryNotFoundError):
        hf_hub_download(REPO, "missing.txt", **where)
    with pytest.raises(RevisionNotFoundError):
        hf_hub_download(REPO, "config.json", revision="missing", **where)
    with pytest.raises(RevisionNotFoundError):
        hf_hub_download(REPO, "config.json", revision="0" * 40, **where)
    with pytest.raises(RepositoryNotFoundError):
        hf_hub_download("alice/missing", "config.json", **where)
    marker = tmp_path / "models--alice--pets" / ".no_exist" / pushed / "missing.txt"
    assert marker.exists()  # so the answer kept X-Repo-Commit


def test_file_exists_tells_files_revisions_and_repositories_apart(api: HfApi, pushed: str) -> None:
    assert api.file_exists(REPO, "config.json")
    assert api.file_exists(REPO, "images/grid one.png", revision=pushed)
    assert not api.file_exists(REPO, "missing.txt")
    assert not api.file_exists(REPO, "config.json", revision="missing")
    assert not api.file_exists("alice/missing", "config.json")
    assert api.revision_exists(REPO, "main")
    assert not api.revision_exists(REPO, "missing")


# commits


def test_one_commit_adds_copies_and_deletes(api: HfApi, hub: Hub, pushed: str, tmp_path: Path) -> None:
    operations = [
        add("new.txt", b"new"),
        CommitOperationCopy("config.json", "copied/config.json"),
        CommitOperationCopy("model.safetensors", "copied/model.safetensors"),
        CommitOperationDelete("config.json"),
        CommitOperationDelete("deep/"),
    ]
    api.create_commit(
        REPO, operations, commit_message="Rearrange", commit_description="All at once", parent_commit=pushed
    )
    kept = {name: FILES[name] for name in ("README.md", "model.safetensors", "images/grid one.png", "empty.txt")}
    expected = kept | {
        "new.txt": b"new",
        "copied/config.json": FILES["config.json"],
        "copied/model.safetensors": WEIGHTS,
    }
    assert read(snapshot_download(REPO, endpoint=hub.url, cache_dir=tmp_path)) == expected
    newest = api.list_repo_commits(REPO)[0]
    assert (newest.title, newest.message, newest.authors) == ("Rearrange", "All at once", ["alice"])


def test_commit_on_an_old_parent_is_refused(api: HfApi, pushed: str) -> None:
    head = api.create_commit(REPO, [add("a")], commit_message="Between").oid
    with pytest.raises(HfHubHTTPError) as error:
        api.create_commit(REPO, [add("b")], commit_message="Late", parent_commit=pushed)
    assert error.value.response.status_code == 412
    assert api.model_info(REPO).sha == head


def test_deleting_what_is_not_there_is_refused_as_a_whole(api: HfApi, pushed: str) -> None:
    for path in ("missing.txt", "missing/"):
        with pytest.raises(EntryNotFoundError, match="with this name doesn't exist"):
            api.create_commit(REPO, [add("new.txt"), CommitOperationDelete(path)], commit_message="x")
    assert api.model_info(REPO).sha == pushed


def test_commit_to_a_tag_is_refused(api: HfApi, pushed: str) -> None:
    api.create_tag(REPO, tag="v1")
    with pytest.raises(BadRequestError):
        api.create_commit(REPO, [add("a")], commit_message="x", revision="v1")
    with pytest.raises(RevisionNotFoundError):
        api.create_commit(REPO, [add("a")], commit_message="x", revision="missing")


def test_gitignore_leaves_files_out(api: HfApi, tmp_path: Path) -> None:
    files = {
        ".gitignore": b"*.log\nbuild/\n!keep.log\n",
        "a.log": b"a",
        "keep.log": b"k",
        "build/x.txt": b"x",
        "b.txt": b"b",
    }
    api.upload_folder(repo_id=REPO, folder_path=write(tmp_path / "f", files))
    assert set(api.list_repo_files(REPO)) == {".gitattributes", ".gitignore", "keep.log", "b.txt"}


def test_delete_file_and_delete_folder(api: HfApi, pushed: str) -> None:
    api.delete_file("config.json", REPO)
    api.delete_folder("deep", REPO)
    assert not {"config.json", "deep/er/notes.txt"} & set(api.list_repo_files(REPO))


def test_super_squash_leaves_one_commit_with_the_same_files(api: HfApi, pushed: str) -> None:
    files = api.list_repo_files(REPO)
    api.super_squash_history(REPO, commit_message="All")
    assert [commit.title for commit in api.list_repo_commits(REPO)] == ["All"]
    assert api.list_repo_files(REPO) == files


# pull requests


def test_commit_as_a_pull_request_leaves_main_alone(api: HfApi, pushed: str) -> None:
    done = api.create_commit(REPO, [add("new.txt")], commit_message="Proposal", create_pr=True)
    assert (done.pr_num, done.pr_revision) == (1, "refs/pr/1")
    assert api.model_info(REPO).sha == pushed
    assert api.model_info(REPO, revision="refs/pr/1").sha == done.oid
    assert "new.txt" in api.list_repo_files(REPO, revision="refs/pr/1")
    more = api.create_commit(REPO, [add("more.txt")], commit_message="More", revision="refs/pr/1")
    details = api.get_discussion_details(REPO, 1)
    assert details.is_pull_request
    assert [event.oid for event in details.events if event.type == "commit"] == [done.oid, more.oid]
    assert [pr.target_commit for pr in api.list_repo_refs(REPO, include_pull_requests=True).pull_requests] == [more.oid]


def test_merged_pull_request_is_on_main(api: HfApi, pushed: str) -> None:
    api.create_commit(REPO, [add("new.txt")], commit_message="Proposal", create_pr=True)
    api.merge_pull_request(REPO, 1)
    assert api.file_exists(REPO, "new.txt")
    assert api.get_discussion_details(REPO, 1).status == "merged"


def test_others_may_propose_and_not_push(api: HfApi, hub: Hub, pushed: str) -> None:
    bob = hub.api(BOB)
    with pytest.raises(HfHubHTTPError, match="create_pr=1") as error:
        bob.create_commit(REPO, [add("new.txt")], commit_message="x")
    assert error.value.response.status_code == 403
    proposal = bob.create_commit(REPO, [add("new.bin", b"\0" * 100)], commit_message="Please", create_pr=True)
    assert proposal.pr_num == 1
    assert bob.create_commit(REPO, [add("more.txt")], commit_message="x", revision="refs/pr/1").oid != proposal.oid
    assert [discussion.author for discussion in api.get_repo_discussions(REPO)] == ["bob"]


def test_an_empty_pull_request_is_filled_later(api: HfApi, pushed: str) -> None:
    opened = api.create_pull_request(REPO, "Later", description="Soon")
    assert (opened.status, opened.git_reference) == ("draft", "refs/pr/1")
    api.create_commit(REPO, [add("new.txt")], commit_message="x", revision=opened.git_reference)
    assert api.file_exists(REPO, "new.txt", revision=opened.git_reference)


# refs


def test_tags_stay_while_main_moves(api: HfApi, pushed: str) -> None:
    api.create_tag(REPO, tag="v1.0", tag_message="First")
    api.create_commit(REPO, [add("new.txt")], commit_message="x")
    assert api.model_info(REPO, revision="v1.0").sha == pushed
    assert {tag.name: tag.ref for tag in api.list_repo_refs(REPO).tags} == {"v1.0": "refs/tags/v1.0"}
    with pytest.raises(HfHubHTTPError) as error:
        api.create_tag(REPO, tag="v1.0")
    assert error.value.response.status_code == 409
    api.create_tag(REPO, tag="v1.0", exist_ok=True)
    api.delete_tag(REPO, tag="v1.0")
    with pytest.raises(RevisionNotFoundError):
        api.delete_tag(REPO, tag="v1.0")
    with pytest.raises(RevisionNotFoundError):
        api.create_tag(REPO, tag="v2", revision="missing")


def test_branches_go_their_own_way(api: HfApi, pushed: str) -> None:
    api.create_branch(REPO, branch="try/this")
    done = api.create_commit(REPO, [add("new.txt")], commit_message="x", revision="try/this")
    heads = {branch.name: branch.target_commit for branch in api.list_repo_refs(REPO).branches}
    assert heads == {"main": pushed, "try/this": done.oid}
    with pytest.raises(HfHubHTTPError) as error:
        api.create_branch(REPO, branch="try/this")
    assert error.value.response.status_code == 409
    api.create_branch(REPO, branch="try/this", exist_ok=True)
    api.create_branch(REPO, branch="old", revision=pushed)
    api.delete_branch(REPO, branch="try/this")
    assert [branch.name for branch in api.list_repo_refs(REPO).branches] == ["main", "old"]
    with pytest.raises(HfHubHTTPError) as error:
        api.delete_branch(REPO, branch="main")
    assert error.value.response.status_code == 403


def test_commits_are_listed_newest_first_over_pages(api: HfApi, hub: Hub) -> None:
    hub.settings(page=2)
    for n in range(4):
        api.create_commit(REPO, [add(f"{n}.txt")], commit_message=f"Commit {n}")
    titles = [commit.title for commit in api.list_repo_commits(REPO, formatted=True)]
    assert titles == ["Commit 3", "Commit 2", "Commit 1", "Commit 0", "initial commit"]
    assert len(hub.requests("GET", "*/commits/main")) == 3


# trees


def test_tree_is_listed_flat_deep_and_by_folder(api: HfApi, pushed: str) -> None:
    flat = {entry.path for entry in api.list_repo_tree(REPO)}
    assert flat == {".gitattributes", "README.md", "config.json", "deep", "empty.txt", "images", "model.safetensors"}
    deep = {entry.path for entry in api.list_repo_tree(REPO, recursive=True)}
    assert deep == {*FILES, ".gitattributes", "deep", "deep/er", "images"}
    assert [entry.path for entry in api.list_repo_tree(REPO, "deep/er")] == ["deep/er/notes.txt"]
    with pytest.raises(RemoteEntryNotFoundError):
        list(api.list_repo_tree(REPO, "missing"))


def test_tree_pages_hold_together(api: HfApi, hub: Hub, pushed: str) -> None:
    hub.settings(page=2)
    hub.forget()
    assert set(api.list_repo_files(REPO)) == {*FILES, ".gitattributes"}
    assert len(hub.requests("GET", "*/tree/main")) == 5


def test_tree_entries_have_sizes_and_hashes(api: HfApi, pushed: str) -> None:
    files = {entry.path: entry for entry in api.list_repo_tree(REPO, recursive=True, expand=True)}
    weights = files["model.safetensors"]
    assert (weights.size, weights.lfs.sha256) == (len(WEIGHTS), hashlib.sha256(WEIGHTS).hexdigest())
    assert weights.lfs.pointer_size == 132
    assert (weights.last_commit.oid, weights.security.safe) == (pushed, True)
    assert files["config.json"].lfs is None


def test_paths_info_leaves_out_what_is_not_there(api: HfApi, pushed: str) -> None:
    found = api.get_paths_info(REPO, ["config.json", "missing.txt", "deep/er"], expand=True)
    assert [entry.path for entry in found] == ["config.json", "deep/er"]
    assert [entry.path for entry in api.get_paths_info(REPO, "README.md", revision=pushed)] == ["README.md"]


def test_checksums_verify(api: HfApi, hub: Hub, pushed: str, tmp_path: Path) -> None:
    local = snapshot_download(REPO, endpoint=hub.url, local_dir=tmp_path / "local")
    assert not api.verify_repo_checksums(REPO, local_dir=local).mismatches
    (Path(local) / "model.safetensors").write_bytes(WEIGHTS[:-1] + b"!")
    assert [bad["path"] for bad in api.verify_repo_checksums(REPO, local_dir=local).mismatches] == ["model.safetensors"]


# what is said about models


def test_model_info_reads_the_card(api: HfApi, pushed: str) -> None:
    info = api.model_info(REPO, files_metadata=True)
    assert (info.id, info.author, info.sha, info.private, info.gated) == (REPO, "alice", pushed, False, False)
    assert (info.library_name, info.card_data.license) == ("zoo-core", "mit")
    assert {"zoo-core", "gan", "license:mit", "safetensors"} <= set(info.tags)
    sizes = {sibling.rfilename: sibling.size for sibling in info.siblings}
    assert sizes["model.safetensors"] == len(WEIGHTS)
    assert [sibling.lfs.sha256 for sibling in info.siblings if sibling.rfilename == "model.safetensors"] == [
        hashlib.sha256(WEIGHTS).hexdigest()
    ]


def test_model_info_of_a_revision(api: HfApi, pushed: str) -> None:
    first = api.list_repo_commits(REPO)[-1].commit_id
    assert [sibling.rfilename for sibling in api.model_info(REPO, revision=first).siblings] == [".gitattributes"]
    with pytest.raises(RevisionNotFoundError):
        api.model_info(REPO, revision="missing")


def test_model_info_gives_what_is_asked_for(api: HfApi, pushed: str) -> None:
    info = api.model_info(REPO, expand=["sha", "tags"])
    assert (info.sha, info.siblings, info.card_data) == (pushed, None, None)
    assert api.model_info(REPO, securityStatus=True).security_repo_status == {"scansDone": True, "filesWithIssues": []}


def test_config_of_transformers_names_the_library_where_the_card_does_not(api: HfApi) -> None:
    api.create_commit(REPO, [add("config.json", b'{"model_type": "vit"}')], commit_message="x")
    assert api.model_info(REPO).library_name == "transformers"


def test_downloads_are_counted_by_config_json(api: HfApi, hub: Hub, pushed: str, tmp_path: Path) -> None:
    before = api.model_info(REPO).downloads
    hf_hub_download(REPO, "model.safetensors", endpoint=hub.url, cache_dir=tmp_path)
    assert api.model_info(REPO).downloads == before
    hf_hub_download(REPO, "config.json", endpoint=hub.url, cache_dir=tmp_path)
    assert api.model_info(REPO).downloads > before


@pytest.fixture
def models(hub: Hub) -> HfApi:
    """Six of alice's, one of bob's, one of alice's that is private."""
    for n in range(6):
        publish(hub.api(), f"alice/gan-{n}", library="zoo-core", tags=["gan", "odd" if n % 2 else "even"])
    publish(hub.api(BOB), "bob/vae", library="other", tags=["vae"])
    publish(hub.api(), "alice/secret", library="zoo-core", tags=["gan"], private=True)
    return hub.api()


def publish(api: HfApi, name: str, *, library: str, tags: list[str], private: bool = False) -> None:
    api.create_repo(name, private=private)
    card = ModelCardData(library_name=library, tags=tags, pipeline_tag="unconditional-image-generation", license="mit")
    api.create_commit(name, [add("README.md", f"---\n{card.to_yaml()}\n---\n".encode())], commit_message="Card")


LISTS = {
    "by library": ({"filter": "zoo-core"}, {*(f"alice/gan-{n}" for n in range(6)), "alice/secret"}),
    "by two tags": ({"filter": ["gan", "odd"]}, {"alice/gan-1", "alice/gan-3", "alice/gan-5"}),
    "by author": ({"author": "bob"}, {"bob/vae"}),
    "by name": ({"search": "AN-2"}, {"alice/gan-2"}),
    "by task and author": ({"pipeline_tag": "unconditional-image-generation", "author": "bob"}, {"bob/vae"}),
    "by license": ({"filter": "license:mit", "search": "vae"}, {"bob/vae"}),
    "none": ({"filter": "missing"}, set()),
}


@pytest.mark.parametrize(("query", "expected"), LISTS.values(), ids=LISTS)
def test_lists_are_filtered(models: HfApi, query: dict[str, str], expected: set[str]) -> None:
    assert {model.id for model in models.list_models(**query)} == expected


def test_lists_come_in_pages(models: HfApi, hub: Hub) -> None:
    hub.settings(page=3)
    hub.forget()
    assert len(list(models.list_models(filter="gan"))) == 7
    assert len(hub.requests("GET", "/api/models")) == 3
    assert len(list(models.list_models(filter="gan", limit=2))) == 2


def test_lists_are_sorted_and_filled_as_asked(models: HfApi, hub: Hub) -> None:
    newest = list(models.list_models(sort="last_modified", full=True, cardData=True))
    assert newest[0].id == "alice/secret"
    assert newest[0].card_data.tags == ["gan"]
    assert ".gitattributes" in [sibling.rfilename for sibling in newest[0].siblings]
    assert next(iter(models.list_models(author="bob", expand=["sha"]))).sha == hub.api().model_info("bob/vae").sha


def test_private_models_are_listed_for_their_owner_alone(models: HfApi, hub: Hub) -> None:
    for token in (BOB, False):
        assert "alice/secret" not in {model.id for model in hub.api(token).list_models()}


# cards


def test_card_push_to_hub(api: HfApi, hub: Hub) -> None:
    data = ModelCardData(library_name="zoo-core", license="mit", tags=["gan"], datasets=["mnist"])
    ModelCard(f"---\n{data.to_yaml()}\n---\n\n# Pets\n").push_to_hub(REPO, token=ALICE)
    card = ModelCard.load(REPO, token=ALICE)
    assert (card.data.library_name, card.data.datasets) == ("zoo-core", ["mnist"])
    assert "# Pets" in card.text
    assert hub.requests("POST", "/api/validate-yaml")


def test_metadata_update_changes_the_card_alone(api: HfApi, pushed: str) -> None:
    metadata_update(REPO, {"pipeline_tag": "unconditional-image-generation"}, token=ALICE)
    card = ModelCard.load(REPO, token=ALICE)
    assert (card.data.pipeline_tag, card.data.license) == ("unconditional-image-generation", "mit")
    assert "# Pets" in card.text


BAD_CARDS = {
    "license": "license: my-own",
    "yaml": "tags: [a",
    "not a mapping": "- a",
    "model-index": "model-index:\n- results: []",
}


@pytest.mark.parametrize("text", BAD_CARDS.values(), ids=BAD_CARDS)
def test_damaged_cards_are_refused_before_anything_is_sent(api: HfApi, hub: Hub, text: str) -> None:
    with pytest.raises(ValueError, match=r"Invalid metadata in README\.md"):
        api.create_commit(REPO, [add("README.md", f"---\n{text}\n---\n".encode())], commit_message="x")
    assert not hub.requests("POST", "*/commit/*")


def test_card_without_metadata_warns(api: HfApi) -> None:
    with pytest.warns(UserWarning, match="empty or missing yaml metadata"):
        api.create_commit(REPO, [add("README.md", b"# Pets\n")], commit_message="x")


# rights


def test_private_repository_looks_missing_to_others(api: HfApi, hub: Hub, pushed: str, tmp_path: Path) -> None:
    api.update_repo_settings(REPO, private=True)
    for token, status in ((BOB, 404), (False, 401)):
        with pytest.raises(RepositoryNotFoundError) as error:
            hub.api(token).model_info(REPO)
        assert error.value.response.status_code == status
        with pytest.raises(RepositoryNotFoundError):
            hf_hub_download(REPO, "config.json", endpoint=hub.url, cache_dir=tmp_path, token=token)
    assert Path(hf_hub_download(REPO, "config.json", endpoint=hub.url, cache_dir=tmp_path, token=READER)).exists()


def test_gated_repository_shows_itself_and_keeps_its_files(api: HfApi, hub: Hub, pushed: str, tmp_path: Path) -> None:
    api.update_repo_settings(REPO, gated="manual")
    assert hub.api(BOB).model_info(REPO).gated == "manual"
    for token, status in ((BOB, 403), (False, 401)):
        with pytest.raises(GatedRepoError) as error:
            hf_hub_download(REPO, "model.safetensors", endpoint=hub.url, cache_dir=tmp_path, token=token)
        assert error.value.response.status_code == status
    with pytest.raises(GatedRepoError):
        hub.api(BOB).auth_check(REPO)
    api.grant_access(REPO, "bob")
    hub.api(BOB).auth_check(REPO)
    path = hf_hub_download(REPO, "model.safetensors", endpoint=hub.url, cache_dir=tmp_path, token=BOB)
    assert Path(path).read_bytes() == WEIGHTS


WRITES: dict[str, Callable[[HfApi], object]] = {
    "commit": lambda api: api.create_commit(REPO, [add("new.txt")], commit_message="x"),
    "large file": lambda api: api.create_commit(REPO, [add("new.bin", b"\0" * 99)], commit_message="x"),
    "tag": lambda api: api.create_tag(REPO, tag="v1"),
    "branch": lambda api: api.create_branch(REPO, branch="b"),
    "settings": lambda api: api.update_repo_settings(REPO, private=True),
    "move": lambda api: api.move_repo(REPO, "bob/pets"),
    "squash": lambda api: api.super_squash_history(REPO),
    "delete": lambda api: api.delete_repo(REPO),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
@pytest.mark.parametrize(("token", "status"), [(BOB, 403), (READER, 403), (False, 401), ("hf_nonsense", 401)])
def test_writing_needs_the_right(
    api: HfApi, hub: Hub, pushed: str, write: Callable[[HfApi], object], token: str | bool, status: int
) -> None:
    before = api.list_repo_refs(REPO), api.list_repo_commits(REPO)
    with pytest.raises(HfHubHTTPError) as error:
        write(hub.api(token))
    assert error.value.response.status_code == status
    assert (api.list_repo_refs(REPO), api.list_repo_commits(REPO)) == before
    assert not api.model_info(REPO).private


# Xet


def test_with_xet_on_the_client_asks_for_it_and_does_not_fall_back(
    api: HfApi, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Why pushes need the switch: the client decides by its own installation, and no answer changes its mind."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", False)
    path = tmp_path / "model.bin"
    path.write_bytes(WEIGHTS)
    with pytest.raises(OSError, match="404"):
        api.upload_file(repo_id=REPO, path_or_fileobj=path, path_in_repo="model.bin")
    assert not hub.requests("POST", "*/objects/batch")
    with path.open("rb") as file:  # an open file goes over LFS all the same
        api.upload_file(repo_id=REPO, path_or_fileobj=file, path_in_repo="model.bin")
    assert api.file_exists(REPO, "model.bin")


def test_with_xet_on_downloads_need_nothing(
    api: HfApi, hub: Hub, pushed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", False)
    assert read(snapshot_download(REPO, endpoint=hub.url, cache_dir=tmp_path)) == FILES


# the process


def test_repositories_outlive_the_process(api: HfApi, hub: Hub, pushed: str, tmp_path: Path) -> None:
    hub.restart()
    assert api.model_info(REPO).sha == pushed
    assert read(snapshot_download(REPO, endpoint=hub.url, cache_dir=tmp_path)) == FILES


def test_stopped_hub_is_down_and_the_cache_serves(api: HfApi, hub: Hub, pushed: str, tmp_path: Path) -> None:
    where = {"endpoint": hub.url, "cache_dir": tmp_path}
    hf_hub_download(REPO, "config.json", **where)
    hub.stop()
    assert Path(hf_hub_download(REPO, "config.json", **where)).read_bytes() == FILES["config.json"]
    with pytest.raises(ConnectError):
        api.model_info(REPO)


def test_environment_serves_a_process_of_its_own(hub: Hub, api: HfApi, pushed: str, hub_home: Path) -> None:
    script = f"import huggingface_hub as h; print(h.whoami()['name'], h.hf_hub_download({REPO!r}, 'config.json'))"
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=hub.environment(hub_home), capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"alice {hub_home}")
