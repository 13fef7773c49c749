"""The command: what it prints where, its exit codes, and that nothing foreign can break it or a terminal."""

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.builtin import BUILT_IN, DIGITS, MODELS, installed
from zoo_core import __version__
from zoo_core.cli import COMMANDS, main

ESCAPE = "\x1b[31m\u202e"
VAE = Path(__file__).parent.parent / "plugins" / "vae" / "zoo_vae" / "weights" / "vae-mnist"


@pytest.fixture
def run():
    def invoke(*arguments):
        return CliRunner().invoke(main, list(map(str, arguments)))

    return invoke


def fails_in_one_line(result, *parts, code=1):
    """The contract of every failure: this exit code, nothing on stdout, one line on stderr that holds the parts."""
    assert (result.returncode, result.stdout) == (code, "")
    assert result.stderr.startswith("zoo: ")
    assert result.stderr.count("\n") == 1, result.stderr
    for part in parts:
        assert part in result.stderr
    return True


def registry_file(folder, **fields):
    """A registry of one model, `mine`, on its own."""
    lines = {"architecture": "vae", "summary": "Mine"} | fields
    text = "".join(f"    {key}: {json.dumps(value)}\n" for key, value in lines.items())
    file = folder / "registry.yaml"
    file.write_text(f"version: 1\nmodels:\n  mine:\n{text}", encoding="utf-8")
    return file


# Help, version and wrong usage


def test_help_lists_every_command(run):
    result = run("--help")
    assert result.exit_code == 0
    for name in set(COMMANDS) - {"download"}:
        assert re.search(rf"^  {name} +\S", result.stdout, re.MULTILINE)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(run, name):
    result = run(name, "--help")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"Usage: main {name}")


def test_the_version_is_the_packages(run):
    assert run("--version").stdout == f"zoo, version {__version__}\n"


def test_an_unknown_command_is_wrong_usage_and_a_close_one_is_named(zoo):
    result = zoo("lst")
    assert (result.returncode, result.stdout) == (2, "")
    assert "did you mean list?" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [["list", "--no-such"], ["sample"], ["sample", "dcgan-mnist", "-n", "0"], ["sample", "dcgan-mnist", "-n", "x"], ["train", "vae"],
     ["sample", "dcgan-mnist", "--seed", "-1"], ["sample", "dcgan-mnist", "--precision", "int8"], ["completion", "tcsh"]],
)  # fmt: skip
def test_wrong_usage_exits_with_2(run, arguments):
    assert run(*arguments).exit_code == 2


# Start


