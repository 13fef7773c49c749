"""Signs of life on a terminal: a bar by time, which moves while a single batch is computed; nothing in a pipe."""

from __future__ import annotations

import io
import os
import sys
import threading

import numpy as np
import pytest
from PIL import Image

from tests.builtin import architecture
from zoo_core.cli import main, working
from zoo_core.cli.progress import hub_job

pty = pytest.importorskip("pty", reason="Windows has no pseudo-terminals")
PATIENCE = 60  # seconds until a test that waits for a bar has failed


class Screen:
    """The other end of a terminal: what has been written to it so far."""

    def __init__(self, descriptor: int, stream: io.TextIOWrapper) -> None:
        self.text = ""
        self.stream = stream
        self._descriptor = descriptor
        self._changed = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while True:
            try:
                arrived = os.read(self._descriptor, 4096)
            except OSError:  # the terminal was closed
                return
            with self._changed:
                self.text += arrived.decode(errors="replace")
                self._changed.notify_all()

    def wait_for(self, *parts: str) -> bool:
        """Whether all of these appear, from now on or before."""
        with self._changed:
            return self._changed.wait_for(lambda: all(part in self.text for part in parts), PATIENCE)

    def ends_without_a_bar(self) -> bool:
        """Whether the line with the bar has been erased."""
        with self._changed:
            return self._changed.wait_for(lambda: self.text.endswith("\x1b[2K"), PATIENCE)


@pytest.fixture
def screen(monkeypatch):
    """A terminal, on which bars appear at once. A test makes it stderr itself: pytest sets that anew for every test."""
    master, slave = pty.openpty()
    monkeypatch.setattr(working, "DELAY", 0.0)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    stream = io.TextIOWrapper(os.fdopen(slave, "wb", buffering=0), write_through=True, encoding="utf-8")
    yield Screen(master, stream)
    stream.close()
    os.close(master)


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A small model that encodes, ./mine; returns the class of its generator."""
    monkeypatch.chdir(tmp_path)
    vae = architecture("vae")
    generator = vae.generator_class()(vae.config_class()(size=8, channels=1, latent_size=2, network="mlp", widths=(8,)))
    generator.save(tmp_path / "mine")
    (tmp_path / "pics").mkdir()
    for number in range(4):
        Image.fromarray(np.full((8, 8), 60 * number, np.uint8)).save(tmp_path / "pics" / f"{number}.png")
    return type(generator)


def slow_until(seen, model, monkeypatch):
    """Let the first forward pass of the model take until something has been seen."""
    forward = model.forward

    def wait(self, *arguments):
        assert seen()
        return forward(self, *arguments)

    monkeypatch.setattr(model, "forward", wait)


@pytest.fixture
def on_screen(screen, monkeypatch):
    """Call a function while stderr is the screen."""

    def call(function, *arguments):
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stderr", screen.stream)
            return function(*arguments)

    return call


def zoo(*arguments: object) -> None:
    main(list(map(str, arguments)), standalone_mode=False)


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["sample", "./mine", "-n", 3, "-o", "a.png"], ["sampling", "0 of 3"]),
        (["sample", "./mine", "-n", 20, "-o", "a.npz", "--batch-size", 10], ["sampling", "0 of 20"]),
        (["interpolate", "./mine", "-n", 2, "--frames", 2, "-o", "a.png"], ["sampling", "0 of 16"]),
        (["traverse", "./mine", "-n", 2, "-o", "a.png"], ["sampling"]),
        (["reconstruct", "./mine", "pics/1.png", "-o", "a.png"], ["reconstructing"]),
        (["eval", "./mine", "--data", "pics", "--metric", "fid", "--extractor", "random-vgg", "-n", 4], ["measuring"]),
    ],
)
@pytest.mark.plugins("zoo-vae")
def test_a_bar_appears_while_the_first_batch_is_computed(
    screen, on_screen, model, monkeypatch, capsys, arguments, shown
):
    slow_until(lambda: screen.wait_for(*shown), model, monkeypatch)
    on_screen(zoo, *arguments)
    assert capsys.readouterr().out  # the path or the figures, without a part of the bar
    assert screen.ends_without_a_bar()


@pytest.mark.plugins("zoo-vae")
def test_it_moves_within_a_batch_and_counts_from_batch_to_batch(screen, on_screen, model, monkeypatch):
    slow_until(lambda: screen.wait_for("sampling", "0:00:01"), model, monkeypatch)
    on_screen(zoo, "sample", "./mine", "-n", 20, "--batch-size", 10, "-o", "a.npz")
    assert "0:00:00" in screen.text


def test_work_is_counted_and_its_part_named(screen, on_screen):
    def work():
        with working.working("measuring \x1b[31m[bold]") as work:
            assert screen.wait_for("measuring [31m[bold]")  # what a stranger has named cannot move the cursor
            work.report("samples of seed 0", 300, 10_000)
            assert screen.wait_for("samples of seed 0", "300 of 10,000")
            work.advance(50)
            assert screen.wait_for("350 of 10,000")

    on_screen(work)


def test_what_is_done_within_a_second_shows_nothing(screen, on_screen, monkeypatch):
    def work():
        with working.working("sampling", 3) as work:
            work.advance(3)

    monkeypatch.setattr(working, "DELAY", 3600)
    on_screen(work)
    assert screen.text == ""


def test_a_failure_removes_the_bar(screen, on_screen):
    def fail():
        with working.working("sampling", 3):
            assert screen.wait_for("sampling")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        on_screen(fail)
    assert screen.ends_without_a_bar()


def test_a_pipe_sees_nothing(monkeypatch, capfd):
    monkeypatch.setattr(working, "DELAY", 0.0)
    with working.working("sampling", 3) as work:
        work.advance()
    assert capfd.readouterr() == ("", "")


def test_of_several_processes_only_the_first_shows_a_bar(screen, on_screen, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")

    def begin():
        with working.working("sampling", 3) as work:
            return type(work) is working.Work

    assert not on_screen(begin)
    monkeypatch.setenv("RANK", "0")
    assert on_screen(begin)


def test_files_that_are_checked_have_a_bar_until_the_first_download_begins(screen, on_screen):
    def download():
        with hub_job() as job:
            assert screen.wait_for("checking files")
            arrived = job.progress.begin("alice/digits/model.safetensors", 2_000_000)
            arrived(1_000_000)
            assert screen.wait_for("alice/digits/model.safetensors", "1.0/2.0 MB")

    on_screen(download)
    assert screen.ends_without_a_bar()
    before = screen.text.index("model.safetensors")
    assert "checking files" not in screen.text[before:]
