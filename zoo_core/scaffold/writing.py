"""Files of a new plugin, a complete distribution that passes its own tests, rendered from the templates beside it.

jinja2 renders them. torch depends on it, so that it is installed with zoo-core anyway.
"""

from __future__ import annotations

import datetime
import importlib.util
import keyword
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from zoo_core.errors import OutputError, PluginError, printable
from zoo_core.files.atomic import atomic_folder
from zoo_core.files.paths import user_path
from zoo_core.interfaces.names import canonical_name
from zoo_core.plugins import manager

Kind = Literal["gan", "vae", "generator", "model"]
Sample = Literal["image", "audio", "text", "tensor"]
License = Literal["Apache-2.0", "BSD-3-Clause", "MIT"]
KINDS: tuple[Kind, ...] = get_args(Kind)
SAMPLES: tuple[Sample, ...] = get_args(Sample)
# Codes of texts have no gradient, which a discriminator would need, nor have they a mean, which a decoder returns. That
# of sounds is silence, since waves of other phases cancel each other.
SAMPLES_OF: Mapping[Kind, tuple[Sample, ...]] = {
    "gan": ("image", "audio", "tensor"),
    "vae": ("image", "tensor"),
    "generator": SAMPLES,
    "model": SAMPLES,
}
LICENSES: tuple[License, ...] = get_args(License)

_NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
_LONGEST_NAME = 64
_PREFIX = "zoo-"  # of a distribution's name; the name of its architecture leaves it out
# Written in capitals in the names of classes.
_ABBREVIATIONS = {"gan", "vae", "cnn", "dcgan", "wgan", "mlp", "nvp"}
_SUMMARIES: Mapping[Kind, str] = {
    "gan": "A generative adversarial network",
    "vae": "A variational autoencoder",
    "generator": "A generator",
    "model": "A flow-matching model",
}


@dataclass(frozen=True)
class _OfSample:
    """What the README of a plugin says about its samples.

    Attributes:
        noun: what they are called.
        data: the name of training data in its commands.
        about_data: what that is.
        suffix: of a file of samples.
    """

    noun: str
    data: str
    about_data: str
    suffix: str


_OF_SAMPLE: Mapping[Sample, _OfSample] = {
    "image": _OfSample(
        "pictures",
        "pictures",
        "`pictures` is a folder of pictures; the model takes their size, up to a multiple of 4, and their channels.",
        ".png",
    ),
    "audio": _OfSample(
        "sounds",
        "sounds",
        "`sounds` is a folder of short sounds; the model takes their sample rate, their channels and their length.",
        ".wav",
    ),
    "text": _OfSample(
        "texts",
        "words.txt",
        "`words.txt` has one text a line; the model takes their characters and their length.",
        ".txt",
    ),
    "tensor": _OfSample(
        "points",
        "points.csv",
        "`points.csv` has one vector a row, with values of about unit variance; the model takes their count.",
        ".npz",
    ),
}