@pytest.mark.parametrize(
    "arguments", [["--help"], ["list"], ["list", "--json"], ["info", "dcgan-mnist"], ["registry", "list"],
     pytest.param(["plugins", "list"], marks=pytest.mark.plugins("zoo-dcgan")),
     pytest.param(["pull", "vae-mnist"], marks=pytest.mark.plugins("zoo-vae")),
     pytest.param(["info", str(VAE)], marks=pytest.mark.plugins("zoo-vae"))],
)  # fmt: skip
def test_looking_things_up_imports_nothing_heavy(arguments, tmp_path):
    program = f"""
        import sys
        from zoo_core.cli import main
        code = 0
        try:
            main({arguments!r}, prog_name="zoo")
        except SystemExit as error:
            code = error.code
        heavy = {{"torch", "numpy", "huggingface_hub", "rich", "PIL", "safetensors", "datasets"}} & set(sys.modules)
        print(sorted(heavy), code, file=sys.stderr)
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert result.stderr == "[] 0\n"


def test_help_imports_no_command(tmp_path):
    program = (
        "import sys; from zoo_core.cli import main; main(['--help'], standalone_mode=False);"
        "print([name for name in sys.modules if name.startswith('zoo_core.cli.')], file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert result.stderr == "['zoo_core.cli.group', 'zoo_core.cli.messages']\n"


# zoo list, zoo info, zoo pull


def test_list_shows_each_model_on_a_line_of_its_own(run):
    lines = run("list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(MODELS)
    assert lines[list(MODELS).index("dcgan-mnist")].split()[1:3] == ["dcgan", "1x32x32"]


def test_list_takes_a_glob_and_fields(run):
    def names(*arguments):
        return [line.split()[0] for line in run("list", *arguments).stdout.splitlines()]

    assert names("*gan-mnist") == ["cnn-gan-mnist", "dcgan-mnist", "vanilla-gan-mnist"]
    assert names("--architecture", "cnn_gan") == ["cnn-gan-mnist"]
    assert names("--tag", "vae") == [name for name in MODELS if "vae" in name]
    assert names("--dataset", "mnist", "--license", "apache-2.0") == DIGITS


def test_a_list_of_nothing_is_no_failure_and_says_so_on_stderr(run):
    result = run("list", "zzz*")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "no model matches" in result.stderr
    assert json.loads(run("list", "zzz*", "--json").stdout) == []


def test_list_as_json_holds_every_fact(run):
    models = {entry["name"]: entry for entry in json.loads(run("list", "--json").stdout)}
    assert list(models) == list(MODELS)
    assert models["vae-mnist"]["sample_shape"] == [1, 28, 28]
    for name, plugin in MODELS.items():
        assert models[name]["installed"] is installed(plugin)
        assert json.loads(run("info", name, "--json").stdout) == models[name]


def test_a_pipe_gets_whole_lines_however_narrow_the_terminal_is(zoo):
    result = zoo("list", env=os.environ | {"COLUMNS": "20"})
    assert len(result.stdout.splitlines()) == len(MODELS)
    assert "…" not in result.stdout


@pytest.mark.plugins("zoo-dcgan")
def test_a_model_whose_plugin_is_not_used_is_listed_and_says_why(zoo):
    result = zoo("list", "dcgan-*", env=os.environ | {"ZOO_DISABLE_PLUGINS": "dcgan"})
    assert result.returncode == 0
    assert "[zoo-dcgan is disabled: excluded by ZOO_DISABLE_PLUGINS]" in result.stdout


def test_only_the_cores_own_index_makes_the_command_suggest_an_installation(zoo, tmp_path):
    file = registry_file(tmp_path, architecture="unheard-of", plugin="zoo-evil")
    environment = os.environ | {"ZOO_REGISTRY": str(file)}
    for arguments in (["list", "mine"], ["info", "mine"]):
        result = zoo(*arguments, env=environment)
        assert "zoo-evil" in result.stdout
        assert "pip install" not in result.stdout + result.stderr


def test_info_says_everything(zoo, tmp_path):
    file = registry_file(
        tmp_path,
        aliases=["my-own"],
        license="mit",
        tags=["a", "b"],
        parameters=1234567,
        training={"steps": 2000, "seed": 3, "batch_size": 64, "configuration": "training.yaml"},
        metrics={"fid": {"value": 12.5, "error": 0.25, "dataset": "mnist", "split": "test", "samples": 10000, "seed": 0, "extractor": "lenet"}},
        files={"model.safetensors": {"sha256": "a" * 64, "size": 4096}},
        hub={"repo": "me/mine", "revision": "b" * 40},
    )  # fmt: skip
    lines = zoo("info", "my-own", env=os.environ | {"ZOO_REGISTRY": str(file)}).stdout.splitlines()
    facts = {line[:17].strip(): line[19:] for line in lines}
    assert facts["name"] == "mine"
    assert facts["parameters"] == "1,234,567"
    assert facts["training"] == "2,000 steps of 64, seed 3, from training.yaml"
    assert facts["fid"] == "12.5 ± 0.25 (mnist test, 10,000 samples, seed 0, lenet)"
    assert facts["model.safetensors"] == f"4,096 bytes, sha256 {'a' * 64}"
    assert facts["hub"] == f"me/mine at {'b' * 40}"
    assert facts["folder"] == "not bundled"


def test_an_unknown_model_suggests_close_names(zoo):
    fails_in_one_line(zoo("info", "dcgan-mnst"), "no model named 'dcgan-mnst'", "dcgan-mnist")


def test_what_a_registry_says_cannot_move_the_cursor(zoo, tmp_path):
    file = registry_file(
        tmp_path,
        summary="Mine\u009b2J\u202e and more",
        license="mit\u2066",
        metrics={"fid\u202e": {"value": 1, "dataset": "m\u009bnist"}},
    )
    environment = os.environ | {"ZOO_REGISTRY": str(file)}
    unsafe = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]")
    for arguments in (["list", "mine"], ["info", "mine"], ["info", "mine", "--json"], ["doctor"]):
        result = zoo(*arguments, env=environment)
        assert not unsafe.search(result.stdout + result.stderr), arguments
    result = zoo("info", f"{ESCAPE}no\x07")
    assert fails_in_one_line(result)
    assert not unsafe.search(result.stderr)


@pytest.mark.plugins("zoo-vae", "zoo-dcgan")
def test_pull_prints_absolute_folders_in_the_order_asked(run):
    lines = run("pull", "vae-mnist", "dcgan-mnist").stdout.splitlines()
    assert [Path(line).name for line in lines] == ["vae-mnist", "dcgan-mnist"]
    assert all(Path(line).is_absolute() and Path(line).is_dir() for line in lines)
    assert run("download", "vae-mnist").stdout.splitlines() == lines[:1]


@pytest.fixture
def bundle(run, tmp_path):
    """A copy of a bundled model in a registry of the user's, `mine`, free to be damaged."""
    facts = json.loads(run("info", "vanilla-gan-mnist", "--json").stdout)
    folder = tmp_path / "registry" / "mine"
    shutil.copytree(facts["folder"], folder)
    file = registry_file(folder.parent, architecture="vanilla_gan", bundled="mine", files=facts["files"])
    return file, folder


