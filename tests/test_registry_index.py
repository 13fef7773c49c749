"""Large registries: compiled once into an index, which answers as the file does and is never trusted more than it."""

import hashlib
import json
import logging
import os
import sqlite3
import stat
import sys
import threading
import zlib
from pathlib import Path

import msgspec
import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import zoo_core as zoo
from zoo_core.cli import main
from zoo_core.errors import RegistryError, UnknownModelError
from zoo_core.registries import ModelEntry, Registry, compiled, compiling, reading, registry
from zoo_core.registries.merging import assemble
from zoo_core.registries.query import Query
from zoo_core.registries.registry import read_shelf
from zoo_core.registries.shelves import MemoryShelf

DIGESTS = [f"{number:064x}" for number in range(40)]
WORDS = ["Faces", "digits", "Größe", "😀", "birds of prey", 'a "quoted" one', "100%"]


def models(count=40):
    return {
        f"{('vae', 'dcgan', 'gan')[number % 3]}-{('mnist', 'faces')[number % 2]}-{number:02d}": {
            "architecture": ("vae", "dcgan", "vanilla_gan")[number % 3],
            "plugin": ("zoo-vae", "zoo_dcgan", "zoo.gan")[number % 3],
            "summary": f"{WORDS[number % len(WORDS)]} {number}\nand more",
            "dataset": ("mnist", "faces")[number % 2],
            "license": ("mit", "cc-by-4.0")[number % 2],
            "tags": ["small", f"t{number % 5}"],
            "aliases": [f"alias.{number}"],
            "files": {"model.safetensors": {"sha256": DIGESTS[number], "size": number}},
        }
        for number in range(count)
    }


