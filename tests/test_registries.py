"""registry.yaml: what is read, what is refused and where, and how several registries become one."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import zoo_core
from tests.builtin import every_bundled_model
from zoo_core.errors import RegistryError, UnknownModelError, visible
from zoo_core.files.paths import stays_inside
from zoo_core.files.strict_json import MAX_VALUE
from zoo_core.registries import FileFacts, HubLocation, Metric, ModelEntry, Registry, TrainingFacts, sources
from zoo_core.registries.editing import write_entry
from zoo_core.registries.entries import FIELDS
from zoo_core.registries.index import configuration_folder, core_index, user_files
from zoo_core.registries.merging import assemble
from zoo_core.registries.reading import read_entries

ROOT = Path(__file__).parent.parent
DIGEST = "0123456789abcdef" * 4
COMMIT = "a1" * 20
FULL = f"""\
version: 1
models:
  dcgan-faces:
    architecture: dcgan
    plugin: zoo-dcgan
    summary: Faces
    license: cc-by-4.0
    dataset: faces
    tags: [gan, colour]
    aliases: [faces, dcgan.faces]
    sample_shape: [3, 64, 64]
    parameters: 3576704
    training: {{steps: 1000, seed: 0, batch_size: 64, configuration: training.yaml}}
    metrics:
      fid: {{value: 12.5, error: 0.3, dataset: faces, split: train, samples: 10000, seed: 1, extractor: inception-v3}}
    files:
      model.safetensors: {{sha256: {DIGEST}, size: 1234}}
    bundled: weights/faces
    hub: {{repo: someone/dcgan-faces, revision: {COMMIT}}}
  vae-mnist:
    architecture: vae
    tags: [vae]
    dataset: mnist