@pytest.mark.plugins("zoo-vanilla-gan")
def test_a_changed_file_is_refused_before_torch_is_imported(zoo_from_scratch, bundle, tmp_path):
    file, folder = bundle
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    (tmp_path / "torch.py").write_text("raise SystemError('torch was imported')")
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"ZOO_REGISTRY": str(file), "PYTHONPATH": path}
    for arguments in (["pull", "mine"], ["sample", "mine"]):
        fails_in_one_line(zoo_from_scratch(*arguments, env=environment), "model.safetensors", "sha256")
    assert list(tmp_path.glob("*.png")) == []


# zoo registry check


@pytest.mark.plugins("zoo-vanilla-gan")
def test_a_good_registry_is_told_to_be_well(run, bundle):
    file, _ = bundle
    result = run("registry", "check", file)
    assert (result.exit_code, result.stdout) == (0, f"{file}: 1 model, no problems\n")


def test_a_wrong_registry_is_told_with_file_line_and_field(zoo, tmp_path):
    file = registry_file(tmp_path, parameters="many")
    fails_in_one_line(zoo("registry", "check", file), f"{file}, line 6, models.mine.parameters: ")


def test_a_missing_registry_is_told(zoo, tmp_path):
    fails_in_one_line(zoo("registry", "check", tmp_path / "none.yaml"), "none.yaml", "No such file")


@pytest.mark.plugins("zoo-vanilla-gan")
def test_a_bundled_model_that_is_missing_or_damaged_is_told(zoo, bundle):
    file, folder = bundle
    picture = folder / "samples.png"
    picture.write_bytes(bytes(picture.stat().st_size))
    fails_in_one_line(zoo("registry", "check", file), "samples.png", "sha256")
    shutil.rmtree(folder)
    fails_in_one_line(zoo("registry", "check", file), "models.mine.bundled", "there is no folder")


# Plugins

HELLO = """
    import click
    from zoo_core import hookimpl

    @hookimpl
    def zoo_commands(cli):
        @cli.command("hello")
        def hello():
            "Say hello."
            click.echo("hello from a plugin")

        @cli.command("list")
        def steal():
            "Take the core's command."
            click.echo("stolen")

        @cli.command("break")
        def break_it():
            raise RuntimeError("the plugin's own fault\\nin two lines")
"""