@dataclass(frozen=True, kw_only=True)
class Scaffold:
    """The choices for a new plugin.

    Args:
        name: name of the distribution: lower-case words joined by `-` or `_`. The architecture has the same name,
            without a leading `zoo-`.
        kind: "gan" (two networks and the shared GAN step), "vae" (an Encoder), "generator" (no trainer) or "model" (one
            network with a loss of its own: flow matching, or the likelihood of texts).
        sample: what samples are: "image", "audio", "text" or "tensor" (vectors). `SAMPLES_OF` has those of each kind.
        license: SPDX identifier of the licence.

    Raises:
        PluginError: for a name in another form, or samples that a kind does not make.

    Example:
        >>> scaffold = Scaffold(name="zoo-my-gan")
        >>> scaffold.module, scaffold.short, scaffold.prefix
        ('zoo_my_gan', 'my-gan', 'MyGAN')
        >>> Scaffold(name="My GAN")
        Traceback (most recent call last):
        zoo_core.errors.PluginError: 'My GAN' is no name for a plugin: ...
        >>> Scaffold(name="my-gan", sample="text")
        Traceback (most recent call last):
        zoo_core.errors.PluginError: a plugin of kind gan has no samples of kind text: choose image, ...
    """

    name: str
    kind: Kind = "gan"
    sample: Sample = "image"
    license: License = "Apache-2.0"

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or len(self.name) > _LONGEST_NAME:
            raise PluginError(
                f"{printable(self.name, 80)!r} is no name for a plugin: write lower-case words of letters and digits "
                f"joined by -, as my-gan, {_LONGEST_NAME} characters at most"
            )
        if keyword.iskeyword(self.module):
            raise PluginError(
                f"{self.name!r} is no name for a plugin: {self.module} is a keyword of Python; choose another"
            )
        if self.sample not in SAMPLES_OF[self.kind]:
            others = [kind for kind, samples in SAMPLES_OF.items() if self.sample in samples]
            raise PluginError(
                f"a plugin of kind {self.kind} has no samples of kind {self.sample}: choose "
                f"{_either(SAMPLES_OF[self.kind])}, or the kind {_either(others)}"
            )

    @property
    def module(self) -> str:
        """The name of the package, as it is imported."""
        return self.name.replace("-", "_")

    @property
    def short(self) -> str:
        """The name of the architecture and of the entry point."""
        return self.name.replace("_", "-").removeprefix(_PREFIX) or self.name

    @property
    def prefix(self) -> str:
        """What the names of its classes start with."""
        words = self.short.split("-")
        return "".join(word.upper() if word in _ABBREVIATIONS else word.capitalize() for word in words)

    def files(self) -> dict[str, str]:
        """Return the text of every file, by its path in the distribution.

        Example:
            >>> sorted(Scaffold(name="my-flow", kind="generator").files())[-3:]
            ['my_flow/py.typed', 'pyproject.toml', 'tests/test_my_flow.py']
        """
        import jinja2

        environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates"), encoding="utf-8"),
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            autoescape=False,
        )
        facts = self._facts()
        return {
            target: environment.get_template(f"{template}.jinja").render(facts)
            for target, template in self._templates().items()
        }

    def _templates(self) -> dict[str, str]:
        templates = {
            "pyproject.toml": "pyproject.toml",
            "README.md": "README.md",
            "LICENSE": f"licenses/{self.license}",
            ".gitignore": "gitignore",
            ".github/workflows/ci.yml": "ci.yml",
            f"{self.module}/__init__.py": "init.py",
            f"{self.module}/py.typed": "py.typed",
            f"{self.module}/model.py": f"model_{self._network}.py",
            f"tests/test_{self.short.replace('-', '_')}.py": "test.py",
        }
        if self.kind != "generator":
            templates[f"{self.module}/trainer.py"] = f"trainer_{self._network}.py"
        return templates

    @property
    def _network(self) -> str:
        """What the templates of the model and the trainer are called."""
        if self.kind != "model":
            return self.kind
        return "characters" if self.sample == "text" else "flow"

    @property
    def _measures(self) -> str | None:
        """The option that chooses what `zoo eval` measures; empty for what it measures by itself, None for nothing."""
        if self.kind == "vae":
            return " --metric elbo,iwae"
        if self.sample == "tensor" and self.kind == "gan":
            return None
        return ""

    def _facts(self) -> dict[str, object]:
        about = _OF_SAMPLE[self.sample]
        summary = "A character model" if self._network == "characters" else _SUMMARIES[self.kind]
        return {
            "distribution": self.name,
            "module": self.module,
            "short": self.short,
            "short_module": self.short.replace("-", "_"),
            "prefix": self.prefix,
            "title": self.short,
            "summary": f"{summary} on {about.noun}",
            "kind": self.kind,
            "sample": self.sample,
            "trained": self.kind != "generator",
            "data": about.data,
            "about_data": about.about_data,
            "suffix": about.suffix,
            "measures": self._measures,
            "license": self.license,
            "year": datetime.date.today().year,
        }


def write(scaffold: Scaffold, parent: str | Path) -> Path:
    """Write the distribution to a new folder in `parent`, which appears complete or not at all.

    Returns:
        The folder, named as the distribution.

    Raises:
        OutputError: if the folder exists, or cannot be written.
        PluginError: for the name of an installed module or architecture.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write(Scaffold(name="my-gan"), Path(folder)).name
        'my-gan'
    """
    target = user_path(parent) / scaffold.name
    if target.exists() or target.is_symlink():
        raise OutputError(f"{printable(target)} is there already; choose another name, or move it away")
    _refuse_taken(scaffold)
    files = scaffold.files()
    with atomic_folder(target) as folder:
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8", newline="\n")
    return target


def _refuse_taken(scaffold: Scaffold) -> None:
    """Raise PluginError if the plugin would hide a module, or its architecture would be ignored."""
    if scaffold.module in sys.stdlib_module_names or _is_importable(scaffold.module):
        raise PluginError(
            f"{scaffold.module!r} is an installed module, which the plugin would hide; choose another name"
        )
    owner = manager().owner_of_name(scaffold.short)
    if owner is not None and canonical_name(owner) != canonical_name(scaffold.name):
        raise PluginError(f"the architecture {scaffold.short!r} belongs to {printable(owner, 80)}; choose another name")


def _either(words: Sequence[str]) -> str:
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _is_importable(module: str) -> bool:
    """Return whether a module exists, apart from folders without __init__.py, which hide nothing."""
    spec = importlib.util.find_spec(module)
    return spec is not None and spec.origin is not None