"""


def write(path, text):
    path.write_text(textwrap.dedent(text))
    return path


def registry_file(folder, name, **models):
    folder.mkdir(exist_ok=True)
    return write(folder / f"{name}.yaml", yaml.safe_dump({"version": 1, "models": models}))


@pytest.fixture
def full(tmp_path):
    return Registry.from_file(write(tmp_path / "registry.yaml", FULL))


# One registry


def test_every_field_is_read_as_its_type(full, tmp_path):
    assert full["dcgan-faces"] == ModelEntry(
        name="dcgan-faces",
        architecture="dcgan",
        plugin="zoo-dcgan",
        summary="Faces",
        license="cc-by-4.0",
        dataset="faces",
        tags=("gan", "colour"),
        aliases=("faces", "dcgan.faces"),
        sample_shape=(3, 64, 64),
        parameters=3_576_704,
        training=TrainingFacts(steps=1000, seed=0, batch_size=64, configuration="training.yaml"),
        metrics={
            "fid": Metric(
                value=12.5, error=0.3, dataset="faces", split="train", samples=10_000, seed=1, extractor="inception-v3"
            )
        },
        files={"model.safetensors": FileFacts(sha256=DIGEST, size=1234)},
        bundled="weights/faces",
        hub=HubLocation(repo="someone/dcgan-faces", revision=COMMIT),
        source=tmp_path / "registry.yaml",
    )


def test_what_is_not_given_is_none_or_empty(full):
    entry = full["vae-mnist"]
    assert (entry.plugin, entry.license, entry.parameters, entry.training, entry.hub) == (None,) * 5
    assert (entry.summary, entry.aliases, entry.sample_shape, entry.files, entry.metrics) == ("", (), (), {}, {})


def test_the_bundled_folder_is_absolute_and_beside_the_registry(full, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert full["dcgan-faces"].folder == tmp_path.resolve() / "weights" / "faces"
    assert Registry.from_file("registry.yaml")["dcgan-faces"].folder == tmp_path.resolve() / "weights" / "faces"
    assert full["vae-mnist"].folder is None


def test_the_bundled_folder_is_told_without_detours(full, tmp_path):
    (tmp_path / "sub").mkdir()
    registry = Registry.from_file(tmp_path / "sub" / ".." / "registry.yaml")
    assert registry["dcgan-faces"].folder == full["dcgan-faces"].folder


def test_to_dict_holds_every_fact_in_jsons_types(full):
    facts = json.loads(json.dumps(full["dcgan-faces"].to_dict()))
    assert facts["sample_shape"] == [3, 64, 64]
    assert facts["files"] == {"model.safetensors": {"sha256": DIGEST, "size": 1234}}
    assert facts["folder"] == str(full["dcgan-faces"].folder)
    assert set(facts) == {*ModelEntry.__struct_fields__, "folder"} - {"source"}
    assert set(full["vae-mnist"].to_dict()) == set(facts)


def test_every_field_has_a_rule_that_merging_editing_pushing_and_showing_follow():
    assert set(FIELDS) == set(ModelEntry.__struct_fields__)


def test_entries_cannot_be_changed(full):
    with pytest.raises(AttributeError):
        full["vae-mnist"].summary = "other"


def test_a_registry_is_a_mapping_of_names_that_also_takes_aliases(full):
    assert list(full) == ["dcgan-faces", "vae-mnist"]
    assert len(full) == 2
    assert full["faces"] is full["dcgan-faces"] is full.get("dcgan.faces")
    assert "faces" in full
    assert "face" not in full
    assert full.get("face") is None
    assert full.problems == ()


def test_iteration_is_in_the_order_of_names(tmp_path):
    text = "version: 1\nmodels: {b: {architecture: x}, c: {architecture: x}, a: {architecture: x}}"
    registry = Registry.from_file(write(tmp_path / "registry.yaml", text))
    assert list(registry) == [entry.name for entry in registry.find()] == ["a", "b", "c"]


@pytest.mark.parametrize("text", ["version: 1", "version: 1\nmodels:", "version: 1\nmodels: {}"])
def test_a_registry_without_models_is_empty(text, tmp_path):
    assert list(Registry.from_file(write(tmp_path / "registry.yaml", text))) == []


def test_find_takes_globs_and_fields(full):
    def names(*arguments, **fields):
        return [entry.name for entry in full.find(*arguments, **fields)]

    assert names() == ["dcgan-faces", "vae-mnist"]
    assert names("*mnist*") == names("vae-?????") == names("[v]*") == ["vae-mnist"]
    assert names("fac*") == ["dcgan-faces"]  # by its alias
    assert names("VAE*") == []  # globs tell capitals from small letters on every system
    assert names("*", architecture="DCGAN") == names("*", tag="colour") == names(license="cc-by-4.0") == ["dcgan-faces"]
    assert names("*", dataset="mnist") == names(architecture="vae") == ["vae-mnist"]
    assert names(plugin="zoo_dcgan") == ["dcgan-faces"]
    assert names("*mnist*", architecture="dcgan") == []


def test_architectures_compare_with_hyphen_and_underscore_equal(tmp_path):
    registry = Registry.from_file(registry_file(tmp_path, "registry", a={"architecture": "vanilla_gan"}))
    assert [entry.name for entry in registry.find(architecture="vanilla-gan")] == ["a"]


def test_an_unknown_name_suggests_close_ones_and_is_a_key_error(full):
    with pytest.raises(UnknownModelError, match="no model named 'vae-mnst'; did you mean vae-mnist") as caught:
        full["vae-mnst"]
    assert isinstance(caught.value, KeyError)
    assert caught.value.suggestions == ("vae-mnist",)


def test_aliases_are_suggested_too(full):
    with pytest.raises(UnknownModelError) as caught:
        full["facs"]
    assert "faces" in caught.value.suggestions


def test_a_name_like_no_other_gets_no_suggestion(full):
    with pytest.raises(UnknownModelError, match="zoo list shows them all") as caught:
        full["zzzzzzzz"]
    assert caught.value.suggestions == ()


def test_words_stay_words(tmp_path):
    text = "version: 1\nmodels:\n  on: {architecture: no, summary: 2024-01-01, license: 0755, dataset: ~, plugin: '~'}"
    entry = Registry.from_file(write(tmp_path / "registry.yaml", text))["on"]
    assert (entry.architecture, entry.summary, entry.license, entry.dataset) == ("no", "2024-01-01", "0755", None)
    assert entry.plugin == "~"


# What is refused: of the whole file, and of one model `a` whose fields begin in line 5

FILE_REFUSED = [
    # (text, line, field, problem)
    ("models: {}", 1, "version", "must be 1"),
    ("version: 2\nmodels: {}", 1, "version", "must be 1"),
    ("version: 01\nmodels: {}", 1, "version", "must be 1"),
    ("version: 1\nmodel: {}", 2, "model", "unknown field"),
    ("version: 1\nmodels: [a]", 2, "models", "must be a mapping"),
    ("version: 1\nmodels: some", 2, "models", "must be a mapping"),
    ("- a", 1, None, "a registry is a mapping"),
    ("", 1, None, "a registry is a mapping"),
    ("version: 1\nmodels:\n  a: 3", 3, "models.a", "must be a mapping of fields"),
    ("version: 1\nmodels:\n  a:", 3, "models.a", "must be a mapping of fields"),
    ("version: 1\nmodels:\n  A: {architecture: x}", 3, "models.A", "name is not of the form"),
    ("version: 1\nmodels:\n  ../a: {architecture: x}", 3, "models.../a", "name is not of the form"),
    ("version: 1\nmodels:\n  'a\\': {architecture: x}", 3, "models.a\\", "name is not of the form"),
    ('version: 1\nmodels:\n  "a\\n": {architecture: x}', 3, "models.a\n", "name is not of the form"),
    ("version: 1\nmodels:\n  a: {summary: x}", 3, "models.a.architecture", "missing required field `architecture`"),
    ("version: 1\nmodels:\n  a: {}\n  a: {}", 4, "models.a", "'a' is repeated"),
    ("version: 1\nmodels:\n  a: {architecture: x}\nversion: 1", 4, "version", "'version' is repeated"),
    ("version: 1\nmodels:\n  a: &anchor {architecture: x}\n  b: *anchor", 3, "models.a", "anchors are not allowed"),
    ("version: 1\nmodels:\n  a: *nowhere", 3, "models.a", "aliases are not allowed"),
    ("version: 1\nmodels: !!python/object/apply:os.system [echo]", 2, "models", "tags are not allowed"),
    ("version: 1\nmodels: {}\n---\nversion: 1", 3, None, "more than one document"),
    ("version: 1\nmodels:\n  ? [a]\n  : {architecture: x}", 3, "models", "a key must be a plain word"),
    ("version: 1\nmodels:\n\t- x", 3, None, ""),
    ("version: 1\nmodels: {a: {architecture: x}", 2, None, ""),
]

FIELDS_REFUSED = [
    # (the lines after `architecture`, line, field under models.a, problem)
    (["archtecture: y"], 5, "archtecture", "unknown field"),
    (["source: /etc"], 5, "source", "unknown field"),
    (["name: b"], 5, "name", "unknown field"),
    (["license: [mit]"], 5, "license", "got `array`"),
    (["parameters: -1"], 5, "parameters", "`int` >= 0"),
    (["parameters: many"], 5, "parameters", "got 'many'"),
    (["parameters: 0755"], 5, "parameters", "got '0755'"),
    (["parameters: 1.5"], 5, "parameters", "got '1.5'"),
    (["parameters: 9223372036854775808"], 5, "parameters", "<= 9223372036854775807"),
    (["tags: gan"], 5, "tags", "Expected `array`, got 'gan'"),
    (["tags: [gan,", "  {a: b}]"], 6, "tags.1", "Expected `str`, got `object`"),
    (["sample_shape:", "  - 1", "  - 0"], 7, "sample_shape.1", "`int` >= 1"),
    (["aliases: [ok, Not Ok]"], 5, "aliases.1", "regex"),
    (["aliases: [a]"], 5, "aliases.0", "a is already the name of a model"),
    (["aliases: [b,", "  b]"], 6, "aliases.1", "b is already the name of a model"),
    (["training: {steps: 1, seed: 0}"], 5, "training.batch_size", "missing required field"),
    (["training: {steps: 1, seed: 0, batch_size: 0}"], 5, "training.batch_size", "`int` >= 1"),
    (["training:", "  steps: 1", "  seed: 0", "  batch_size: 1", "  speed: 9"], 9, "training.speed", "unknown field"),
    (
        ["training:", "  steps: 1", "  seed: 0", "  batch_size: 1", "  configuration: ../x.yaml"],
        9,
        "training.configuration",
        "leaves the model's folder",
    ),
    (["metrics:", "  fid: {value: 1}", "  kid:", "    value: low"], 8, "metrics.kid.value", "got 'low'"),
    (["metrics:", "  fid: {value: nan}"], 6, "metrics.fid.value", "Expected `float`"),
    (["metrics:", "  fid: {value: inf}"], 6, "metrics.fid.value", "Expected `float`"),
    (["metrics:", "  fid: {value: 1e999}"], 6, "metrics.fid.value", "out of range"),
    (["metrics:", "  fid: {error: 1}"], 6, "metrics.fid.value", "missing required field"),
    (["metrics:", "  fid: {value: 1, samples: -1}"], 6, "metrics.fid.samples", ">= 0"),
    (["metrics: [fid]"], 5, "metrics", "got `array`"),
    (["files:", "  m: {sha256: abc, size: 1}"], 6, "files.m.sha256", "regex"),
    (["files:", f"  m: {{sha256: {DIGEST.upper()}, size: 1}}"], 6, "files.m.sha256", "regex"),
    (["files:", f'  m: {{sha256: "{DIGEST}\\n", size: 1}}'], 6, "files.m.sha256", "regex"),
    (["files:", f"  m: {{sha256: {DIGEST}}}"], 6, "files.m.size", "missing required field `size`"),
    (
        ["files:", "  model.safetensors:", "    size: 1", "    sha256: abc"],
        8,
        "files.model.safetensors.sha256",
        "regex",
    ),
    (["files:", f"  ../m: {{sha256: {DIGEST}, size: 1}}"], 6, "files.../m", "leaves the model's folder"),
    (["bundled: ../elsewhere"], 5, "bundled", "leaves the registry's own"),
    (["bundled: /etc"], 5, "bundled", "leaves the registry's own"),
    (["hub: {repo: a/b, revision: main}"], 5, "hub.revision", "regex"),
    (["hub: {repo: a/b, revision: a1a1a1a}"], 5, "hub.revision", "regex"),
    (["hub:", "  repo: nobody", f"  revision: {COMMIT}"], 6, "hub.repo", "regex"),
    (["hub:", "  repo: ../b", f"  revision: {COMMIT}"], 6, "hub.repo", "regex"),
    (["hub:", "  repo: a/b/c", f"  revision: {COMMIT}"], 6, "hub.repo", "regex"),
    (["hub:", "  repo: ä/b", f"  revision: {COMMIT}"], 6, "hub.repo", "regex"),
    (["hub: {repo: a/b}"], 5, "hub.revision", "missing required field"),
    (
        ["class_names: [cat, 'c\u00adat']"],
        5,
        "class_names.1",
        "has U+00AD SOFT HYPHEN in its name, which shows nothing",
    ),
]


def refusal(folder, text):
    file = folder / "registry.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(RegistryError) as caught:
        Registry.from_file(file)
    assert caught.value.file == file
    assert str(caught.value).startswith(f"{file}, line ")
    assert str(caught.value).isprintable()
    return caught.value


@pytest.mark.parametrize(("text", "line", "field", "problem"), FILE_REFUSED)
def test_what_is_wrong_is_refused_with_file_line_and_field(text, line, field, problem, tmp_path):
    error = refusal(tmp_path, text)
    assert (error.line, error.field) == (line, field)
    assert problem in error.problem


@pytest.mark.parametrize(("lines", "line", "field", "problem"), FIELDS_REFUSED)
def test_a_wrong_field_is_refused_with_file_line_and_field(lines, line, field, problem, tmp_path):
    head = ["version: 1", "models:", "  a:", "    architecture: x"]
    error = refusal(tmp_path, "\n".join(head + [f"    {text}" for text in lines]))
    assert (error.line, error.field) == (line, f"models.a.{field}")
    assert problem in error.problem


@pytest.mark.parametrize("architecture", ["X", "a b", "-a", "a.b", ""])
def test_an_architecture_of_another_form_is_refused(architecture, tmp_path):
    error = refusal(tmp_path, f"version: 1\nmodels:\n  a:\n    architecture: '{architecture}'")
    assert (error.line, error.field) == (4, "models.a.architecture")


def test_an_alias_that_is_another_models_name_or_alias_is_refused(tmp_path):
    models = "version: 1\nmodels:\n  a:\n    architecture: x\n    aliases:\n      - one\n      - b\n  b:\n"
    error = refusal(tmp_path, models + "    architecture: x")
    assert (error.line, error.field, error.problem) == (7, "models.a.aliases.1", "b is already the name of a model")
    models = models.replace("- b", "- two") + "    architecture: x\n    aliases: [one]"
    error = refusal(tmp_path, models)
    assert (error.line, error.field, error.problem) == (
        9 + 1,
        "models.b.aliases.0",
        "one is already the name of a model",
    )


def test_a_refused_value_is_shown_without_control_characters(tmp_path):
    error = refusal(tmp_path, 'version: 1\nmodels:\n  "a\\e[2J\\u202e": {architecture: x}')
    assert "\x1b" not in str(error)
    assert "\u202e" not in str(error)


ESCAPING = ["a\\b", "C:m", "C:/m", "/m", "//m", ".", "..", "../m", "a/../b", "a//b", "a/", "", "./m", "a/."]
DISGUISED = [
    "m\x01",
    "m\n",
    "m\x7f",
    "m\u202egnp",
    "m\u200b",
    "m\u2060",
    "m\u00ad",
    "m\u3164",
    "m\U000e0041",
    " m",
    "m ",
]


@pytest.mark.parametrize("name", ESCAPING + DISGUISED)
def test_file_names_that_could_leave_the_folder_or_hide_are_refused(name, tmp_path):
    model = {"architecture": "x", "files": {name: {"sha256": DIGEST, "size": 1}}}
    with pytest.raises(RegistryError, match="leaves the model's folder"):
        Registry.from_file(registry_file(tmp_path, "registry", a=model))
    with pytest.raises(RegistryError, match="leaves the registry's own"):
        Registry.from_file(registry_file(tmp_path, "registry", a={"architecture": "x", "bundled": name}))


@settings(deadline=None)
@given(st.text(st.sampled_from("ab./\\: ~é"), max_size=12))
def test_a_name_that_is_let_through_lies_in_its_folder(name):
    if stays_inside(name):
        folder = Path(tempfile.gettempdir()).resolve() / "folder"
        path = Path(os.path.normpath(folder / name))
        assert path.relative_to(folder).as_posix() == name


def test_ordinary_file_names_are_let_through():
    assert all(map(stays_inside, ["model.safetensors", "weights/a/b.c", "..a", "a..b", ".hidden", "ein modell.bin"]))


# What is written comes back

DUMPER = type("PlainDumper", (yaml.SafeDumper,), {"ignore_aliases": lambda self, data: True})

names = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,20}", fullmatch=True)
# PyYAML's own writer, asked for plain Unicode, loses the line breaks and the byte order mark of Unicode.
words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x85\u2028\u2029\ufeff"), max_size=30)
counts = st.integers(0, 2**63 - 1)
lengths = st.integers(1, 2**63 - 1)
figures = st.floats(allow_nan=False, allow_infinity=False)
paths = (
    st.lists(st.text("abcé .-_0", min_size=1, max_size=8), min_size=1, max_size=3).map("/".join).filter(stays_inside)
)


def maybe(strategy):
    return st.none() | strategy


entries = st.builds(
    ModelEntry,
    name=names,
    architecture=st.from_regex(r"[a-z0-9][a-z0-9_-]{0,20}", fullmatch=True),
    plugin=maybe(words),
    summary=words,
    license=maybe(words),
    dataset=maybe(words),
    tags=st.lists(words, max_size=4).map(tuple),
    sample_shape=st.lists(lengths, max_size=4).map(tuple),
    parameters=maybe(counts),
    class_names=st.lists(words.map(visible), max_size=4).map(tuple),
    training=maybe(st.builds(TrainingFacts, steps=counts, seed=counts, batch_size=lengths, configuration=maybe(paths))),
    metrics=st.dictionaries(
        words,
        st.builds(Metric, value=figures, error=maybe(figures), samples=maybe(counts), split=maybe(words)),
        max_size=3,
    ),
    files=st.dictionaries(
        paths,
        st.builds(FileFacts, sha256=st.text("0123456789abcdef", min_size=64, max_size=64), size=counts),
        max_size=3,
    ),
    bundled=maybe(paths),
    hub=maybe(
        st.builds(
            HubLocation,
            repo=st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,9}/[A-Za-z0-9_][A-Za-z0-9._-]{0,9}", fullmatch=True),
            revision=st.text("0123456789abcdef", min_size=40, max_size=40),
        )
    ),
    source=st.none(),
)


@settings(deadline=None)
@given(
    written=st.lists(entries, max_size=4, unique_by=lambda entry: entry.name),
    unicode=st.booleans(),
    flow=st.sampled_from([None, True, False]),
)
def test_entries_that_are_dumped_come_back_equal(written, unicode, flow, tmp_path_factory):
    file = tmp_path_factory.getbasetemp() / "round-trip.yaml"
    models = {entry.name: msgspec.to_builtins(entry) for entry in written}
    for fields in models.values():
        del fields["name"]
    text = yaml.dump({"version": 1, "models": models}, Dumper=DUMPER, allow_unicode=unicode, default_flow_style=flow)
    file.write_text(text, encoding="utf-8", newline="")
    found = Registry.from_file(file)
    assert set(found) == {entry.name for entry in written}
    for entry in written:
        assert found[entry.name] == msgspec.structs.replace(entry, source=file.absolute())


# Several registries


@pytest.fixture
def core(tmp_path):
    entry = {
        "architecture": "dcgan",
        "plugin": "zoo-dcgan",
        "summary": "The core's",
        "license": "mit",
        "aliases": ["numbers"],
        "hub": {"repo": "zoo/digits", "revision": COMMIT},
    }
    return Registry.from_file(registry_file(tmp_path, "core", digits=entry))


def test_the_cores_entry_is_completed_by_its_own_plugin(core, tmp_path):
    own = {
        "architecture": "dcgan",
        "summary": "The plugin's",
        "license": "gpl",
        "dataset": "mnist",
        "hub": {"repo": "plugin/digits", "revision": "b2" * 20},
        "bundled": "weights/digits",
        "parameters": 5,
        "files": {"model.safetensors": {"sha256": DIGEST, "size": 3}},
    }
    file = registry_file(tmp_path / "plugin", "registry", digits=own)
    merged = assemble(core, [("zoo_dcgan", file)], [])
    entry = merged["digits"]
    assert (entry.summary, entry.license, entry.hub) == ("The core's", "mit", core["digits"].hub)
    assert (entry.dataset, entry.parameters, entry.files["model.safetensors"].size) == ("mnist", 5, 3)
    assert entry.folder == (tmp_path / "plugin" / "weights" / "digits").resolve()
    assert entry.plugin == "zoo-dcgan"
    assert merged["numbers"] is entry
    assert merged.problems == ()


def test_the_digests_that_travel_with_the_weights_are_the_ones_that_count(tmp_path):
    stale = {"architecture": "x", "plugin": "zoo-x", "files": {"m": {"sha256": "0" * 64, "size": 1}}}
    core = Registry.from_file(registry_file(tmp_path, "core", a=stale))
    fresh = {"architecture": "x", "files": {"m": {"sha256": "1" * 64, "size": 2}}}
    merged = assemble(core, [("zoo-x", registry_file(tmp_path, "x", a=fresh))], [])
    assert merged["a"].files == {"m": FileFacts(sha256="1" * 64, size=2)}


def test_a_folder_that_the_core_bundles_stays_beside_the_cores_file(tmp_path):
    entry = {"architecture": "x", "plugin": "zoo-x", "bundled": "w"}
    core = Registry.from_file(registry_file(tmp_path, "core", a=entry))
    file = registry_file(tmp_path / "plugin", "x", a={"architecture": "x"})
    assert assemble(core, [("zoo-x", file)], [])["a"].folder == (tmp_path / "w").resolve()


def test_without_its_plugin_the_cores_entry_is_there_all_the_same(core):
    merged = assemble(core, [], [])
    assert merged["digits"] == core["digits"]
    assert merged["digits"].folder is None


def test_another_plugin_cannot_take_or_change_the_cores_entry(core, tmp_path):
    file = registry_file(tmp_path, "thief", digits={"architecture": "evil", "bundled": "x"})
    merged = assemble(core, [("zoo-thief", file)], [])
    assert merged["digits"] == core["digits"]
    assert merged.problems == ("digits of zoo-thief is left out: the name belongs to zoo-dcgan",)


def test_another_plugin_cannot_take_an_alias_of_the_cores(core, tmp_path):
    file = registry_file(tmp_path, "thief", numbers={"architecture": "evil"})
    merged = assemble(core, [("zoo-thief", file)], [])
    assert merged["numbers"].name == "digits"
    assert merged.problems == ("numbers of zoo-thief is left out: the name is an alias of digits",)


def test_a_plugin_that_contradicts_the_core_on_the_architecture_is_left_out(core, tmp_path):
    file = registry_file(tmp_path, "own", digits={"architecture": "vae", "bundled": "w"})
    merged = assemble(core, [("zoo-dcgan", file)], [])
    assert merged["digits"] == core["digits"]
    assert "its architecture is vae, but the core's index says dcgan" in merged.problems[0]


def test_a_plugin_speaks_for_itself_alone(core, tmp_path):
    file = registry_file(tmp_path, "liar", other={"architecture": "x", "plugin": "zoo-other"})
    merged = assemble(core, [("zoo-liar", file)], [])
    assert "other" not in merged
    assert merged.problems == ("other of zoo-liar is left out: it names the plugin zoo-other",)


@pytest.mark.parametrize("plugin", [{}, {"plugin": "zoo-x"}, {"plugin": "Zoo_X"}])
def test_a_plugins_entry_belongs_to_its_distribution(core, tmp_path, plugin):
    merged = assemble(core, [("zoo-x", registry_file(tmp_path, "x", other={"architecture": "x"} | plugin))], [])
    assert merged["other"].plugin == "zoo-x"
    assert merged.problems == ()


def test_of_plugins_with_one_model_name_neither_is_used_and_all_are_named(core, tmp_path):
    files = [
        (f"zoo-{name}", registry_file(tmp_path, name, same={"architecture": "x"}, **{name: {"architecture": "x"}}))
        for name in "cab"
    ]
    merged = assemble(core, files, [])
    assert list(merged) == ["a", "b", "c", "digits"]
    assert merged.problems == ("same is shipped by zoo-a, zoo-b and zoo-c: none of them is used",)


def test_of_two_plugins_with_one_alias_neither_keeps_it(core, tmp_path):
    files = [
        (f"zoo-{name}", registry_file(tmp_path, name, **{name: {"architecture": "x", "aliases": ["same", name * 2]}}))
        for name in "ab"
    ]
    merged = assemble(core, files, [])
    assert "same" not in merged
    assert merged["aa"].name == "a"
    assert [problem.partition(":")[0] for problem in merged.problems] == [
        "a loses the alias same",
        "b loses the alias same",
    ]


def test_an_alias_gives_way_to_another_plugins_name_whatever_the_order(core, tmp_path):
    files = [
        ("zoo-a", registry_file(tmp_path, "a", a={"architecture": "x", "aliases": ["b"]})),
        ("zoo-b", registry_file(tmp_path, "b", b={"architecture": "x"})),
    ]
    for order in (files, files[::-1]):
        merged = assemble(core, order, [])
        assert merged["b"].name == "b"
        assert len(merged.problems) == 1


def test_a_plugin_may_repeat_the_cores_aliases_of_its_own_model(core, tmp_path):
    file = registry_file(tmp_path, "own", digits={"architecture": "dcgan", "aliases": ["numbers"]})
    merged = assemble(core, [("zoo-dcgan", file)], [])
    assert merged["numbers"].name == "digits"
    assert merged.problems == ()


def test_one_file_that_a_distribution_names_twice_counts_once(core, tmp_path):
    file = registry_file(tmp_path, "x", other={"architecture": "x"})
    merged = assemble(core, [("zoo-x", file), ("zoo-x", file)], [])
    assert "other" in merged
    assert merged.problems == ()


def test_a_plugins_broken_registry_is_left_out_and_a_users_is_an_error(core, tmp_path):
    broken = write(tmp_path / "broken.yaml", "version: 3")
    merged = assemble(core, [("zoo-x", broken), ("zoo-y", tmp_path / "absent.yaml")], [])
    assert list(merged) == ["digits"]
    assert merged.problems[0].startswith(f"the registry of zoo-x is left out: {broken}, line 1, version")
    assert "absent.yaml: cannot be read" in merged.problems[1]
    with pytest.raises(RegistryError, match="version"):
        assemble(core, [], [broken])
    with pytest.raises(RegistryError, match="cannot be read"):
        assemble(core, [], [tmp_path / "absent.yaml"])


def test_a_user_adds_names_and_replaces_none(core, tmp_path):
    file = registry_file(
        tmp_path, "mine", mine={"architecture": "x"}, digits={"architecture": "evil"}, numbers={"architecture": "evil"}
    )
    merged = assemble(core, [], [file])
    assert merged["digits"] == core["digits"]
    assert merged["numbers"].name == "digits"
    assert merged["mine"].plugin is None
    assert merged.problems == (
        f"{file}: digits is left out: an earlier registry has that name",
        f"{file}: numbers is left out: an earlier registry has that name",
    )


def test_the_first_of_a_users_registries_wins(core, tmp_path):
    first = registry_file(tmp_path, "first", mine={"architecture": "x"})
    second = registry_file(tmp_path, "second", mine={"architecture": "y"})
    merged = assemble(core, [], [first, second, first])
    assert merged["mine"].architecture == "x"
    assert len(merged.problems) == 1
    assert "second.yaml: mine is left out" in merged.problems[0]


def test_an_alias_cannot_hide_a_name(core, tmp_path):
    file = registry_file(tmp_path, "mine", mine={"architecture": "x", "aliases": ["digits", "me", "numbers"]})
    merged = assemble(core, [], [file])
    assert merged["digits"] == merged["numbers"] == core["digits"]
    assert merged["me"].name == "mine"
    assert merged["mine"].aliases == ("me",)
    assert merged.problems == ("mine loses the alias digits, numbers: another model has that name",)


def test_problems_are_printable_lines(core, tmp_path):
    file = registry_file(tmp_path, "x", other={"architecture": "x", "plugin": "zoo\n\x1b[2Jother"})
    (problem,) = assemble(core, [("zoo-x", file)], []).problems
    assert problem.isprintable()


# Where registries are looked for


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("ZOO_REGISTRY", raising=False)
    return tmp_path


def test_without_settings_there_is_no_user_registry(home):
    assert user_files() == []


def test_user_registries_come_from_the_variable_then_the_configuration_folder(home, monkeypatch):
    own = registry_file(home / "zoo", "registry")
    monkeypatch.setenv("ZOO_REGISTRY", os.pathsep.join([f"{home / 'team.yaml'}", "", f"{home / 'b.yaml'}"]))
    assert user_files() == [home / "team.yaml", home / "b.yaml", own]


def test_a_tilde_in_the_variable_is_the_home_folder(home, monkeypatch):
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.setenv("ZOO_REGISTRY", "~/mine.yaml")
    assert user_files() == [home / "mine.yaml"]


@pytest.mark.parametrize("before", ["", "mine.yaml" + os.pathsep])
def test_a_registry_on_the_hub_is_not_read_in_silence(home, before, monkeypatch):
    monkeypatch.setenv("ZOO_REGISTRY", f"{before}hf://team/registry")
    with pytest.raises(RegistryError, match=r"hf://team/registry has not been fetched yet: zoo registry update"):
        user_files()


def test_a_folder_whose_name_begins_with_hf_is_an_ordinary_one(home, monkeypatch):
    monkeypatch.setenv("ZOO_REGISTRY", "hf/registry.yaml")
    assert user_files() == [Path("hf/registry.yaml")]


@pytest.mark.parametrize(("named", "expected"), [("/settings", "/settings/zoo"), ("", "/home/someone/.config/zoo")])
@pytest.mark.skipif(sys.platform != "linux", reason="platformdirs knows where other systems keep settings")
def test_the_configuration_folder_is_the_systems_own(named, expected, monkeypatch):
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.setenv("XDG_CONFIG_HOME", named)
    assert configuration_folder() == Path(expected)


# Editing


def test_a_registry_that_is_edited_keeps_its_mode_its_link_and_its_comments(tmp_path):
    real = write(tmp_path / "team.yaml", "version: 1\nmodels:\n  a: # ours\n    architecture: x\n    license: mit\n")
    real.chmod(0o600)
    (tmp_path / "registry.yaml").symlink_to(real)
    write_entry(tmp_path / "registry.yaml", ModelEntry(name="a", architecture="vae", license="gpl", tags=("b",)))
    assert (tmp_path / "registry.yaml").is_symlink()
    assert real.stat().st_mode & 0o777 == 0o600
    assert real.read_text().startswith("version: 1\nmodels:\n  a: # ours\n    architecture: vae\n    license: mit\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["registry.yaml", "team.yaml"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"version: 1\nmodels: {}\n# \xe9\n", "is not UTF-8"),
        (b"version: 1\nmodels: &a {}\n", "anchors are not allowed"),
    ],
)
def test_a_registry_that_is_not_strict_yaml_is_not_edited(tmp_path, content, problem):
    (tmp_path / "registry.yaml").write_bytes(content)
    with pytest.raises(RegistryError, match=problem):
        write_entry(tmp_path / "registry.yaml", ModelEntry(name="a", architecture="x"))
    assert (tmp_path / "registry.yaml").read_bytes() == content


def test_an_entry_that_makes_a_registry_invalid_changes_nothing(tmp_path):
    file = registry_file(tmp_path, "registry", a={"architecture": "x", "aliases": ["b"]})
    before = file.read_bytes()
    with pytest.raises(RegistryError, match=r"registry\.yaml, models\.a\.aliases\.0: b is already the name of a model"):
        write_entry(file, ModelEntry(name="b", architecture="x"))
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["registry.yaml"]


# The core's index


def copy_of_the_core(folder):
    """The package in a folder of its own, with a registry beside its modules, as a wheel installs it."""
    package = folder / "zoo_core"
    shutil.copytree(Path(zoo_core.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "registry.yaml", package / "registry.yaml")
    return package


def source_of_the_index(folder):
    script = "from zoo_core.registries.index import core_index; print(core_index()['dcgan-mnist'].source)"
    environment = os.environ | {"PYTHONPATH": str(folder)}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=True)
    return Path(done.stdout.strip())


def test_an_installed_core_reads_the_index_that_it_carries(tmp_path):
    package = copy_of_the_core(tmp_path)
    assert source_of_the_index(tmp_path) == package / "registry.yaml"


def test_a_checkout_reads_its_own_index_first(tmp_path):
    copy_of_the_core(tmp_path)
    shutil.copy(ROOT / "registry.yaml", tmp_path)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    assert source_of_the_index(tmp_path) == tmp_path / "registry.yaml"


@pytest.mark.parametrize(
    "text",
    [
        '[project]\nname = "something"\n',
        '[project]\nname = "something"\n[[package]]\nname = "zoo-core"\n',
        'project = "zoo-core"',
        "[project",
    ],
)
def test_a_project_into_which_the_core_is_installed_does_not_replace_the_index(tmp_path, text):
    package = copy_of_the_core(tmp_path)
    (tmp_path / "registry.yaml").write_text("something: else")
    (tmp_path / "pyproject.toml").write_text(text)
    assert source_of_the_index(tmp_path) == package / "registry.yaml"


def test_the_curated_index_tells_the_four_models_apart():
    index = Registry.from_file(ROOT / "registry.yaml")
    facts = {name: (entry.architecture, entry.plugin, entry.sample_shape) for name, entry in index.items()}
    assert (
        facts.items()
        >= {
            "vanilla-gan-mnist": ("vanilla_gan", "zoo-vanilla-gan", (1, 28, 28)),
            "dcgan-mnist": ("dcgan", "zoo-dcgan", (1, 32, 32)),
            "cnn-gan-mnist": ("cnn-gan", "zoo-dcgan", (1, 32, 32)),
            "dcgan-mnist-conditional": ("dcgan", "zoo-dcgan", (1, 32, 32)),
            "vae-mnist": ("vae", "zoo-vae", (1, 28, 28)),
        }.items()
    )
    assert all(entry.summary and entry.license and entry.dataset and entry.tags for entry in index.values())


def test_the_cores_index_names_every_bundled_model_and_its_plugin():
    """The curated index and the plugins' own registries must not drift apart."""
    files = [
        (re.search(r'^name = "(.*)"', project.read_text(encoding="utf-8"), re.MULTILINE)[1], file)
        for project in sorted(ROOT.glob("plugins/*/pyproject.toml"))
        for file in project.parent.glob("zoo_*/registry.yaml")
    ]
    bundled = {name: distribution for distribution, file in files for name in Registry.from_file(file)}
    assert bundled == {name: entry.plugin for name, entry in core_index().items()}
    merged = assemble(core_index(), files, [])
    assert merged.problems == ()
    for entry in merged.values():
        assert (entry.folder / "config.json").is_file()
        assert entry.files


