"""Workflows, hooks and forms call what is there: commands that pages and .ci/run have too, and the Pythons of the metadata."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from zoo_core.cli import main
from zoo_core.scaffold import Scaffold

ROOT = Path(__file__).parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMS = [ROOT / ".github" / "ISSUE_TEMPLATE" / name for name in ("bug.yml", "feature.yml")]
CI = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
CHECKS = re.findall(r"^(?:ruff|mypy|lint-imports).*$", CI, re.MULTILINE)
NOT_ON_A_PAGE = {
    "python -c \"import torch; torch.zeros(1, device='cuda')\"": "without a device, pytest -m cuda would skip everything",
}
CLASSIFIER = re.compile(r"Programming Language :: Python :: (\d\.\d+)")


def read(file):
    """Of a YAML file; the key `on`, which YAML 1.1 takes for a truth value, is put right."""
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    return {"on" if key is True else key: value for key, value in content.items()}


def pythons():
    """Those that the core says it supports, oldest first."""
    metadata = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [found[1] for found in map(CLASSIFIER.fullmatch, metadata["classifiers"]) if found]


def steps(workflow):
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def commands(workflow):
    """The lines that its steps run, without the folder of an environment's programs and without remarks."""
    lines = [line for step in steps(workflow) for line in step.get("run", "").splitlines()]
    return [re.sub(r"\.venv/bin/|\s+#\s.*", "", line) for line in lines]


def shell_of(page):
    """The lines of a page's shell blocks; those joined by && are commands of their own too."""
    text = (ROOT / page).read_text(encoding="utf-8")
    lines = [re.sub(r"\s+#\s.*", "", line).strip() for line in text.splitlines()]
    return {command.strip() for line in lines for command in [line, *line.split("&&")]}


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_every_command_of_a_workflow_is_one_that_a_page_or_ci_has(file):
    known = set().union(*map(shell_of, ("README.md", "CONTRIBUTING.md", "RELEASING.md", ".ci/run")))
    found = commands(read(file))
    assert found
    for command in found:
        assert command in known | {".ci/run"} | NOT_ON_A_PAGE.keys(), command
        for name in re.findall(r"[\w./-]+\.(?:txt|py)\b|\.ci/\w+", command):
            assert (ROOT / name).is_file(), command


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_a_workflow_may_only_read_and_its_jobs_may_only_prove_who_they_are(file):
    workflow = read(file)
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        more = job.get("permissions", {})
        assert more.keys() <= {"id-token", "attestations"}, name
        assert not more or not any("run" in step for step in job["steps"]), f"{name} runs commands with {more}"
        assert job["timeout-minutes"] <= 120, name


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_actions_are_pinned_by_major_version(file):
    for step in steps(read(file)):
        assert ("uses" in step) != ("run" in step)
        assert re.fullmatch(r"[\w-]+/[\w-]+@(release/)?v\d+|", step.get("uses", "")), step


def test_tests_run_on_every_system_with_the_oldest_and_the_newest_python():
    matrix = read(ROOT / ".github" / "workflows" / "tests.yml")["jobs"]["tests"]["strategy"]["matrix"]
    assert matrix["python"] == [pythons()[0], pythons()[-1]]
    assert [name.partition("-")[0] for name in matrix["system"]] == ["ubuntu", "macos", "windows"]
    plugins_own = yaml.safe_load(Scaffold(name="my-gan").files()[".github/workflows/ci.yml"])
    assert plugins_own["jobs"]["test"]["strategy"]["matrix"]["python"] == matrix["python"]


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_a_workflow_names_only_supported_pythons(file):
    for step in steps(read(file)):
        if step.get("uses", "").startswith("actions/setup-python@"):
            version = step["with"]["python-version"]
            assert version in [*pythons(), "${{ matrix.python }}"], version


def test_the_lowest_dependencies_are_tested_on_the_oldest_python():
    job = read(ROOT / ".github" / "workflows" / "tests.yml")["jobs"]["lowest"]
    assert [step["with"]["python-version"] for step in job["steps"] if "with" in step] == [pythons()[0]]


def test_the_gpu_is_used_by_hand_alone():
    workflow = read(ROOT / ".github" / "workflows" / "gpu.yml")
    assert workflow["on"].keys() == {"workflow_dispatch"}
    assert all("self-hosted" in job["runs-on"] for job in workflow["jobs"].values())


def test_what_is_published_was_built_checked_attested_and_approved():
    jobs = read(ROOT / ".github" / "workflows" / "release.yml")["jobs"]
    assert {name: job.get("needs") for name, job in jobs.items()} == {
        "build": None,
        "attest": "build",
        "publish-core": "attest",
        "publish-plugins": "publish-core",
    }
    for name in ("publish-core", "publish-plugins"):
        assert jobs[name]["environment"] == "release"
        assert jobs[name]["permissions"] == {"id-token": "write"}


def test_hooks_before_a_commit_are_the_checks_of_ci():
    (repository,) = read(ROOT / ".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    assert all(hook["language"] == "system" for hook in repository["hooks"])

    def check(command):
        return tuple(word for word in command.split() if not word.startswith("-") and word != ".")

    assert {check(hook["entry"]) for hook in repository["hooks"]} <= set(map(check, CHECKS))


def test_a_pull_request_asks_for_the_checks_of_ci():
    text = (ROOT / ".github" / "PULL_REQUEST_TEMPLATE.md").read_text(encoding="utf-8")
    assert " && ".join(CHECKS) in text


@pytest.mark.parametrize("file", FORMS, ids=lambda file: file.name)
def test_a_form_is_one_that_can_be_filled_in(file):
    form = read(file)
    assert {"name", "description", "body"} <= form.keys()
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert len({field["id"] for field in fields}) == len(fields)
    for field in fields:
        assert field["type"] in {"textarea", "input", "dropdown", "checkboxes"}
        assert field["attributes"]["label"]
    assert any(field["validations"]["required"] for field in fields if "validations" in field)


def test_a_bug_comes_with_what_doctor_finds():
    (field,) = (field for field in read(FORMS[0])["body"] if field.get("id") == "doctor")
    assert "`zoo doctor --json`" in field["attributes"]["label"]
    assert field["validations"]["required"]
    assert "--json" in {name for option in main.get_command(None, "doctor").params for name in option.opts}
