"""`zoo plugins new` writes a plugin that passes its own tests, whole or not at all, in the shape of plugins/dcgan."""

import ast
import os
import re
import subprocess
import sys
import textwrap
import tomllib
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests import forkserver
from tests.conftest import Site, without_coverage
from tests.test_cli import fails_in_one_line
from zoo_core.cli.plugins import scaffolding
from zoo_core.errors import PluginError
from zoo_core.scaffold import KINDS, LICENSES, SAMPLES, SAMPLES_OF, Scaffold, write

ROOT = Path(__file__).parent.parent
DATA = ROOT / "tests" / "data"
VARIANTS = {f"my-{kind}-{sample}": (kind, sample) for kind in KINDS for sample in SAMPLES_OF[kind]}
TRAINED = [name for name, (kind, _) in VARIANTS.items() if kind != "generator"]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """One folder with a plugin of every kind, and the environment of a process that has them installed."""
    folder = tmp_path_factory.mktemp("scaffold")
    paths = []
    for name, (kind, sample) in VARIANTS.items():
        target = write(Scaffold(name=name, kind=kind, sample=sample), folder)
        Site(target).register(name)
        paths.append(str(target))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "ZOO_CACHE": str(folder / "cache")}
    return folder, environment


@pytest.mark.slow
def test_every_kind_of_plugin_passes_its_own_tests_and_zoo_plugins_check(written):
    folder, environment = written
    options = {"cwd": folder, "env": environment}
    tested = forkserver.run("-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", ".", **options)
    assert tested.returncode == 0, tested.stdout
    for name in VARIANTS:
        assert f"PASSED {name}/tests/test_{name.replace('-', '_')}.py" in tested.stdout
    checked = forkserver.run("-m", "zoo_core", "plugins", "check", **options)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize(
    "name", [name if name == "my-model-text" else pytest.param(name, marks=pytest.mark.slow) for name in TRAINED]
)
def test_the_commands_of_its_readme_train_it_sample_it_and_measure_it(written, zoo, name, tmp_path):
    """As they stand, on small data and in few steps."""
    sample = VARIANTS[name][1]
    bring_data(tmp_path)
    commands = re.findall(r"^zoo ((?:train|sample|eval) .*)$", readme(written, name), re.MULTILINE)
    measured = ["eval"] if name != "my-gan-tensor" else []  # points of a GAN have neither features nor a likelihood
    assert [command.split()[0] for command in commands][: 2 + len(measured)] == ["train", "sample", *measured]
    for command in commands:
        arguments = command.split()
        if arguments[0] == "train":
            arguments += ["--steps", 2, "--set", "batch_size=16", "--set", "model.width=4"]
        elif arguments[0] == "eval":
            arguments += ["-n", 20]
        done = zoo(*arguments, env=written[1])
        assert done.returncode == 0, done.stderr
    default = {"image": "first.png", "audio": "first.wav", "text": "first.txt", "tensor": "first.npz"}[sample]
    assert zoo("sample", "./runs/first", "-n", 3, env=written[1]).stdout == f"{default}\n"
    assert (tmp_path / f"samples{Path(default).suffix}").stat().st_size > 0


def bring_data(folder):
    """Put the data of which a README speaks into a folder: pictures, sounds, words.txt and points.csv."""
    (folder / "pictures").symlink_to(DATA / "mnist")
    (folder / "sounds").symlink_to(DATA / "spoken_digits")
    (folder / "words.txt").write_text("".join(f"{word}\n" for word in ("one", "seven", "eleven") * 30))
    (folder / "points.csv").write_text("x,y\n" + "".join(f"{i % 7},{i % 3}\n" for i in range(100)))  # whole numbers


def readme(written, name):
    return (written[0] / name / "README.md").read_text()


@pytest.mark.parametrize("name", [name for name in VARIANTS if name not in TRAINED])
def test_the_python_of_its_readme_runs(written, name, tmp_path):
    (code,) = re.findall(r"^```python\n(.*?)^```", readme(written, name), re.DOTALL | re.MULTILINE)
    done = forkserver.run("-c", code, cwd=tmp_path, env=written[1])
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.rglob("model.safetensors"))


