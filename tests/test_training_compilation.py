"""torch.compile in a run: what is really compiled, and that run.json says so."""

import functools
import json

import pytest
import torch

from tests.builtin import architecture
from zoo_core.errors import TrainingError

SHAPE = (1, 8, 8)


def trainer(name, kind=None, **settings):
    """A trainer of small networks, or another `kind` of it made from the architecture's own."""
    of_name = architecture(name)
    small = {
        "vae": {"size": 8, "latent_size": 2, "widths": (8,)},
        "vanilla_gan": {"size": 8, "latent_size": 4, "generator_widths": (8,), "discriminator_widths": (8,)},
    }[name]
    trainer_class = kind(of_name.trainer_class()) if kind else of_name.trainer_class()
    settings = {"steps": 2, "batch_size": 4, "sample_every": 0, "device": "cpu", "compile": "on"} | settings
    return trainer_class(of_name.config_class()(**small), trainer_class.Settings(**settings), SHAPE)


def fit(made, out, **options):
    samples = torch.randint(0, 256, (8, *SHAPE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return made.fit(samples, out=out, **options)


def record(folder):
    return json.loads((folder / "run.json").read_text())


@pytest.fixture
def compiler(monkeypatch):
    """In place of torch.compile, a function that only notes what is called through it: by name, how often."""
    calls = {}

    def compile(function, *, mode, dynamic):
        name = function.__qualname__

        @functools.wraps(function)
        def call(*args, **kwargs):
            calls[name] = calls.get(name, 0) + 1
            return function(*args, **kwargs)

        return call

    monkeypatch.setattr(torch, "compile", compile)
    return calls


def test_what_a_vae_calls_is_compiled_and_recorded(tmp_path, compiler):
    recorded = record(fit(trainer("vae"), tmp_path / "run"))
    assert compiler == {"VAE.elbo_terms": 2}
    assert (recorded["settings"]["compile"], recorded["compiled"]) == ("on", ["elbo_terms"])


def test_both_networks_of_a_gan_are_compiled_and_recorded(tmp_path, compiler):
    recorded = record(fit(trainer("vanilla_gan"), tmp_path / "run"))
    assert (recorded["settings"]["compile"], recorded["compiled"]) == ("on", ["discriminator", "generator"])
    assert recorded["finished"]


def calls_methods(base):
    """A trainer whose step calls a method of its network, and that leaves `compile` as it is in Trainer."""

    class CallsMethods(base):
        def compile(self):
            super(base, self).compile()

    return CallsMethods


def test_a_run_that_compiles_nothing_says_so_and_is_recorded_as_off(tmp_path, compiler, capfd):
    folder = fit(trainer("vae", calls_methods), tmp_path / "run")
    assert compiler == {}
    assert (record(folder)["settings"]["compile"], record(folder)["compiled"]) == ("off", [])
    assert capfd.readouterr().err.count("CallsMethods.training_step calls no network") == 1
    assert "| compile | off |" in (folder / "README.md").read_text()
    fit(trainer("vae", calls_methods, steps=4), folder, resume=True)  # asked for again: the run is the same
    assert record(folder)["settings"]["compile"] == "off"


def test_a_compiler_that_is_switched_off_compiles_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda function, **options: function)  # as TORCHDYNAMO_DISABLE=1 makes it
    assert record(fit(trainer("vae"), tmp_path / "run"))["compiled"] == []


def test_a_run_that_is_not_compiled_is_not_recorded_as_if_it_were(tmp_path):
    recorded = record(fit(trainer("vae", compile="off"), tmp_path / "run"))
    assert recorded["settings"]["compile"] == "off"
    assert "compiled" not in recorded


def test_a_resumed_run_records_what_it_compiles(tmp_path, compiler):
    folder = fit(trainer("vae"), tmp_path / "run")
    fit(trainer("vae", steps=4), folder, resume=True)
    assert record(folder)["compiled"] == ["elbo_terms"]


def test_what_is_compiled_does_not_travel_with_a_copy_of_the_network(tmp_path, compiler):
    folder = fit(trainer("vanilla_gan", ema_decay=0.0), tmp_path / "run")
    assert record(folder)["compiled"] == ["discriminator", "generator"]


def test_a_failure_of_the_compiler_is_one_line(tmp_path, monkeypatch):
    class CompilerError(RuntimeError):
        __module__ = "torch._inductor.exc"

    def failing(function, **options):
        def call(*args, **kwargs):
            raise CompilerError("\nNo working C++ compiler found\nSet TORCHDYNAMO_VERBOSE=1")

        return call

    monkeypatch.setattr(torch, "compile", failing)
    with pytest.raises(
        TrainingError, match=r"^torch.compile failed: No working C\+\+ compiler found; use --set compile"
    ):
        fit(trainer("vae"), tmp_path / "run")


def test_an_error_of_the_trainer_stays_its_own(tmp_path, compiler):
    def wrong(base):
        class Wrong(base):
            def training_step(self, batch):
                raise ZeroDivisionError

        return Wrong

    with pytest.raises(ZeroDivisionError):
        fit(trainer("vae", wrong), tmp_path / "run")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # torch's compiler warns of what it does itself, in another way in each version
@pytest.mark.parametrize("name", ["vae", "vanilla_gan"])
def test_torch_makes_graphs_of_the_step(name, tmp_path, monkeypatch):
    """Proved by counting: the compiler's backend is given a graph that holds the networks' own layers."""
    graphs, real = [], torch.compile

    def backend(graph, inputs):
        graphs.append([str(node.target) for node in graph.graph.nodes if node.op.startswith("call")])
        return graph.forward

    monkeypatch.setattr(torch, "compile", lambda function, *, mode, dynamic: real(function, backend=backend))
    folder = fit(trainer(name), tmp_path / "run")
    assert graphs
    assert any("linear" in node for graph in graphs for node in graph)
    assert record(folder)["settings"]["compile"] == "on"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_what_a_trainer_compiles_by_itself_is_counted(tmp_path):
    def by_itself(base):
        class ByItself(base):
            def compile(self):
                self._compiled_terms = torch.compile(self.modules["generator"].elbo_terms, backend="eager")

        return ByItself

    recorded = record(fit(trainer("vae", by_itself), tmp_path / "run"))
    assert recorded["settings"]["compile"] == "on"
    assert recorded["compiled"][0].endswith(" graphs")