def test_a_plugins_command_is_listed_and_runs(zoo, site):
    site.add("zoo-hello", HELLO)
    environment = site.environment()
    assert re.search(r"^  hello +Say hello\.$", zoo("--help", env=environment).stdout, re.MULTILINE)
    assert zoo("hello", env=environment).stdout == "hello from a plugin\n"


def test_a_plugin_cannot_take_a_command_of_the_core(zoo, site):
    site.add("zoo-hello", HELLO)
    environment = site.environment()
    assert "stolen" not in zoo("list", env=environment).stdout
    assert "command list of plugin hello is refused: zoo has it" in zoo("--help", env=environment).stderr


def test_what_a_plugins_command_raises_is_one_line_and_with_debug_a_traceback(zoo, site):
    site.add("zoo-hello", HELLO)
    environment = site.environment()
    result = zoo("break", env=environment)
    assert (result.returncode, result.stdout) == (1, "")
    assert (
        "zoo: RuntimeError: the plugin's own fault in two lines (use zoo --debug COMMAND to see where)" in result.stderr
    )
    assert "Traceback" not in result.stderr
    assert "Traceback" in zoo("--debug", "break", env=environment).stderr


def test_the_commands_of_plugins_are_asked_for_only_when_they_are_needed(zoo, site, tmp_path):
    site.add(
        "zoo-spy",
        f"""
        from pathlib import Path
        from zoo_core import hookimpl

        @hookimpl
        def zoo_commands(cli):
            Path({str(tmp_path / "asked")!r}).touch()
        """,
    )
    environment = site.environment()
    assert zoo("list", env=environment).returncode == 0
    assert not (tmp_path / "asked").exists()
    zoo("--help", env=environment)
    assert (tmp_path / "asked").exists()


@pytest.fixture
def broken(site):
    """An environment with a plugin that fails at import, in colour."""
    site.add("zoo-broken", f"raise RuntimeError({ESCAPE!r} + 'no luck')")
    return site.environment()


def test_a_broken_plugin_costs_one_line_on_stderr_and_nothing_else(zoo, broken):
    result = zoo("list", env=broken)
    assert result.returncode == 0
    assert [line.split()[0] for line in result.stdout.splitlines()] == list(MODELS)
    assert result.stderr == "zoo: plugin broken of zoo-broken is left out: RuntimeError: [31mno luck\n"
    assert json.loads(zoo("list", "--json", env=broken).stdout)


@pytest.mark.plugins("zoo-dcgan")
def test_plugins_list_shows_each_with_its_reason_and_exits_0(zoo, broken):
    result = zoo("plugins", "list", env=broken)
    assert result.returncode == 0
    lines = result.stdout.splitlines()
    present = [name.removeprefix("zoo-").replace("-", "_") for name in BUILT_IN if installed(name)]
    assert [line.split()[0] for line in lines] == ["broken", *present]
    assert lines[0].endswith("left out  RuntimeError: [31mno luck")
    assert lines[1].split()[1:3] == ["zoo-dcgan", "0.1.0"]
    assert lines[1].endswith("ok        dcgan, cnn-gan")


def test_plugins_list_shows_the_traceback_when_asked_and_it_is_harmless(zoo, broken):
    assert "Traceback" not in zoo("plugins", "list", env=broken).stdout
    output = zoo("plugins", "list", "--verbose", env=broken).stdout
    assert "broken of zoo-broken:\nTraceback (most recent call last):\n  File " in output
    assert not set(output) & set(ESCAPE[0] + ESCAPE[-1])


@pytest.mark.plugins("zoo-dcgan")
def test_plugins_list_as_json_holds_the_reason(zoo, broken):
    plugins = {info["entry_point"]: info for info in json.loads(zoo("plugins", "list", "--json", env=broken).stdout)}
    assert plugins["broken"]["status"] == "left out"
    assert "no luck" in plugins["broken"]["problem"]
    assert "Traceback" in plugins["broken"]["traceback"]
    assert plugins["dcgan"]["architectures"] == ["dcgan", "cnn-gan"]


