"""ModelConfig and Settings are validated however they are made; Architecture checks names and resolves classes."""

import pickle
import sys
import threading
from typing import Annotated, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from zoo_core import Architecture, ModelConfig, Settings
from zoo_core.errors import PluginError
from zoo_core.interfaces.names import canonical_name
from zoo_core.interfaces.plugin_output import plugin_output_on_stderr
from zoo_core.interfaces.schedules import SCHEDULES


class Inner(ModelConfig, frozen=True):
    rate: Annotated[float, Meta(ge=0, le=1)] = 0.5


class Config(ModelConfig, frozen=True):
    width: Annotated[int, Meta(ge=1, le=4096)] = 64
    widths: tuple[Annotated[int, Meta(ge=1)], ...] = (3, 4)
    mode: Literal["a", "b"] = "a"
    rate: float = 0.1
    inner: Inner = Inner()


class Even(ModelConfig, frozen=True):
    size: Annotated[int, Meta(ge=1)] = 2

    def __post_init__(self) -> None:
        if self.size % 2:
            raise ValueError("size must be even")


class OddLater:
    def __post_init__(self) -> None:
        if self.size % 2 == 0:
            raise ValueError("size must be odd")


class Odd(OddLater, ModelConfig, frozen=True):
    size: Annotated[int, Meta(ge=1)] = 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"width": 0},
        {"width": 4097},
        {"width": "64"},
        {"width": True},
        {"width": 10**30},
        {"widths": (3, 0)},
        {"mode": "c"},
        {"rate": float("nan")},
        {"rate": float("inf")},
    ],
)
def test_the_constructor_and_replace_refuse_what_json_would_refuse(wrong):
    field = next(iter(wrong))
    with pytest.raises(msgspec.ValidationError, match=rf"\$\.{field}"):
        Config(**wrong)
    with pytest.raises(msgspec.ValidationError, match=rf"\$\.{field}"):
        msgspec.structs.replace(Config(), **wrong)


def test_json_is_held_to_the_same_bounds():
    with pytest.raises(msgspec.ValidationError, match="width"):
        msgspec.json.decode(b'{"width": 0}', type=Config)
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.json.decode(b'{"widht": 1}', type=Config)


def test_a_subclass_is_keyword_only_without_saying_so():
    with pytest.raises(TypeError):
        Config(64)


def test_a_configuration_cannot_be_changed():
    with pytest.raises(AttributeError):
        Config().width = 3


def test_a_mixin_does_not_take_the_place_of_the_checks():
    with pytest.raises(ValueError, match=r">= 1 - at `\$.size`"):
        Odd(size=-1)
    with pytest.raises(ValueError, match="size must be odd"):
        Odd(size=2)
    assert Odd(size=3).size == 3


def test_bounds_are_checked_before_the_subclass_compares_its_fields():
    with pytest.raises(msgspec.ValidationError, match=r"\$\.size"):
        Even(size="two")
    with pytest.raises(ValueError, match="must be even"):
        Even(size=3)
    with pytest.raises(msgspec.ValidationError, match="must be even"):
        msgspec.json.decode(b'{"size": 3}', type=Even)


configs = st.builds(
    Config,
    width=st.integers(1, 4096),
    widths=st.lists(st.integers(1, 10**6), max_size=4).map(tuple),
    mode=st.sampled_from(["a", "b"]),
    rate=st.floats(allow_nan=False, allow_infinity=False),
    inner=st.builds(Inner, rate=st.floats(0, 1)),
)


@given(configs)
def test_a_configuration_survives_json_and_pickle(config):
    assert msgspec.json.decode(msgspec.json.encode(config), type=Config) == config
    assert pickle.loads(pickle.dumps(config)) == config
    assert hash(config) == hash(pickle.loads(pickle.dumps(config)))


def test_defaults_are_written_to_json_too():
    assert set(msgspec.json.decode(msgspec.json.encode(Config()))) == set(Config.__struct_fields__)


class Doubled:
    def __post_init__(self) -> None:
        if self.steps % 2:
            raise ValueError("steps must be even")


class OwnSettings(Doubled, Settings, frozen=True):
    patience: Annotated[int, Meta(ge=1)] = 3


def test_settings_describe_a_run_and_are_no_model_configuration():
    assert not isinstance(Settings(), ModelConfig)
    assert not issubclass(OwnSettings, ModelConfig)