@pytest.mark.parametrize("name", every_bundled_model)
def test_the_architectures_of_the_cores_index_are_those_of_its_plugins(name):
    script = (
        "from zoo_core.plugins import manager; from zoo_core.registries.index import core_index\n"
        f"entry = core_index()[{name!r}]; print(entry.plugin == manager().owner(entry.architecture).distribution)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "ZOO_DISABLE_PLUGINS"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


def test_looking_up_imports_neither_torch_nor_the_hub():
    script = (
        "import sys; before = set(sys.modules); "  # the measuring of coverage imports sqlite3
        "import zoo_core as zoo; zoo.registry()['dcgan-mnist']; zoo.list_models('*'); "
        "print(sorted({'torch', 'numpy', 'huggingface_hub', 'rich', 'PIL', 'sqlite3'} & set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# The documentation


def test_the_documented_example_is_a_registry_that_shows_every_field(tmp_path):
    text = (ROOT / "docs" / "registry.md").read_text(encoding="utf-8")
    example = re.search(r"```yaml\n(.*?)```", text, re.DOTALL)
    (entry,) = Registry.from_file(write(tmp_path / "registry.yaml", example[1])).values()
    for facts in (entry, entry.training, entry.metrics["fid"], entry.hub):
        for field in facts.__struct_fields__:
            assert getattr(facts, field) not in (None, "", (), {}), field
            assert field == "name" or f"`{field}`" in text


def test_a_registry_in_the_home_folder_is_read_by_its_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    write(tmp_path / "mine.yaml", FULL)
    assert len(Registry.from_file("~/mine.yaml")) == 2


# JSON


def test_the_configuration_folder_may_have_a_json_registry_beside_the_yaml_one(home):
    for name in ("registry.json", "registry.yaml"):
        configuration_folder().mkdir(exist_ok=True)
        (configuration_folder() / name).write_text("{}")
    assert [file.name for file in user_files()] == ["registry.yaml", "registry.json"]


JSON_FULL = {
    "version": 1,
    "models": {
        name: json.loads(msgspec.json.encode(fields)) for name, fields in yaml.safe_load(FULL)["models"].items()
    },
}


@pytest.mark.parametrize("indent", [None, 2])
def test_a_json_registry_says_the_same_as_a_yaml_registry(indent, full, tmp_path):
    file = write(tmp_path / "registry.json", json.dumps(JSON_FULL, indent=indent))
    found = Registry.from_file(file)
    assert [msgspec.structs.replace(entry, source=None) for entry in found.values()] == [
        msgspec.structs.replace(entry, source=None) for entry in full.values()
    ]
    assert found["faces"].source == file


JSON_REFUSED = [
    # (text, line, field, problem)
    ('{"version": 1,\n"models": {"a": {}}}', 2, "models.a.architecture", "missing required field"),
    ('{"version": 1,\n"models": {"a": {"architecture": "x",\n"parameters": "7"}}}', 3, "models.a.parameters", "Expected `int | null`, got '7'"),
    ('{"version": 1,\n"models": {"a": {"architecture": "x",\n"parameters": 7.0}}}', 3, "models.a.parameters", "got `float`"),
    ('{"version": 1,\n"models": {"a": {"architecture": "x",\n"tags": ["a",\n7]}}}', 4, "models.a.tags.1", "Expected `str`, got `int`"),
    ('{"version": 1, "models": {"a": {"architecture": "x", "files":\n{"f": {"sha256": "0", "size": 1},\n"g": {"sha256": "' + DIGEST + '"}}}}}', 2, "models.a.files.f.sha256", "regex"),
    ('{"version": 1, "models": {"a": {"architecture": "x", "metrics": {"fid": {"value": 1e999}}}}}', 1, "models.a.metrics.fid.value", "float"),
    ('{"version": 1, "models": {"a": {"architecture": "x", "metrics": {"fid": {"value": NaN}}}}}', 1, None, "NaN"),
    ('{"version": 1, "models":\n{"a": {"architecture": "x"},\n"a": {"architecture": "x"}}}', 3, None, "the key 'a' twice"),
    ('{"version": 1, "models":\n{"a": {"architecture": "x",\n"architecture": "y"}}}', 2, None, "the key 'architecture' twice"),
    ('{"version": 1,\n"version": 1}', 2, None, "the key 'version' twice"),
    ('{"version": "1"}', 1, "version", "must be 1"),
    ('{"version": true}', 1, "version", "must be 1"),
    ('{"version": 1.0}', 1, "version", "must be 1"),
    ('{"models": {"a": {"architecture": 7}},\n"version": 2}', 2, "version", "must be 1"),
    ('{"version": 1, "models": []}', 1, "models", "must be a mapping"),
    ('{"version": 1,\n"model": {}}', 2, "model", "unknown field"),
    ("[]", 1, None, "a registry is a mapping"),
    ("null", 1, None, "a registry is a mapping"),
    ("", 1, None, "is not JSON"),
    ('{"version": 1,\n}', 2, None, "property name"),
    ('{"version": 1\n"models": {}}', 2, None, "',' delimiter"),
    ('{"version" 1}', 1, None, "':' delimiter"),
    ('{"version": 1,\n"models": {"a": {"architecture": "x"}', 2, None, "',' delimiter"),
    ('{"version": 1, "models": {"a": {"architecture": "x"\n', 2, None, "is not JSON"),
    ('{"version": 1}\n{}', 2, None, "Extra data"),
    ('{"version": 1, "models":\n{"a": {"architecture": "x", "tags": ["a"' + ', "a"' * 20_000 + " oops]}}}", 2, None, "',' delimiter"),
    ('{"version": 1, "models":\n{"a": {"architecture": "x", "summary": "' + "a" * (MAX_VALUE + 1) + '"}}}', 2, None, "a value of more than 4 MB"),
    ('{"version": 1, "models":\n{"a": {"architecture": "x", "tags": [' + "1," * MAX_VALUE, 2, None, "a value of more than 4 MB"),
    ('{"version": 1, "models": {"a": ' + "[" * 100 + "]" * 100 + "}}", 1, None, "nested too deeply"),
    ('{"version": 1, "models": {"a": ' + "[" * 100_000, 1, None, "nested too deeply"),
    ('{"version": 1, "models": {"a": {"architecture": "x", "summary": "\\ud800"}}}', 1, None, "surrogates"),
    ('{"version": 1, "models": {"a": {"architecture": "x", "aliases":\n["b"]}, "b": {"architecture": "x"}}}', 2, "models.a.aliases.0", "already the name"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "field", "problem"), JSON_REFUSED)
def test_a_wrong_json_registry_is_refused_with_file_line_and_field(text, line, field, problem, tmp_path):
    file = tmp_path / "registry.json"
    file.write_text(text)
    with pytest.raises(RegistryError) as caught:
        Registry.from_file(file)
    assert (caught.value.file, caught.value.line, caught.value.field) == (file, line, field)
    assert problem in caught.value.problem


def test_what_is_wrong_with_the_file_is_reported_before_what_is_wrong_with_an_entry(tmp_path):
    error = refusal(tmp_path, "models: {a: {architecture: 'X Y'}}\nversion: 2")
    assert (error.field, error.line) == ("version", 2)
    error = refusal(tmp_path, "version: 1\nmodels:\n  a: {architecture: 'X Y'}\n  b: *c")
    assert "aliases are not allowed" in error.problem


@pytest.mark.parametrize("size", [10, 2**16 - 120, 2**16 - 40, 2**16, 2**17])
def test_a_large_model_in_json_is_read_whole(size, tmp_path):
    for filling in (
        {"summary": "é" * size},
        {"tags": ["a"] * (size // 5)},
        {"sample_shape": [123456789] * (size // 11)},
    ):
        models = {"a": {"architecture": "x", **filling}, "b": {"architecture": "y"}}
        file = write(tmp_path / "registry.json", json.dumps({"version": 1, "models": models}, ensure_ascii=False))
        (a, b) = (read.entry for read in read_entries(file.read_bytes(), file))
        ((field, expected),) = filling.items()
        assert (getattr(a, field) if field == "summary" else list(getattr(a, field))) == expected
        assert b.architecture == "y"


# Writing only what changes


LAYOUTS = {
    "registry.yaml": """\
# of the team
version: 1
models:
    # first
    first: # one
        architecture: x # its own
        summary: |
          Lines
          # of text

    # second
    "second": {architecture: "x", tags: [a, 'b'], files: {f: {sha256: DIGEST, size: 1}}} # in one line

    third:
        architecture: x
        # nothing more
# the end
""",
    "windows.yaml": "version: 1\r\nmodels:\r\n  second:\r\n    architecture: x\r\n    summary: old\r\n  third: {architecture: x}\r\n",
    "mark.yaml": "\ufeffmodels:\n  second:\n    architecture: x\n    summary: é 😀\n  third:\n    architecture: x\nversion: 1\n",
    "braces.yaml": "version: 1\nmodels: {second: {architecture: x}, third: {architecture: x}}\n",
    "no-end.yaml": "version: 1\nmodels:\n  third:\n    architecture: x\n  second:\n    architecture: x",
    "empty.yaml": "# nothing yet\nversion: 1\n",
    "indented.json": '{\n    "version": 1,\n    "models": {\n        "second": {"architecture": "x"},\n        "third": {"architecture": "x", "summary": "é"}\n    }\n}\n',
    "compact.json": '{"version":1,"models":{"second":{"architecture":"x"},"third":{"architecture":"x"}}}',
    "empty.json": '{"version": 1}',
}


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("model", ["second", "new"])
def test_an_entry_is_written_without_a_change_to_any_other(name, model, tmp_path):
    file = tmp_path / name
    file.write_bytes(LAYOUTS[name].replace("DIGEST", DIGEST).encode())
    before = Registry.from_file(file)
    entry = ModelEntry(
        name=model,
        architecture="y",
        summary="new",
        sample_shape=(1, 28),
        files={"model.safetensors": FileFacts(sha256="1" * 64, size=7)},
    )
    write_entry(file, entry)
    after = Registry.from_file(file)
    assert set(after) == {*before, model}
    for other in set(before) - {model}:
        assert after[other] == before[other]
    written = after[model]
    assert (written.architecture, written.files, written.sample_shape) == ("y", entry.files, (1, 28))
    assert written.summary == (before[model].summary if model in before and before[model].summary else "new")
    once = file.read_bytes()
    write_entry(file, entry)
    assert file.read_bytes() == once


def test_comments_indentation_and_line_ends_outside_the_entry_stay(tmp_path):
    for name in ("registry.yaml", "windows.yaml", "mark.yaml", "indented.json"):
        file = tmp_path / name
        text = LAYOUTS[name].replace("DIGEST", DIGEST).encode()
        file.write_bytes(text)
        write_entry(file, ModelEntry(name="new", architecture="y"))
        lines = file.read_bytes().splitlines(keepends=True)
        added = [line for line in lines if line not in text.splitlines(keepends=True)]
        assert len(added) in (2, 4), name  # in JSON, the line before gets a comma
        assert b"new" in b"".join(added)
        assert (b"\r\n" in text) == all(line.endswith(b"\r\n") for line in lines)
        assert all(line.rstrip(b"\r\n") in b"".join(lines) for line in text.splitlines())


def test_an_entry_keeps_its_own_comments(tmp_path):
    file = write(tmp_path / "registry.yaml", LAYOUTS["registry.yaml"].replace("DIGEST", DIGEST))
    write_entry(file, ModelEntry(name="first", architecture="z", parameters=3))
    assert file.read_text().startswith(
        "# of the team\nversion: 1\nmodels:\n    # first\n    first: # one\n        architecture: z # its own\n"
        "        summary: |\n            Lines\n            # of text\n        parameters: 3\n\n    # second\n"
    )
    write_entry(file, ModelEntry(name="new", architecture="z"))
    end = "        # nothing more\n    new:\n        architecture: z\n# the end\n"
    assert file.read_text().endswith(end)


def test_processes_that_register_at_once_lose_nothing(tmp_path):
    file = tmp_path / "registry.yaml"
    names = [f"m{number}" for number in range(12)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda name: write_entry(file, ModelEntry(name=name, architecture="x")), names))
    assert set(Registry.from_file(file)) == set(names)


def test_registries_that_are_added_and_removed_at_once_are_all_there(tmp_path):
    places = [str(tmp_path / f"{number}.yaml") for number in range(16)]
    for place in places[:8]:
        sources.add(place, tmp_path)
    with ThreadPoolExecutor(8) as pool:
        done = [pool.submit(sources.remove, place, tmp_path) for place in places[:8]]
        done += [pool.submit(sources.add, place, tmp_path) for place in places[8:]]
        for each in done:
            each.result()
    assert sorted(sources.added(tmp_path)) == sorted(places[8:])


@pytest.mark.slow
def test_programs_that_register_at_once_lose_nothing(tmp_path):
    script = (
        "import sys; from pathlib import Path; from zoo_core.registries import ModelEntry\n"
        "from zoo_core.registries.editing import write_entry\n"
        "for number in range(4): write_entry(Path(sys.argv[1]), ModelEntry(name=f'{sys.argv[2]}-{number}', architecture='x'))"
    )
    file = tmp_path / "registry.yaml"
    running = [subprocess.Popen([sys.executable, "-c", script, str(file), f"p{number}"]) for number in range(6)]
    assert [process.wait() for process in running] == [0] * 6
    assert len(Registry.from_file(file)) == 24