@pytest.mark.plugins("zoo-dcgan")
def test_without_plugins_the_command_still_works(zoo):
    environment = os.environ | {"ZOO_DISABLE_PLUGINS": "all"}
    assert zoo("list", env=environment).returncode == 0
    assert zoo("plugins", "list", env=environment).stdout.count("disabled") == sum(map(installed, BUILT_IN))
    fails_in_one_line(zoo("sample", "dcgan-mnist", env=environment), "zoo-dcgan", "disabled")


# zoo doctor


@pytest.mark.plugins("zoo-dcgan")
def test_doctor_finds_nothing_wrong_here(zoo):
    result = zoo("doctor")
    assert result.returncode == 0, result.stdout
    assert result.stdout.endswith("no problems\n")
    assert "\n  dcgan-mnist              verified\n" in result.stdout


@pytest.mark.plugins("zoo-vanilla-gan")
def test_doctor_names_what_is_wrong_and_how_to_mend_it(zoo, broken, bundle):
    file, folder = bundle
    (folder / "model.safetensors").unlink()
    result = zoo("doctor", env=broken | {"ZOO_REGISTRY": str(file)})
    assert result.returncode == 1
    problems = [line for line in result.stdout.splitlines() if line.startswith("problem: ")]
    assert len(problems) == 2
    assert "plugin broken of zoo-broken is left out" in problems[0]
    assert problems[0].endswith("upgrade or uninstall it")
    assert "model.safetensors: is missing" in problems[1]
    assert result.stdout.endswith("2 problems\n")


def test_doctor_tells_of_a_registry_that_cannot_be_read(zoo, site, tmp_path):
    site.add("zoo-plugin", "")  # no plugin at all would be another problem
    file = registry_file(tmp_path, parameters="many")
    result = zoo("doctor", "--json", env=site.environment(ZOO_REGISTRY=str(file)))
    assert result.returncode == 1
    found = json.loads(result.stdout)
    assert found["registries"][str(file)] == "cannot be read"
    assert len(found["problems"]) == 1
    assert "line 6" in found["problems"][0]


def test_doctor_shows_no_secret(zoo):
    result = zoo("doctor", env=os.environ | {"HF_TOKEN": "hf_very_secret"})
    assert "hf_very_secret" not in result.stdout + result.stderr


# Completion


def completed(zoo, *words, shell="bash"):
    environment = os.environ | {
        "_ZOO_COMPLETE": f"{shell}_complete",
        "COMP_WORDS": " ".join(("zoo", *words)),
        "COMP_CWORD": str(len(words)),
    }
    program = "from zoo_core.cli import main; main(prog_name='zoo')"
    result = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False
    )
    assert result.stderr == ""
    return result.stdout.split()


@pytest.mark.plugins("zoo-dcgan")
def test_a_shell_completes_commands_models_and_architectures(zoo):
    assert completed(zoo, "d") == ["plain,doctor"]
    models = [name for name in MODELS if name.startswith("v")]
    assert completed(zoo, "info", "v") == [f"plain,{name}" for name in models]
    assert completed(zoo, "train", "cn") == ["plain,cnn-gan"]
    assert completed(zoo, "sample", "./runs") == ["dir,./runs"]
    assert completed(zoo, "sample", "dcgan-emoji-64", "--label", "f") == ["plain,Flags", "plain,Food"]
    assert completed(zoo, "sample", "dcgan-emoji-64", "--label", "flags,f") == ["plain,flags,Food"]
    assert completed(zoo, "sample", "dcgan-mnist", "--label", "") == []


@pytest.mark.parametrize("words", [("check",), ("uninstall", "-y", "zoo-other")])
def test_a_shell_completes_plugins_by_each_of_their_names(zoo, site, monkeypatch, words):
    """Those that cannot be used too: they are what one checks and uninstalls."""
    site.add("zoo-quartz", "raise RuntimeError('no luck')")
    site.add(
        "zoo-quarrel",
        f"""
        from zoo_core import Architecture, hookimpl

        @hookimpl
        def zoo_architectures():
            names = ("quarrel", "quarrel-flow")  # one is the plugin's own name, which completes once
            return [Architecture(name=name, generator="a:B", config="a:C", summary="{ESCAPE}") for name in names]
    """,
    )
    monkeypatch.setenv("PYTHONPATH", site.environment()["PYTHONPATH"])
    assert completed(zoo, "plugins", *words, "quar") == ["plain,quarrel", "plain,quarrel-flow", "plain,quartz"]
    assert completed(zoo, "plugins", *words, "zoo-quar") == ["plain,zoo-quarrel", "plain,zoo-quartz"]
    assert completed(zoo, "plugins", *words, "nosuch") == []