@pytest.mark.parametrize("name", VARIANTS)
def test_its_architecture_states_what_samples_are(written, name):
    """So that it is known before torch is imported."""
    assert f'kind="{VARIANTS[name][1]}"' in (written[0] / name / name.replace("-", "_") / "__init__.py").read_text()


def test_what_is_written_is_formatted_and_without_a_finding(written):
    for arguments in (["format", "--check"], ["check"]):
        command = ["ruff", *arguments, "--no-cache", *VARIANTS]
        done = subprocess.run(command, cwd=written[0], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_the_likelihood_of_a_flow_is_a_density(written):
    """It sums to 1 over the plane, and is that of the samples: as many lie in a half-plane as it says."""
    program = """
        import torch
        from my_model_tensor.model import MyModelTensorConfig, MyModelTensorGenerator
        torch.manual_seed(0)
        flow = MyModelTensorGenerator(MyModelTensorConfig(width=16)).requires_grad_(False)
        flow.network[-1].weight.mul_(8)
        side = torch.linspace(-8, 8, 161)
        plane = torch.cartesian_prod(side, side)
        density = flow.log_prob(plane).exp() * (side[1] - side[0]) ** 2
        drawn = flow.sample(20_000)
        print(density.sum().item(), density[plane[:, 0] > 0.5].sum().item(), (drawn[:, 0] > 0.5).float().mean().item())
    """
    done = forkserver.run("-c", textwrap.dedent(program), cwd=written[0], env=written[1])
    assert done.returncode == 0, done.stderr
    whole, stated, drawn = map(float, done.stdout.split())
    assert whole == pytest.approx(1, abs=0.01)
    assert 0.2 < stated < 0.8
    assert drawn == pytest.approx(stated, abs=0.02)


@pytest.mark.slow
def test_texts_of_a_character_model_are_drawn_as_often_as_their_likelihood_says(written):
    program = """
        import itertools, torch
        from my_model_text.model import MyModelTextConfig, MyModelTextGenerator
        torch.manual_seed(0)
        model = MyModelTextGenerator(MyModelTextConfig(alphabet="ab", length=3, width=8)).requires_grad_(False)
        model.output.weight.mul_(4)
        texts = [
            [*codes, *[0] * (3 - len(codes))]
            for count in range(4) for codes in itertools.product((1, 2), repeat=count)
        ]
        texts = torch.tensor(texts)
        drawn = (model.sample(20_000)[:, None] == texts).all(2).float().mean(0)
        stated = model.log_prob(texts).exp()
        print(stated.sum().item(), (drawn - stated).abs().max().item(), stated.max().item())
    """
    done = forkserver.run("-c", textwrap.dedent(program), cwd=written[0], env=written[1])
    assert done.returncode == 0, done.stderr
    whole, furthest, likeliest = map(float, done.stdout.split())
    assert whole == pytest.approx(1, abs=1e-5)
    assert furthest < 0.02 < likeliest


@pytest.mark.slow
def test_what_is_written_has_sound_types(written):
    command = ["mypy", "--strict", "--no-incremental", "--config-file", os.devnull]
    packages = [argument for name in VARIANTS for argument in ("-p", name.replace("-", "_"))]
    environment = written[1] | {"MYPYPATH": written[1]["PYTHONPATH"]}
    done = subprocess.run(
        [*command, *packages], cwd=written[0], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("kind", "sample", "choose"),
    [
        ("gan", "text", "image, audio or tensor, or the kind generator or model"),
        ("vae", "text", "image or tensor, or the kind generator or model"),
        ("vae", "audio", "image or tensor, or the kind gan, generator or model"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_line_that_names_what_does(zoo, tmp_path, kind, sample, choose):
    refused = zoo("plugins", "new", "my-own", "--kind", kind, "--sample", sample)
    assert fails_in_one_line(refused, f"a plugin of kind {kind} has no samples of kind {sample}: choose {choose}")
    assert list(tmp_path.iterdir()) == []


def test_a_plugin_has_the_shape_of_dcgan():
    """The files, the packaging, the hooks and the trainer of plugins/dcgan, weights and its second model apart."""
    files = Scaffold(name="zoo-dcgan").files()
    dcgan = ROOT / "plugins" / "dcgan"
    listed = subprocess.run(["git", "ls-files"], cwd=dcgan, capture_output=True, text=True, check=True).stdout.split()
    own = {"zoo_dcgan/registry.yaml", "zoo_dcgan/cnn_gan.py", "NOTICE"}
    shared = {name for name in listed if "/weights/" not in name} - own
    assert files.keys() == shared | {".gitignore", ".github/workflows/ci.yml"}
    of_scaffold = tomllib.loads(files["pyproject.toml"])
    of_dcgan = tomllib.loads((dcgan / "pyproject.toml").read_text())
    assert set(of_scaffold["project"].pop("classifiers")) <= set(of_dcgan["project"].pop("classifiers"))
    assert set(of_scaffold["project"].pop("license-files")) <= set(of_dcgan["project"].pop("license-files"))
    for name in ("description", "version"):
        assert of_scaffold["project"].pop(name)
    for name in ("description", "version", "authors", "urls"):
        assert of_dcgan["project"].pop(name)
    assert of_scaffold == of_dcgan
    assert files["LICENSE"] == (dcgan / "LICENSE").read_text()
    for name in ("zoo_dcgan/__init__.py", "zoo_dcgan/trainer.py", "zoo_dcgan/model.py"):
        missing = outline(files[name]) - outline((dcgan / name).read_text())
        assert not missing, f"{name} of the scaffold has {missing}, and plugins/dcgan has not"


def outline(source):
    """Classes with their bases and methods, functions with their decorators, and the keywords of an Architecture."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef):
            found.add((role(node.name), *(role(ast.unparse(base)) for base in node.bases)))
            found |= {(role(node.name), part.name) for part in node.body if isinstance(part, ast.FunctionDef)}
        elif isinstance(node, ast.FunctionDef):
            found.add((node.name, *map(ast.unparse, node.decorator_list)))
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "Architecture":
            found |= {("Architecture", keyword.arg) for keyword in node.keywords}
    return found


def role(name):
    """DCGANGenerator and MyGANGenerator have one role."""
    return next(
        (role for role in ("Config", "Generator", "Discriminator", "GANTrainer", "Trainer") if name.endswith(role)),
        name,
    )


def test_nothing_is_asked_where_there_is_no_terminal(zoo, tmp_path):
    result = zoo("plugins", "new", "my-gan", stdin=subprocess.DEVNULL)
    assert (result.returncode, result.stdout) == (0, f"{tmp_path / 'my-gan'}\n")
    assert result.stderr == "zoo: next: pip install -e ./my-gan pytest && python -m pytest ./my-gan\n"
    assert (tmp_path / "my-gan" / "pyproject.toml").is_file()
    assert "class MyGANDiscriminator" in (tmp_path / "my-gan" / "my_gan" / "model.py").read_text()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pseudo-terminals")
def test_on_a_terminal_what_was_not_given_is_asked(tmp_path):
    import pty

    ours, theirs = pty.openpty()
    os.write(ours, b"vae\ntext\ntensor\n")  # texts are asked about again: a vae has none
    command = [sys.executable, "-m", "zoo_core", "plugins", "new", "my-vae", "--license", "mit"]
    done = subprocess.run(command, cwd=tmp_path, stdin=theirs, stderr=theirs, stdout=subprocess.PIPE, check=False)
    assert (done.returncode, done.stdout.decode()) == (0, f"{tmp_path / 'my-vae'}\n")
    model = (tmp_path / "my-vae" / "my_vae" / "model.py").read_text()
    assert "(Generator, Encoder)" in model
    assert 'kind = "tensor"' in model
    assert (tmp_path / "my-vae" / "LICENSE").read_text().startswith("MIT License")


@pytest.mark.parametrize(
    ("options", "module", "kind"),
    [
        (["--image"], "GANTrainer", 'kind="image"'),
        (["--no-image"], "GANTrainer", 'kind="tensor"'),
        (["--no-image", "--sample", "tensor"], "GANTrainer", 'kind="tensor"'),
        (["--sample", "audio"], "GANTrainer", 'kind="audio"'),
        (["--sample", "text"], "is_written", 'kind="text"'),  # no GAN has texts: it is the model
    ],
)
def test_what_samples_are_is_one_choice(options, module, kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(scaffolding.command, ["my-own", *options])
    assert done.exit_code == 0, done.output
    package = tmp_path / "my-own" / "my_own"
    assert module in (package / "trainer.py").read_text()
    assert kind in (package / "__init__.py").read_text()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--image", "--sample", "tensor"], "--image means --sample image, and --sample tensor is given"),
        (["--no-image", "--sample", "audio"], "--no-image means --sample tensor, and --sample audio is given"),
    ],
)
def test_two_choices_that_contradict_each_other_are_wrong_usage(options, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(scaffolding.command, ["my-own", *options])
    assert (done.exit_code, words in done.stderr) == (2, True)
    assert list(tmp_path.iterdir()) == []


def test_a_leading_zoo_is_not_part_of_the_architectures_name():
    files = Scaffold(name="zoo-real_nvp").files()
    assert 'name="real-nvp"' in files["zoo_real_nvp/__init__.py"]
    assert "class RealNVPGenerator" in files["zoo_real_nvp/model.py"]
    assert 'real-nvp = "zoo_real_nvp"' in files["pyproject.toml"]


@pytest.mark.parametrize("license", LICENSES)
def test_the_licence_is_the_one_that_was_chosen(license):
    files = Scaffold(name="my-gan", license=license).files()
    assert tomllib.loads(files["pyproject.toml"])["project"]["license"] == license
    assert {"Apache-2.0": "Apache License", "MIT": "MIT License", "BSD-3-Clause": "BSD 3-Clause"}[license] in files[
        "LICENSE"
    ]


@pytest.mark.parametrize(
    "name", ["My-gan", "my gan", "../gan", "gan/", "1gan", "my--gan", "gan-", "", "gän", "x" * 65, "class"]
)
def test_a_bad_name_is_refused(name):
    with pytest.raises(PluginError, match="is no name for a plugin"):
        Scaffold(name=name)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("json", "'json' is an installed module"),
        pytest.param("zoo-vae", "'zoo_vae' is an installed module", marks=pytest.mark.plugins("zoo-vae")),
        ("zoo-core", "'zoo_core' is an installed module"),
        ("dcgan", "the architecture 'dcgan' belongs to zoo-dcgan"),
        ("My Gan", "is no name for a plugin"),
    ],
)
def test_what_cannot_be_a_plugin_is_one_line_and_leaves_nothing(zoo, tmp_path, name, words):
    assert fails_in_one_line(zoo("plugins", "new", name), words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch, lambda path: path.symlink_to("nowhere")])
def test_what_is_there_already_is_left_alone(zoo, tmp_path, make):
    make(tmp_path / "my-gan")
    before = (tmp_path / "my-gan").lstat()
    assert fails_in_one_line(zoo("plugins", "new", "my-gan"), "is there already; choose another name")
    after = (tmp_path / "my-gan").lstat()
    assert (after.st_ino, after.st_mode, after.st_mtime_ns) == (before.st_ino, before.st_mode, before.st_mtime_ns)
    assert [path.name for path in tmp_path.iterdir()] == ["my-gan"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no limits of resources")
def test_a_disk_that_is_full_leaves_nothing_half_written(tmp_path):
    program = """
        import resource, sys
        from zoo_core.cli import main
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))  # a licence is longer
        main(["plugins", "new", "my-gan"], prog_name="zoo")
    """
    command = [sys.executable, "-B", "-c", textwrap.dedent(program)]
    environment = without_coverage(os.environ)
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert fails_in_one_line(done, "my-gan cannot be written: File too large")
    assert list(tmp_path.iterdir()) == []


def test_writing_a_plugin_imports_no_torch(tmp_path):
    program = "import sys; from zoo_core.cli import main; main(['plugins', 'new', 'my-gan'], standalone_mode=False); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"


def test_the_commands_choices_are_those_of_the_scaffold():
    assert scaffolding.SAMPLES == SAMPLES
    assert SAMPLES_OF == scaffolding.SAMPLES_OF
    assert tuple(SAMPLES_OF) == KINDS
    assert scaffolding.LICENSES == LICENSES
    fields = Scaffold(name="my-gan")
    assert {"kind": fields.kind, "sample": fields.sample, "license": fields.license} == scaffolding.DEFAULTS


def test_the_templates_are_in_the_wheel(tmp_path):
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    templates = {
        str(path.relative_to(ROOT)) for path in (ROOT / "zoo_core" / "scaffold" / "templates").rglob("*.jinja")
    }
    assert templates
    assert templates <= set(zipfile.ZipFile(wheel).namelist())
