"""Which files go to LFS and which are ignored: .gitattributes and .gitignore, as far as model repositories use them."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

PATTERNS = """
*.7z *.arrow *.bin *.bz2 *.ckpt *.ftz *.gz *.h5 *.joblib *.lfs.* *.mlmodel *.model *.msgpack *.npy *.npz *.onnx *.ot
*.parquet *.pb *.pickle *.pkl *.pt *.pth *.rar *.safetensors saved_model/**/* *.tar.* *.tar *.tflite *.tgz *.wasm *.xz
*.zip *.zst *tfevents*
""".split()  # noqa: SIM905 - words read best as words
DEFAULT = "".join(f"{pattern} filter=lfs diff=lfs merge=lfs -text\n" for pattern in PATTERNS).encode()


def is_lfs(path: str, size: int, sample: bytes, attributes: str, above: int) -> bool:
    """By pattern, by size, or because it is binary. An empty file never is."""
    patterns = [words[0] for line in attributes.splitlines() if "filter=lfs" in (words := line.split())]
    return size > 0 and (size >= above or b"\0" in sample or any(_matches(path, pattern) for pattern in patterns))


def is_ignored(path: str, rules: str) -> bool:
    """The last rule that matches decides; `!` takes a file back in; a rule for a folder covers what is in it."""
    ignored = False
    for rule in (line.strip() for line in rules.splitlines()):
        if rule and not rule.startswith("#"):
            keep, pattern = rule.startswith("!"), rule.removeprefix("!").rstrip("/")
            if any(_matches(part, pattern) for part in _with_parents(path)):
                ignored = not keep
    return ignored


def _matches(path: str, pattern: str) -> bool:
    """A pattern with a slash speaks of the whole path, one without of the last name."""
    subject = path if "/" in pattern else path.rpartition("/")[2]
    return fnmatchcase(subject, pattern.lstrip("/").replace("**/*", "*"))


def _with_parents(path: str) -> Iterable[str]:
    parts = path.split("/")
    return ("/".join(parts[: n + 1]) for n in range(len(parts)))