def test_a_name_with_escapes_is_not_completed(zoo, site, monkeypatch):
    site.add("zoo-quartz", "")
    (metadata,) = site.folder.glob("*.dist-info")
    text = f"[zoo.plugins]\nquartz = zoo_quartz\nquartz{ESCAPE} = zoo_quartz\n"
    (metadata / "entry_points.txt").write_text(text, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", site.environment()["PYTHONPATH"])
    assert completed(zoo, "plugins", "check", "quartz") == ["plain,quartz"]


def test_completing_names_does_not_import_torch(zoo):
    program = """
        import os, sys
        from zoo_core.cli import main
        for words in ("zoo info ", "zoo train ", "zoo plugins check ", "zoo plugins uninstall ",
                      "zoo sample dcgan-emoji-64 --label "):
            os.environ |= {"_ZOO_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
            try:
                main(prog_name="zoo")
            except SystemExit:
                print(words, "torch" in sys.modules, file=sys.stderr)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True)
    assert [line.split()[-1] for line in done.stderr.splitlines()] == ["False"] * 5


def test_completion_keeps_silent_about_problems(zoo, site, monkeypatch):
    site.add("zoo-broken", "raise RuntimeError('no luck')")
    monkeypatch.setenv("PYTHONPATH", site.environment()["PYTHONPATH"])
    assert "plain,list" in completed(zoo, "")
    monkeypatch.setenv("ZOO_REGISTRY", "/no/such/registry.yaml")
    assert completed(zoo, "info", "v") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_script_says_how_it_is_installed(run, shell):
    script = run("completion", shell).stdout
    assert f"zoo completion {shell}" in script.splitlines()[0]
    assert "_ZOO_COMPLETE" in script


# Pipes, signals and full disks


def test_a_reader_that_goes_away_is_no_noise(tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed:
        result = subprocess.run(
            [sys.executable, "-m", "zoo_core", "list"], stdout=closed, stderr=subprocess.PIPE, cwd=tmp_path, check=False
        )
    assert result.stderr == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_one_line(zoo_from_scratch):
    with Path("/dev/full").open("w") as full:
        result = zoo_from_scratch("list", stdout=full, stderr=subprocess.PIPE, capture_output=False)
    assert (result.returncode, result.stderr) == (1, "zoo: No space left on device\n")


def test_a_terminal_that_lacks_a_letter_still_gets_the_rest(zoo, tmp_path):
    file = registry_file(tmp_path, summary="Visages appris à 64 × 64")
    result = zoo("list", "mine", env=os.environ | {"ZOO_REGISTRY": str(file), "PYTHONIOENCODING": "iso8859-5"})
    assert result.returncode == 0
    assert "Visages appris ? 64 ? 64" in result.stdout


def test_a_registry_of_the_users_that_cannot_be_read_is_one_line(zoo, tmp_path):
    (tmp_path / "folder").mkdir()
    environment = os.environ | {"ZOO_REGISTRY": str(tmp_path / "folder")}
    fails_in_one_line(zoo("list", env=environment), str(tmp_path / "folder"))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pseudo-terminals")
def test_a_terminal_gets_lines_cut_to_its_width(tmp_path):
    import pty

    reader, writer = pty.openpty()
    environment = os.environ | {"COLUMNS": "40"}
    subprocess.run([sys.executable, "-m", "zoo_core", "list"], stdout=writer, env=environment, cwd=tmp_path, check=True)
    os.close(writer)
    lines = os.read(reader, 65536).decode().splitlines()
    os.close(reader)
    assert [line.split()[0] for line in lines] == list(MODELS)
    assert {len(line) for line in lines} == {40}
    assert all(line.endswith("…") for line in lines)
