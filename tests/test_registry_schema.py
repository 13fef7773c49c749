"""The JSON Schemas of registries and training files, by a validator that is not ours and in the words of ECMAScript."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import pytest
from click.testing import CliRunner
from msgspec import Meta
from ruamel.yaml import YAML

from tests.test_registries import COMMIT, DIGEST, FULL
from zoo_core import ModelConfig
from zoo_core.cli import main
from zoo_core.files.paths import stays_inside
from zoo_core.interfaces import Settings
from zoo_core.plugins import manager
from zoo_core.registries.schema import ecmascript, registry_schema, training_schema

jsonschema = pytest.importorskip("jsonschema", reason="the independent validator is not installed")
ROOT = Path(__file__).parent.parent
REGISTRIES = [ROOT / "registry.yaml", *sorted(ROOT.glob("plugins/*/*/registry.yaml"))]
TRAINING = sorted(ROOT.glob("plugins/*/*/weights/*/training.yaml"))


def editors_reading(text):
    """The content as an editor sees it: by YAML 1.2, where `on` is a word and 1e-3 a number."""
    return YAML(typ="safe", pure=True).load(text)


def mistakes(schema, text):
    """Where the validator finds a mistake: the path of each, as JSON Pointer without the first slash."""
    errors = jsonschema.Draft7Validator(schema).iter_errors(editors_reading(text))
    return sorted({"/".join(map(str, innermost(error).absolute_path)) for error in errors})


def innermost(error):
    """The mistake in the choice, of several, that the content comes closest to."""
    while error.context:
        error = max(error.context, key=lambda each: len(each.absolute_path))
    return error


def printed(*arguments):
    done = CliRunner().invoke(main, ["registry", "schema", *arguments])
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


# Our own files


@pytest.mark.parametrize("schema", [registry_schema(), training_schema()], ids=["registry", "training"])
def test_the_schemas_are_schemas(schema):
    jsonschema.Draft7Validator.check_schema(schema)


@pytest.mark.parametrize("file", REGISTRIES, ids=lambda file: file.parent.name)
def test_our_registries_are_right_and_a_planted_mistake_is_found(file):
    text = file.read_text(encoding="utf-8")
    assert mistakes(registry_schema(), text) == []
    name = next(iter(editors_reading(text)["models"]))
    planted = text.replace("architecture:", "architectur:", 1)
    assert mistakes(registry_schema(), planted) == [f"models/{name}"]


def test_the_documented_registry_is_right():
    text = (ROOT / "docs" / "registry.md").read_text(encoding="utf-8")
    example = re.search(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert mistakes(registry_schema(), example[1]) == []
    assert mistakes(registry_schema(), FULL) == []


def of_training_file(file):
    """The architecture that a bundled training file is for."""
    words = re.search(r"zoo train (\S+)", file.read_text(encoding="utf-8"))
    architecture = manager().architecture(words[1])
    return training_schema(architecture.trainer_class().Settings, architecture.config_class())


@pytest.mark.plugins("zoo-vanilla-gan", "zoo-dcgan", "zoo-vae")
@pytest.mark.parametrize("file", TRAINING, ids=lambda file: file.parent.name)
def test_our_training_files_are_right_and_a_planted_mistake_is_found(file):
    text, schema = file.read_text(encoding="utf-8"), of_training_file(file)
    assert mistakes(schema, text) == mistakes(training_schema(), text) == []
    assert mistakes(schema, re.sub(r"^steps: .*", "steps: 0", text, flags=re.MULTILINE)) == ["steps"]
    assert mistakes(schema, re.sub(r"^steps:", "step:", text, flags=re.MULTILINE)) == [""]
    assert mistakes(schema, re.sub(r"^model:", "model:\n  no_such_field: 1", text, flags=re.MULTILINE)) == ["model"]


@pytest.mark.plugins("zoo-vae")
def test_the_command_prints_them():
    assert printed() == json.loads(json.dumps(registry_schema()))
    assert printed("--training") == json.loads(json.dumps(training_schema()))
    schema = printed("--training", "vae")
    assert schema["properties"]["beta"]["description"].startswith("weight of the KL term")
    assert schema["properties"]["steps"]["description"] == "training steps in the whole run."
    assert schema["$defs"]["model"]["properties"]["latent_size"]["description"]
    done = CliRunner().invoke(main, ["registry", "schema", "--training", "nothing"])
    assert done.exit_code == 1
    assert "'nothing' is not provided by any installed plugin" in done.stderr


# What is refused


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("version: 1", "version: 2", "version"),
        ("version: 1", "verson: 1", ""),
        ("dcgan-faces:\n", "DCGAN faces:\n", "models"),
        ("architecture: dcgan", "architecture: DCGAN", "models/dcgan-faces/architecture"),
        ("license:", "licence:", "models/dcgan-faces"),
        ("[faces, dcgan.faces]", "[faces, Not Ok]", "models/dcgan-faces/aliases/1"),
        ("[3, 64, 64]", "[3, 64, 0]", "models/dcgan-faces/sample_shape/2"),
        ("parameters: 3576704", "parameters: many", "models/dcgan-faces/parameters"),
        ("seed: 0, batch_size: 64", "seed: 0", "models/dcgan-faces/training"),
        ("training.yaml}", "../training.yaml}", "models/dcgan-faces/training/configuration"),
        (DIGEST, DIGEST.upper(), "models/dcgan-faces/files/model.safetensors/sha256"),
        (DIGEST, DIGEST + "0", "models/dcgan-faces/files/model.safetensors/sha256"),
        ("model.safetensors:", "../model.safetensors:", "models/dcgan-faces/files"),
        ("bundled: weights/faces", "bundled: /weights", "models/dcgan-faces/bundled"),
        (COMMIT, "main", "models/dcgan-faces/hub/revision"),
        ("repo: someone/dcgan-faces", "repo: dcgan-faces", "models/dcgan-faces/hub/repo"),
    ],
)
def test_a_mistake_in_a_registry_is_found_where_it_is(old, new, place):
    assert FULL.replace(old, new) != FULL
    assert mistakes(registry_schema(), FULL.replace(old, new)) == [place]


def test_what_the_reader_takes_for_words_is_no_mistake():
    text = (
        "version: 1\nmodels:\n  a: {architecture: x, license: 1.0, class_names: [0, 1, on], tags: [true], dataset: ~}"
    )
    assert mistakes(registry_schema(), text) == []
    assert mistakes(registry_schema(), "version: 1\nmodels:") == []
    assert mistakes(training_schema(), "# nothing\n") == []


@pytest.mark.parametrize("name", ["a", "a/b.c", "..a", "a..b", ".a", "a/.b", "../a", "a/../b", "/a", "a//b", "a/", "a\\b", "C:a", ".", "..", "", "./a", "a/."])  # fmt: skip
def test_file_names_are_those_that_stay_inside(name):
    pattern = registry_schema()["$defs"]["ModelEntry"]["properties"]["files"]["propertyNames"]["pattern"]
    assert bool(re.search(pattern, name)) == stays_inside(name)


# Patterns


def patterns(schema):
    if isinstance(schema, dict):
        own = [schema["pattern"]] if isinstance(schema.get("pattern"), str) else []
        return own + [pattern for value in schema.values() for pattern in patterns(value)]
    return [pattern for value in schema for pattern in patterns(value)] if isinstance(schema, list) else []


CASES = [
    # (Python, ECMAScript, matches, does not match)
    (r"^[0-9a-f]{4}\Z", "^[0-9a-f]{4}$", "00ff", "00ff\n"),
    (r"\A[a-z\-_\.]+\Z", r"^[a-z\-_\.]+$", "a-_.", "A"),
    (r"[]a]", r"[\]a]", "]", "b"),
    (r"^[^]a]$", r"^[^\]a]$", "b", "]"),
    (r"^a{,2}$", "^a{0,2}$", "aa", "aaa"),
    (r"^a{,}$", "^a{0,}$", "aaa", "b"),
    (r"^a{}$", r"^a\{\}$", "a{}", "a"),
    (r"\-\_\#\ ", "-_# ", "-_# ", "-_#"),
    (r"^(?P<x>a|b)(?P=x)$", r"^(?<x>a|b)\k<x>$", "bb", "ab"),
    (r"{x}", r"\{x\}", "{x}", "x"),
    (r"^[a[b]$", r"^[a\[b]$", "[", "c"),
    (r"^(?!a)(?<!b)(?:c|d)+?$", "^(?!a)(?<!b)(?:c|d)+?$", "cd", "a"),
    (r"^\U0001F600$", r"^\u{1F600}$", "\U0001f600", "x"),
]


@pytest.mark.parametrize(("python", "expected", "good", "bad"), CASES)
def test_a_pattern_says_the_same_in_ecmascript(python, expected, good, bad):
    assert ecmascript(python) == expected
    assert re.search(python, good)
    assert not re.search(python, bad)


@pytest.mark.parametrize(
    "pattern", ["(?i)a", "(?#c)a", "a++", "a*+", "(?>a)", "(a)?(?(1)b|c)", r"\p", r"\N{DASH}", "a{1,2}+"]
)
def test_a_pattern_without_an_equal_is_left_out(pattern):
    assert ecmascript(pattern) is None


class Odd(ModelConfig, frozen=True):
    """Odd fields.

    Args:
        flagged: a pattern that only Python has.
        shape: two numbers.
    """

    flagged: Annotated[str, Meta(pattern="(?i)^a$")] = "a"
    ended: Annotated[str, Meta(pattern=r"^a\Z")] = "a"
    shape: tuple[int, str] = (1, "a")
    kind: Literal["a", 2] = "a"
    place: Path | None = None


def test_a_plugins_configuration_becomes_a_schema_that_never_refuses_what_it_takes():
    schema = training_schema(Settings, Odd)
    jsonschema.Draft7Validator.check_schema(schema)
    fields = schema["$defs"]["model"]["properties"]
    assert "pattern" not in fields["flagged"]
    assert fields["ended"]["pattern"] == "^a$"
    assert fields["shape"]["description"] == "two numbers."
    assert mistakes(schema, "model: {flagged: A, shape: [1, 2], kind: 2}") == []
    assert mistakes(schema, "model: {ended: ab, shape: [1, 2, 3], kind: b}") == ["model/ended", "model/kind", "model/shape"]  # fmt: skip


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node, whose patterns are ECMAScript's")
def test_every_pattern_is_read_as_meant_by_ecmascript():
    own = patterns(registry_schema()) + patterns(training_schema(Settings, Odd))
    assert len(own) > 8
    script = (
        "const cases = JSON.parse(require('fs').readFileSync(0)); "
        "console.log(JSON.stringify(cases.map(([p, texts]) => texts.map(t => new RegExp(p, 'u').test(t)))))"
    )
    asked = [[expected, [good, bad]] for _, expected, good, bad in CASES] + [[pattern, []] for pattern in own]
    done = subprocess.run(["node", "-e", script], input=json.dumps(asked), capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [[True, False]] * len(CASES) + [[]] * len(own)


def test_msgspecs_own_schema_of_an_entry_would_not_do():
    """The reason for the translation: if msgspec wrote ECMAScript some day, it could go."""
    assert msgspec.json.schema(Annotated[str, Meta(pattern=r"a\Z")])["pattern"].endswith(r"\Z")