TEXTS = {
    "block.yaml": yaml.safe_dump({"version": 1, "models": models()}, allow_unicode=True),
    "flow.yaml": "# ä\n" + yaml.safe_dump({"version": 1, "models": models()}, default_flow_style=True),
    "mark.yaml": "\ufeff" + yaml.safe_dump({"models": models(), "version": 1}, allow_unicode=True),
    "compact.json": json.dumps({"version": 1, "models": models()}, ensure_ascii=False),
    "indented.json": json.dumps({"models": models(), "version": 1}, indent=3),
}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache of its own, in which every registry file gets an index."""
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(registry, "INDEXED_FROM", 0)
    return tmp_path / "cache" / "registries"


@pytest.fixture
def file(tmp_path, cache):
    return written(tmp_path)


def written(folder, name="block.yaml", text=None):
    file = folder / name
    file.write_text(text or TEXTS[name], encoding="utf-8")
    return file


def in_memory(file):
    return Registry.from_shelves([read_in_memory(file)])


def read_in_memory(file):
    entries = [read.entry for read in reading.read_entries(file.read_bytes(), file)]
    return MemoryShelf(msgspec.structs.replace(entry, source=file) for entry in entries)


def indexes(cache):
    return sorted(cache.glob("*.sqlite"))


# The same answers


@pytest.mark.parametrize("name", TEXTS)
def test_an_index_answers_as_the_file_in_memory(name, tmp_path, cache, monkeypatch):
    file = written(tmp_path, name)
    large, small = Registry.from_file(file), in_memory(file)
    assert [path.stem for path in indexes(cache)] == [hashlib.sha256(file.read_bytes()).hexdigest()]
    monkeypatch.setattr(compiled.Index, "_replace", lambda self: pytest.fail("the index is taken for damaged"))
    assert len(large) == len(small) == 40
    assert list(large) == list(small)
    assert list(large.values()) == list(small.values())
    assert dict(large.items()) == dict(small.items())
    for entry in small.values():
        for each in (entry.name, *entry.aliases):
            assert large[each] == large.get(each) == entry
            assert each in large
    assert large.get("absent") is None
    assert "absent" not in large
    assert 3 not in large


PATTERNS = ["*", "vae-*", "*faces*", "*-0?", "[dv]*-0[!1-3]", "alias.1*", "*s-*1", "VAE*", "vae-mnist-00", "[", "*[*", "?a*", "*10*", "", 'a"b*', "*é*", "a\0*"]  # fmt: skip
QUERIES = [
    *(Query(pattern) for pattern in PATTERNS),
    Query(architecture="Vanilla-GAN"),
    Query(architecture="vae", dataset="mnist"),
    Query(plugin="ZOO-dcgan", tag="t1"),
    Query(license="mit", tag="small"),
    Query(tag="absent"),
    Query("vae-*", plugin=""),
    *(Query(search=words) for words in ["FACES", "größe", "😀", 'a "quoted"', "1", "birds mnist 4", "100%", "more and", "x\0", " "]),
    Query("dcgan-*", search="t2 alias"),
    Query(bundled=True),
]  # fmt: skip


@pytest.mark.parametrize("full_text", [True, False])
def test_every_query_finds_the_same(full_text, tmp_path, cache, monkeypatch):
    if not full_text:
        monkeypatch.setattr(
            compiling, "_FULL_TEXT", "CREATE VIRTUAL TABLE words USING a_module_that_is_not_there(text)"
        )
    file = written(tmp_path)
    large, small = Registry.from_file(file), in_memory(file)
    found = [[entry.name for entry in large.select(query)] for query in QUERIES]
    assert found == [[entry.name for entry in small.select(query)] for query in QUERIES]
    assert sum(map(bool, found)) > 20


@settings(deadline=None)
@given(
    pattern=st.text("aegv-*?[]!0m", max_size=6) | st.none(),
    search=st.text("ae m1\"'-*äß", max_size=5) | st.none(),
)
def test_a_random_query_finds_the_same(pattern, search, tmp_path_factory):
    large, small = _pair(tmp_path_factory)
    query = Query(pattern if pattern is not None else "*", search=search)
    assert list(large.select(query)) == list(small.select(query))


_PAIR = []


def _pair(tmp_path_factory):
    """A registry by its index and in memory, made once."""
    if not _PAIR:
        folder = tmp_path_factory.mktemp("pair")
        file = written(folder)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("ZOO_CACHE", str(folder))
            patch.setattr(registry, "INDEXED_FROM", 0)
            _PAIR.extend((Registry.from_file(file), in_memory(file)))
    return _PAIR


@pytest.mark.parametrize("wrong", ["vae-mnst-00", "vae_mnist-06", "xae-mnist-06", "aliaz.7", "VAE-MNIST-6"])
def test_a_wrong_name_gets_close_ones(wrong, file):
    with pytest.raises(UnknownModelError) as large:
        Registry.from_file(file)[wrong]
    with pytest.raises(UnknownModelError) as small:
        in_memory(file)[wrong]
    assert large.value.suggestions == small.value.suggestions


def test_completion_gives_the_first_and_the_last_of_many_names(file):
    models = Registry.from_file(file)
    assert models.beginning_with("dcgan") == in_memory(file).beginning_with("dcgan")
    assert models.beginning_with("dcgan-mnist-", limit=4) == [f"dcgan-mnist-{n}" for n in ("04", "10", "28", "34")]


# Several registries


def test_merging_has_the_rules_that_it_has_in_memory(tmp_path, cache, monkeypatch):
    core = Registry([ModelEntry(name="vae-mnist-00", architecture="x", aliases=("alias.1", "core"))])
    first = written(tmp_path)
    other = {
        "alias.2": {"architecture": "y"},
        "dcgan-faces-01": {"architecture": "y", "aliases": ["second"]},
        "mine": {"architecture": "y", "aliases": ["alias.3", "own", "core"]},
        "second": {"architecture": "y"},
    }
    other["dcgan-faces-01"]["aliases"] = ["third"]
    second = written(tmp_path, "second.yaml", yaml.safe_dump({"version": 1, "models": other}))
    small = written(tmp_path, "small.json", json.dumps({"version": 1, "models": {"own": {"architecture": "z"}, "new": {"architecture": "z", "aliases": ["alias.4", "n"]}}}))  # fmt: skip
    merged = []
    for indexed in ({first, second, small}, {first, second}, {second}, set()):
        monkeypatch.setattr(registry, "_needs_index", indexed.__contains__)
        merged.append(assemble(core, [], [first, second, small]))
    expected = merged.pop()
    for each in merged:
        assert list(each.values()) == list(expected.values())
        assert sorted(each.problems) == sorted(expected.problems)
        assert len(each) == len(expected) == 43
        for name in (
            "vae-mnist-00",
            "alias.0",
            "alias.1",
            "alias.2",
            "alias.3",
            "alias.4",
            "own",
            "third",
            "n",
            "core",
        ):
            assert each.get(name) == expected.get(name), name
            assert (name in each) == (name in expected), name
        assert [entry.name for entry in each.find("alias.*")] == [entry.name for entry in expected.find("alias.*")]


def test_many_contested_names_get_one_line(tmp_path, cache):
    text = yaml.safe_dump({"version": 1, "models": {f"m{number}": {"architecture": "x"} for number in range(150)}})
    first, second = written(tmp_path, "first.yaml", text), written(tmp_path, "second.yaml", text)
    merged = assemble(Registry([]), [], [first, second])
    assert len(merged) == 150
    (problem,) = merged.problems
    assert problem.startswith(f"{second}: 150 models")


# Strictly, and once


def test_a_wrong_file_is_refused_with_its_line_and_leaves_no_index(tmp_path, cache):
    file = written(tmp_path, text=TEXTS["block.yaml"].replace(DIGESTS[20], "abc"))
    line = next(number for number, text in enumerate(file.read_text(encoding="utf-8").splitlines(), 1) if "abc" in text)
    with pytest.raises(RegistryError, match=r"regex") as caught:
        Registry.from_file(file)
    assert (caught.value.file, caught.value.line) == (file, line)
    assert [path.name for path in cache.iterdir() if path.suffix != ".json"] == ["lock"]


def test_a_file_is_compiled_once_for_each_content(file, cache, monkeypatch):
    compiled_files = []
    fill = compiling._fill
    monkeypatch.setattr(compiling, "_fill", lambda *given: (compiled_files.append(given[1]), fill(*given)))
    Registry.from_file(file)
    (before,) = indexes(cache)
    os.utime(file, ns=(1, 1))
    Registry.from_file(file)
    assert len(compiled_files) == 1
    facts = file.stat()
    file.write_text(file.read_text(encoding="utf-8").replace("Faces 0", "Fames 0"), encoding="utf-8")
    os.utime(file, ns=(facts.st_atime_ns, facts.st_mtime_ns))  # the same size, the same time
    assert Registry.from_file(file)["vae-mnist-00"].summary.startswith("Fames")
    assert len(compiled_files) == 2
    (after,) = indexes(cache)  # the one that nothing needs is gone
    assert after != before


def test_without_sqlite_every_file_is_read_into_memory(file, cache, monkeypatch):
    monkeypatch.setitem(sys.modules, "sqlite3", None)
    assert Registry.from_file(file)["alias.5"] == in_memory(file)["alias.5"]
    assert not cache.exists()


def test_a_small_file_gets_no_index(tmp_path, cache, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    assert len(Registry.from_file(written(tmp_path))) == 40
    assert not cache.exists()


def test_a_large_file_has_more_values_than_a_small_document_may(tmp_path, cache, monkeypatch):
    monkeypatch.setattr("zoo_core.files.strict_yaml.MAX_VALUES", 30)
    assert len(Registry.from_file(written(tmp_path))) == 40
    monkeypatch.setattr("zoo_core.files.strict_yaml.MAX_VALUES", 5)
    with pytest.raises(RegistryError, match="holds more than 5 values"):
        Registry.from_file(written(tmp_path, "more.yaml", TEXTS["block.yaml"] + "\n"))
    monkeypatch.setattr("zoo_core.files.strict_yaml.MAX_VALUES", 30)
    monkeypatch.setattr("zoo_core.files.strict_yaml.MAX_STREAMED_VALUES", 100)
    with pytest.raises(RegistryError, match="holds more than 100 values"):
        Registry.from_file(written(tmp_path, "more.yaml", TEXTS["block.yaml"] + "\n"))


def test_a_registry_has_a_bounded_number_of_models(monkeypatch):
    monkeypatch.setattr(reading, "MAX_NAMES", 80)
    assert reading.check(TEXTS["block.yaml"].encode(), Path("registry.yaml")) == 40
    for name in ("block.yaml", "compact.json"):
        monkeypatch.setattr(reading, "MAX_NAMES", 78)
        with pytest.raises(RegistryError, match=r"models\..*: the registry has more than 78 names and aliases"):
            reading.check(TEXTS[name].encode(), Path(name))


# Never trusted more than the file


def damage(place, old, new):
    content = place.read_bytes()
    assert old in content
    place.write_bytes(content.replace(old, new))


@pytest.mark.parametrize(
    "harm",
    [
        lambda place: place.write_bytes(b""),
        lambda place: place.write_bytes(b"not a database" * 1000),
        lambda place: place.write_bytes(place.read_bytes()[:5000]),
        lambda place: damage(place, f"format {compiling.FORMAT}".encode(), b"format 0"),
        lambda place: damage(place, b"CREATE TABLE names", b"CREATE TABLE nomes"),
        lambda place: damage(place, DIGESTS[5].encode(), DIGESTS[6].encode()),
        lambda place: damage(place, DIGESTS[5].encode(), b"z" * 64),
    ],
    ids=["empty", "foreign", "cut", "another version", "another table", "another digest", "no digest"],
)
def test_a_damaged_index_is_compiled_again(harm, file, cache):
    expected = in_memory(file)
    Registry.from_file(file)
    (place,) = indexes(cache)
    harm(place)
    found = Registry.from_file(file)
    assert list(found.values()) == list(expected.values())
    assert found["alias.5"] == expected["alias.5"]


def tamper(place, name, old, new):
    """Change an entry of an index as somebody would who knows its format."""
    with sqlite3.connect(place) as connection:
        (stored,) = connection.execute("SELECT entry FROM models WHERE name = ?", (name,)).fetchone()
        changed = stored[4:].replace(old, new)
        assert changed != stored[4:]
        connection.execute(
            "UPDATE models SET entry = ? WHERE name = ?", (zlib.crc32(changed).to_bytes(4, "big") + changed, name)
        )
    connection.close()


@pytest.mark.parametrize("name", TEXTS)
def test_a_forged_entry_is_not_what_is_loaded(name, tmp_path, cache):
    file = written(tmp_path, name)
    expected = in_memory(file)
    Registry.from_file(file)
    tamper(indexes(cache)[0], "gan-faces-05", DIGESTS[5].encode(), b"f" * 64)
    assert Registry.from_file(file)["alias.5"] == expected["alias.5"]
    assert Registry.from_file(file).find("gan-faces-05") == [expected["alias.5"]]  # it was compiled again


@pytest.mark.skipif(os.name == "nt", reason="Windows has no modes")
def test_an_index_that_others_can_write_is_not_read(file, cache):
    Registry.from_file(file)
    (place,) = indexes(cache)
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    tamper(place, "gan-faces-05", b"zoo.gan", b"zoo.bad")
    place.chmod(0o666)
    assert Registry.from_file(file).find("gan-faces-05")[0].plugin == "zoo.gan"
    assert stat.S_IMODE(indexes(cache)[0].stat().st_mode) == 0o600


@pytest.mark.skipif(os.name == "nt", reason="Windows makes links for administrators only")
def test_a_folder_of_somebody_else_is_not_used(file, cache, tmp_path, caplog, monkeypatch):
    (tmp_path / "theirs").mkdir()
    cache.parent.mkdir()
    cache.symlink_to(tmp_path / "theirs")
    with caplog.at_level(logging.WARNING):
        assert len(Registry.from_file(file)) == 40
    assert "set ZOO_CACHE to a folder that only you can write to" in caplog.text
    assert not indexes(cache)


def test_without_a_cache_the_index_is_gone_at_the_end(file, cache, tmp_path, monkeypatch):
    cache.parent.write_text("in the way")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    models = Registry.from_file(file)
    assert models["alias.5"] == in_memory(file)["alias.5"]
    assert list((tmp_path / "temporary").iterdir())
    del models
    assert not list((tmp_path / "temporary").iterdir())


def test_a_registry_that_is_open_stays_what_it_was(file, cache):
    models, before = Registry.from_file(file), in_memory(file)
    file.write_text("version: 1\nmodels: {}\n")
    assert models["alias.5"] == before["alias.5"]
    assert list(models.values()) == list(before.values())
    assert len(Registry.from_file(file)) == 0


# Several threads and processes


def test_threads_share_a_registry(file, cache):
    models, expected = Registry.from_file(file), in_memory(file)
    answers = []
    threads = [threading.Thread(target=lambda: answers.append([models[name] for name in expected])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [list(expected.values())] * 4


def test_of_processes_that_come_at_once_one_compiles(file, cache, monkeypatch):
    compiled_files = []
    fill = compiling._fill
    monkeypatch.setattr(compiling, "_fill", lambda *given: (compiled_files.append(given[1]), fill(*given)))
    found = []
    threads = [threading.Thread(target=lambda: found.append(len(Registry.from_file(file)))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (found, compiled_files) == ([40] * 4, [file])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_reads_on(file, cache):
    models = Registry.from_file(file)
    reading_end, writing_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing_end, models["alias.5"].summary.encode())
        os._exit(0)
    os.close(writing_end)
    assert os.waitpid(child, 0)[1] == 0
    assert os.read(reading_end, 1000).decode() == models["alias.5"].summary
    os.close(reading_end)


# The command


@pytest.fixture
def command(file, cache, monkeypatch):
    """Runs `zoo` with the registry beside those of the core and the plugins."""
    monkeypatch.setenv("ZOO_REGISTRY", str(file))

    def run(*arguments):
        zoo.registry.cache_clear()
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code == 0, done.stderr
        return done.stdout

    yield run
    zoo.registry.cache_clear()


def test_list_info_and_completion_show_what_the_index_has(command, file):
    assert [line.split()[0] for line in command("list", "dcgan-*-0?").splitlines()] == [
        "dcgan-faces-01", "dcgan-faces-07", "dcgan-mnist-04"
    ]  # fmt: skip
    assert [line.split()[0] for line in command("list", "--search", "GRÖßE 09").splitlines()] == ["vae-faces-09"]
    assert DIGESTS[5] in command("info", "alias.5")
    assert str(file) in command("info", "alias.5")
    listed = json.loads(command("list", "--dataset", "faces", "--tag", "t1", "--json"))
    expected = in_memory(file).find(dataset="faces", tag="t1")
    assert [entry["files"] for entry in listed] == [msgspec.to_builtins(entry.files) for entry in expected]
    assert command("list", "--search", "no such words", "--json") == "[]\n"
    assert f"{file}: 40 models, no problems" in command("registry", "check", str(file))


def test_a_check_reads_the_file_itself(command, file, cache):
    Registry.from_file(file)
    tamper(indexes(cache)[0], "gan-faces-05", b"zoo.gan", b"zoo.bad")
    facts = file.stat()
    file.write_text(TEXTS["block.yaml"].replace(DIGESTS[20], "xyz" + DIGESTS[20][3:]), encoding="utf-8")
    os.utime(file, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    done = CliRunner().invoke(main, ["registry", "check", str(file)])
    assert done.exit_code == 1
    assert "regex" in done.stderr


def test_long_lists_are_printed_in_pieces_that_line_up(capsys):
    from zoo_core.cli.messages import echo_columns, echo_json, echo_json_items

    rows = [(f"name{number}", "x") for number in range(1500)]
    assert echo_columns(iter(rows)) == 1500
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "name0    x"
    assert lines[1499] == "name1499  x"
    for items in ([], [{"a": [1, {"b": "c\nd"}]}, {"e": {}}], [1]):
        echo_json_items(iter(items))
        streamed = capsys.readouterr().out
        echo_json(items)
        assert streamed == capsys.readouterr().out


def test_a_bar_is_shown_while_a_large_file_is_read(monkeypatch):
    shown = []

    class Bar:
        def __enter__(self):
            return shown.append

        def __exit__(self, *error):
            shown.append("closed")

    monkeypatch.setattr(reading, "SHOWN_FROM", 100)
    monkeypatch.setattr(reading, "_progress", [])
    reading.show_progress_with(lambda path, size: shown.append((path.name, size)) or Bar())
    content = TEXTS["block.yaml"].encode()
    assert reading.check(content, Path("team.yaml")) == 40
    assert shown[0] == ("team.yaml", len(content))
    assert isinstance(shown[1], int)
    assert shown[-1] == "closed"
    assert reading.check(b"version: 1", Path("small.yaml")) == 0
    assert shown[-1] == "closed"


@pytest.mark.slow
def test_ten_thousand_models_are_found_in_the_memory_of_a_few(tmp_path, cache):
    file = tmp_path / "large.yaml"
    entry = "  {name}:\n    architecture: vae\n    summary: number {number}\n    files: {{f: {{sha256: {digest}, size: 1}}}}\n"
    with file.open("w") as text:
        text.write("version: 1\nmodels:\n")
        for number in range(10_000):
            text.write(entry.format(name=f"m{number}", number=number, digest=f"{number:064x}"))
    models = Registry.from_file(file)
    assert len(models) == 10_000
    assert models["m777"].files["f"].sha256 == f"{777:064x}"
    assert [found.name for found in models.find("*9999")] == ["m9999"]
    assert sum(1 for _ in models.values()) == 10_000
    with pytest.raises(UnknownModelError, match="m9998"):
        models["m9998x"]


def test_shelves_can_be_read_from_a_file(file):
    assert isinstance(read_shelf(file), compiled.CompiledShelf)
    assert len(read_shelf(file)) == 40