def test_settings_of_a_plugin_are_held_to_their_bounds_and_to_a_mixins_conditions():
    with pytest.raises(msgspec.ValidationError, match=r"\$\.patience"):
        OwnSettings(patience=0)
    with pytest.raises(msgspec.ValidationError, match=r"\$\.patience"):
        msgspec.structs.replace(OwnSettings(), patience=0)
    with pytest.raises(msgspec.ValidationError, match=r"\$\.steps"):
        OwnSettings(steps=-1)
    with pytest.raises(ValueError, match="steps must be even"):
        OwnSettings(steps=3)
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.json.decode(b'{"patiense": 1}', type=OwnSettings)
    with pytest.raises(TypeError):
        OwnSettings(4)
    with pytest.raises(AttributeError):
        OwnSettings().patience = 4


def test_settings_survive_json_and_pickle_with_every_field():
    settings = OwnSettings(steps=4, patience=5, betas=(0.5, 0.9), schedule="cosine")
    encoded = msgspec.json.encode(settings)
    assert msgspec.json.decode(encoded, type=OwnSettings) == pickle.loads(pickle.dumps(settings)) == settings
    assert set(msgspec.json.decode(encoded)) == {*Settings.__struct_fields__, "patience"}


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_schedule_of_the_table_can_be_set_and_starts_at_the_full_rate(schedule):
    settings = Settings(schedule=schedule, steps=100, warmup_steps=10)
    factors = [settings.learning_rate_factor(step) for step in range(100)]
    assert factors[:11] == [*((step + 1) / 10 for step in range(10)), 1.0]
    assert all(0 <= factor <= 1 for factor in factors)
    assert factors[10:] == sorted(factors[10:], reverse=True)


def test_a_schedule_that_is_not_in_the_table_is_refused():
    with pytest.raises(msgspec.ValidationError, match=r"'exponential' - at `\$.schedule`"):
        Settings(schedule="exponential")


def make(**changes):
    values = {"name": "thing", "summary": "A thing", "config": "m:C", "generator": "m:G"}
    return Architecture(**(values | changes))


@pytest.mark.parametrize("name", ["", "Thing", "a b", "-a", "a.b", "é", None, 3])
def test_a_name_of_another_form_is_refused(name):
    with pytest.raises(PluginError, match="name"):
        make(name=name)


@pytest.mark.parametrize("target", ["module", "module:", ":Class", "os.system('x'):C", "a b:C", 3, None])
def test_a_class_is_named_by_module_and_class(target):
    with pytest.raises(PluginError, match="generator"):
        make(generator=target)


def test_hyphen_and_underscore_compare_equal():
    assert canonical_name("Vanilla_GAN") == canonical_name("vanilla-gan") == canonical_name("vanilla.gan")


def test_a_class_that_cannot_be_imported_is_named():
    with pytest.raises(PluginError, match=r"config 'no_such_module:C' cannot be imported: ModuleNotFoundError"):
        make(config="no_such_module:C").config_class()


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("raise RuntimeError(chr(27) + '[2J' + chr(10) + 'no luck')", r"RuntimeError: \[2J no luck"),
    ],
)
def test_a_module_that_exits_or_fails_at_length_is_one_line(tmp_path, monkeypatch, source, reason):
    (tmp_path / "failing.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(PluginError, match=rf"config 'failing:C' cannot be imported: {reason}$"):
        make(config="failing:C").config_class()


def test_a_class_of_another_kind_is_refused():
    with pytest.raises(PluginError, match="not a subclass of ModelConfig"):
        make(config="collections:OrderedDict").config_class()
    with pytest.raises(PluginError, match="not a subclass of Generator"):
        make(generator="collections:OrderedDict").generator_class()


def test_an_architecture_may_have_no_discriminator_and_no_trainer():
    assert make().discriminator_class() is None
    assert make().trainer_class() is None


def test_output_of_plugins_in_two_threads_that_overlap_leaves_stdout_as_it_was(capsys):
    """A first thread that leaves before a second must not make the second restore what the first had redirected."""
    inside, may_leave = threading.Event(), threading.Event()

    def plugin():
        with plugin_output_on_stderr():
            inside.set()
            may_leave.wait(60)
            print("from the thread")

    stdout = sys.stdout
    thread = threading.Thread(target=plugin)
    with plugin_output_on_stderr():
        thread.start()
        inside.wait(60)
    print("still redirected while the thread is inside")
    may_leave.set()
    thread.join()
    assert sys.stdout is stdout
    print("back")
    assert capsys.readouterr().out == "back\n"


def test_what_a_module_prints_at_import_does_not_reach_stdout(tmp_path, monkeypatch, capsys):
    (tmp_path / "talking.py").write_text(
        "from zoo_core import ModelConfig\nprint('hello')\nclass C(ModelConfig): pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert make(config="talking:C").config_class().__name__ == "C"
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "hello\n")
