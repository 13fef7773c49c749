"""Static checks of the contract: names, documentation, configuration, and shapes on the meta device.

Each check takes an ArchitectureUnderTest and raises ContractError if the contract is broken, or unittest.SkipTest if
the check does not apply. No check needs more memory or time for a large model than for a small one.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from unittest import SkipTest

import msgspec
from msgspec import inspect as types

from zoo_core.errors import ContractError, InterfaceError
from zoo_core.interfaces import Config
from zoo_core.interfaces.names import CORE_KINDS
from zoo_core.kinds.audio import sample_rate_of
from zoo_core.kinds.by_name import check_kind, kind_named
from zoo_core.kinds.text import texts_of
from zoo_core.testing.architecture_under_test import (
    COUNT,
    ArchitectureUnderTest,
    encode,
    output_of,
    own_docstring,
)
from zoo_core.testing.expectation import expect, violation

if TYPE_CHECKING:
    from torch import Tensor

    from zoo_core.interfaces import Discriminator, Generator

CORE = "zoo_core."
LONGEST_SUMMARY = 120


def documentation(tested: ArchitectureUnderTest) -> None:
    """Check for a summary of one line, a docstring on every class, and every field of a configuration explained."""
    architecture = tested.architecture
    summary = architecture.summary
    expect(
        0 < len(summary.strip()) <= LONGEST_SUMMARY and summary.isprintable(),
        f"an architecture has a summary of one line, {LONGEST_SUMMARY} characters at most",
        "`zoo train`, completion and model cards show it",
        "shorten `summary` of the Architecture, or write one",
        repr(summary),
    )
    expect(
        architecture.paper is None or architecture.paper.startswith("https://"),
        "`paper` is an https address",
        "model cards link to it",
        "give its address in full, as https://arxiv.org/abs/1406.2661, or None",
        repr(architecture.paper),
    )
    for role, of_role in tested.roles.items():
        expect(
            bool(own_docstring(of_role)),
            f"the {role} {of_role.__qualname__} has a docstring of its own",
            "readers of the code learn shapes, ranges and the paper from it",
            "describe the class in its docstring",
        )
    _fields_explained(architecture.config_class(), "model.")
    if architecture.generator_class().has_options():
        _fields_explained(architecture.generator_class().Options, "")
    trainer = architecture.trainer_class()
    if trainer is not None and not trainer.Settings.__module__.startswith(CORE):
        _fields_explained(trainer.Settings, "")


def _fields_explained(config_class: type[Config], prefix: str) -> None:
    """Check that the docstring of the class explains every field that the class adds."""
    inherited = {
        field for base in config_class.__mro__[1:] if issubclass(base, Config) for field in base.__struct_fields__
    }
    for name in config_class.__struct_fields__:
        expect(
            name in inherited or f"{name}:" in own_docstring(config_class),
            f"the docstring of {config_class.__qualname__} explains `{name}:`",
            f"users set it by `--set {prefix}{name}=…`",
            f"add a line `{name}: …` under `Args:`",
        )


def importing_the_plugin(tested: ArchitectureUnderTest) -> None:
    """Check that importing the module of the entry point leaves torch out of sys.modules."""
    program = (
        "import importlib, json, sys; sys.path[:] = json.loads(sys.argv[1]); sys.stdout = sys.stderr;"
        "importlib.import_module(sys.argv[2]); sys.exit(17 if 'torch' in sys.modules else 0)"
    )
    module = tested.module.partition(":")[0].strip()
    command = [sys.executable, "-c", program, json.dumps(sys.path), module]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 17):
        raise violation(
            f"{module} can be imported on its own",
            "every `zoo` command imports every plugin",
            "correct the error that its import raises",
            (done.stderr.splitlines() or ["no message"])[-1],
        )
    expect(
        done.returncode == 0,
        f"importing {module} leaves torch out of sys.modules",
        "every `zoo` command imports every plugin, and importing torch takes seconds",
        "name classes by import strings, and import torch only in the modules that define them",
    )


def configuration_bounds(tested: ArchitectureUnderTest) -> None:
    """Check that every field of the configuration is bounded; ModelConfig itself enforces the bounds."""
    reason = "a configuration may come from a stranger, and must not be able to request all memory"
    _bounded(tested.architecture.config_class(), reason)


def option_bounds(tested: ArchitectureUnderTest) -> None:
    """Check that every sampling option is bounded; SamplingOptions itself enforces the bounds."""
    generator_class = tested.architecture.generator_class()
    if not generator_class.has_options():
        raise SkipTest("the generator has no options")
    reason = "users choose it when they sample, in a request to a server too, and must not be able to ask for for ever"
    _bounded(generator_class.Options, reason)


def _bounded(config_class: type[Config], reason: str) -> None:
    for name, annotated in _fields(config_class):
        for part in _parts(annotated):
            missing = _missing_bound(part)
            fix = f"annotate `{name}` with it"
            expect(missing is None, f"`{name}` of {config_class.__qualname__} has {missing}", reason, fix)


def expect_refusal(tested: ArchitectureUnderTest, values: Mapping[str, object]) -> None:
    """Raise ContractError unless the configuration with these values raises a ValueError that names one of them."""
    config_class = tested.architecture.config_class()
    given = ", ".join(f"{name}={value!r}" for name, value in values.items())
    problem = "no error"
    try:
        config_class(**msgspec.structs.asdict(tested.config) | dict(values))
    except ValueError as error:
        if any(name in str(error) for name in values):
            return
        problem = str(error)
    raise violation(
        f"{config_class.__qualname__} refuses {given} with a ValueError that names the field",
        "what cannot be built must be reported before minutes are spent on reading data",
        "raise the ValueError in __post_init__, or bound the field with msgspec.Meta",
        problem,
    )


def _fields(config_class: type[Config]) -> list[tuple[str, types.Type]]:
    described = types.type_info(config_class)
    assert isinstance(described, types.StructType)
    return [(one.name, one.type) for one in described.fields]


def _parts(annotated: types.Type) -> Iterator[types.Type]:
    """Yield the type and every type inside it."""
    yield annotated
    inner: tuple[types.Type, ...] = ()
    if isinstance(annotated, types.UnionType):
        inner = annotated.types
    elif isinstance(annotated, types.TupleType):
        inner = annotated.item_types
    elif isinstance(annotated, types.StructType):
        inner = tuple(one.type for one in annotated.fields)
    elif isinstance(annotated, types.DictType):
        inner = (annotated.key_type, annotated.value_type)
    elif isinstance(annotated, types.Metadata):
        inner = (annotated.type,)
    elif isinstance(annotated, types.CollectionType):
        inner = (annotated.item_type,)
    for part in inner:
        yield from _parts(part)


def _missing_bound(part: types.Type) -> str | None:
    if isinstance(part, (types.IntType, types.FloatType)):
        missing = [
            words
            for words, inclusive, exclusive in (("a lower", part.ge, part.gt), ("an upper", part.le, part.lt))
            if inclusive is None and exclusive is None
        ]
        return f"{' and '.join(missing)} bound, as in Annotated[int, msgspec.Meta(ge=1, le=4096)]" if missing else None
    if isinstance(part, types.AnyType):
        return "a type other than Any"
    if isinstance(part, types.StrType) and part.pattern is None and part.max_length is None:
        return "a maximal length, as in Annotated[str, msgspec.Meta(max_length=64)], or is a Literal"
    if isinstance(part, (types.CollectionType, types.DictType)) and part.max_length is None:
        return "a maximal length, as in Annotated[tuple[…], msgspec.Meta(max_length=16)]"
    return None


def configuration_json(tested: ArchitectureUnderTest) -> None:
    """Check that a configuration written as JSON is read back as an equal one."""
    written = msgspec.json.encode(tested.config)
    expected = "a configuration is equal to itself after a round trip through JSON"
    reason = "config.json of a model folder is all that is kept of it"
    fix = f"make __post_init__ of {type(tested.config).__qualname__} check values without changing them"
    try:
        read = msgspec.json.decode(written, type=type(tested.config))
    except ValueError as error:
        raise violation(expected, reason, fix, f"{written!r} is refused: {error}") from error
    expect(read == tested.config, expected, reason, fix, f"{tested.config} became {read}")


def construction(tested: ArchitectureUnderTest) -> None:
    """Check that networks can be built on the meta device, where no tensor has values, and have valid attributes."""
    generator, discriminator = _on_meta(tested)
    for network in filter(None, (generator, discriminator)):
        elsewhere = [name for name, tensor in _state(network) if not tensor.is_meta]
        expect(
            not elsewhere,
            f"{type(network).__qualname__} makes its tensors on the device that torch.device(…) sets",
            "a model is built on the meta device first, to compare it with its file before memory is allocated",
            "leave `device=` out in the constructor",
            f"{', '.join(elsewhere)} on another device",
        )
    name = type(generator).__qualname__
    for attribute in ("latent_shape", "sample_shape"):
        shape = getattr(generator, attribute)
        positive = isinstance(shape, tuple) and all(type(size) is int and size > 0 for size in shape)
        expected = f"{name}.{attribute} is a tuple of positive ints, without the batch"
        expect(positive, expected, _SHAPES, f"set self.{attribute} in the constructor, as (1, 32, 32)", repr(shape))
    expect(
        generator.config == tested.config,
        f"{name}.config is the configuration it was built from",
        "it is written to config.json",
        "call super().__init__(config) in the constructor",
    )


_SHAPES = "sampling, loading and reading data rely on it"


def kind_of_samples(tested: ArchitectureUnderTest) -> None:
    """Check that the kind exists, that the Architecture states it, and that the samples are what it expects."""
    generator, _ = _built(tested)
    name, stated = type(generator).__qualname__, tested.architecture.kind
    try:
        check_kind(tested.architecture, generator)
    except InterfaceError as error:
        raise violation(
            f"{name}.kind is a kind of samples that suits them",
            "reading, writing and showing samples are up to their kind",
            f"set kind to {', '.join(CORE_KINDS)} or one that a plugin brings, in the class and in the Architecture, "
            "and make sample_shape what this kind expects",
            error,
        ) from error
    shape = generator.sample_shape
    expect(
        generator.kind != "image" or (len(shape) == 3 and shape[0] in (1, 3)),
        f"the sample_shape of {name}, whose kind is image, is (1 or 3, height, width)",
        "files of pictures are grey or in colour",
        'set kind = "tensor" for anything else',
        shape,
    )
    expect(
        stated is not None or generator.kind in FIRST_KINDS,
        f"the Architecture states the kind of {name}",
        "`zoo sample -o` checks the name of its output before it imports torch",
        f"write Architecture(…, kind={generator.kind!r})",
    )
    try:
        _expect_what_the_kind_needs(generator)
    except InterfaceError as error:
        raise violation(
            f"{name} says what its samples need to be {kind_named(generator.kind).noun[1]}",
            "numbers alone do not say how fast a sound is, or which characters a text has",
            "state it as the message says",
            error,
        ) from error


FIRST_KINDS = ("image", "tensor")  # those that plugins of the first edition have, whose Architecture states none


def _expect_what_the_kind_needs(generator: Generator) -> None:
    if generator.kind == "audio":
        sample_rate_of(generator)
    if generator.kind == "text":
        import torch

        texts_of(torch.zeros(1, *generator.sample_shape, dtype=torch.int64), generator)


def shapes(tested: ArchitectureUnderTest) -> None:
    """Check that samples are (N, *sample_shape) for latents (N, *latent_shape)."""
    generator, _ = _built(tested)
    expect_samples(generator, _quietly(lambda: output_of(generator, *_meta_inputs(generator))), "forward(z)")


def expect_samples(generator: Generator, x: object, what: str) -> None:
    """Raise ContractError unless x is a tensor (N, *sample_shape) of a batch of COUNT, in a dtype that its kind takes.

    Pictures and sounds are float32, texts whole numbers; anything else is float32 if it is floating.
    """
    import torch

    name = f"{type(generator).__qualname__}: {what}"
    expect(isinstance(x, torch.Tensor), f"{name} returns a tensor", _SHAPES, "return one", type(x).__name__)
    assert isinstance(x, torch.Tensor)
    expected = (COUNT, *generator.sample_shape)
    expect(
        tuple(x.shape) == expected,
        f"{name} is (N, *sample_shape), here {expected}",
        _SHAPES,
        "correct sample_shape or the last layer",
        tuple(x.shape),
    )
    if generator.kind == "text":
        expect(
            not x.is_floating_point() and not x.is_complex(),
            f"{name} is whole numbers, the codes of texts",
            "two characters are the same or not, and nothing in between",
            "return logits.argmax(-1), or a draw from them",
            x.dtype,
        )
        return
    expect(
        x.dtype == torch.float32 or (generator.kind not in ("image", "audio") and not x.is_floating_point()),
        f"{name} is float32 for float32",
        "other layers, as those of a discriminator, take no other type",
        "make constants in the dtype of the input",
        x.dtype,
    )


def discriminator_shape(tested: ArchitectureUnderTest) -> None:
    """Check that the discriminator returns logits (N,)."""
    generator, discriminator = _built(tested)
    if discriminator is None:
        raise SkipTest("the architecture has no discriminator")
    x, labels = _meta_samples(generator), _meta_inputs(generator)[1]
    expect_logits(discriminator, _quietly(lambda: discriminator(x, labels)))


def expect_logits(discriminator: object, logits: Tensor) -> None:
    """Raise ContractError unless the logits of a batch of COUNT are (N,)."""
    expect(
        tuple(logits.shape) == (COUNT,),
        f"{type(discriminator).__qualname__} returns logits (N,), here ({COUNT},)",
        "(N, 1) and (N,) silently broadcast to (N, N)",
        "end forward with .squeeze(1)",
        tuple(logits.shape),
    )


def encoder_shapes(tested: ArchitectureUnderTest) -> None:
    """Check that encode returns the mean and log variance, or None, of each latent, and reconstruct samples."""
    from zoo_core.interfaces import Encoder

    generator, _ = _built(tested)
    if not isinstance(generator, Encoder):
        raise SkipTest("the generator is not a zoo_core.Encoder")
    x, labels = _meta_samples(generator), _meta_inputs(generator)[1]
    expect_posterior(generator, _quietly(lambda: encode(generator, x, labels)))
    expect_samples(generator, _quietly(lambda: generator.reconstruct(x, labels)), "reconstruct(x)")


def expect_posterior(generator: Generator, encoded: object) -> None:
    """Raise ContractError unless this is (mean, logvar or None) for a batch of COUNT."""
    expected = (COUNT, *generator.latent_shape)
    pair = isinstance(encoded, tuple) and len(encoded) == 2
    given = [part for part in encoded if part is not None] if isinstance(encoded, tuple) and pair else []
    kept = bool(given) and all(tuple(getattr(part, "shape", ())) == expected for part in given)
    actual: Any = [tuple(getattr(part, "shape", ())) for part in given] if pair else repr(encoded)[:200]
    expect(
        pair and kept,
        f"{type(generator).__qualname__}.encode returns (mean, logvar or None) of (N, *latent_shape), here {expected}",
        "reconstruction and interpolation decode the mean",
        "return two tensors in the shape of the latents, or None for the second if the encoder is deterministic",
        actual,
    )


def devices(tested: ArchitectureUnderTest) -> None:
    """Check that every network computes on the meta device, which refuses tensors made on another device."""
    import torch

    from zoo_core.interfaces import Encoder
    from zoo_core.metrics.log_prob import states_log_prob

    generator, discriminator = _built(tested)
    z, labels = _meta_inputs(generator)
    what = f"{type(generator).__qualname__}.forward"
    x = expect_any_device(what, lambda: output_of(generator, z, labels))  # in its shape, whatever sample_shape says
    computed: dict[str, Callable[[], Any]] = {}
    if discriminator is not None:
        computed[f"{type(discriminator).__qualname__}.forward"] = lambda: discriminator(x, labels)
    if isinstance(generator, Encoder):
        computed[f"{type(generator).__qualname__}.encode"] = lambda: encode(generator, x, labels)
    if states_log_prob(generator):
        given = () if labels is None else (labels,)
        data = x.to(torch.int64) if generator.kind == "text" else x

        def log_prob() -> Tensor:
            with torch.no_grad():
                return generator.log_prob(data, *given)

        if not reads_values(log_prob):  # as torch.distributions does, to check its arguments
            computed[f"{type(generator).__qualname__}.log_prob"] = log_prob
    for what, compute in computed.items():
        expect_any_device(what, compute)


def expect_any_device(what: str, compute: Callable[[], Any]) -> Any:
    """Return the result of `compute` on the meta device. Raises ContractError if it fails, or returns other tensors."""
    import torch

    expected = f"{what} makes every tensor on the device of its inputs and reads no value of a tensor"
    reason = "it must run on every device, and reading a value makes a GPU wait"
    fix = "pass device=z.device, or use torch.zeros_like and the like, and avoid .item(), float() and `if tensor`"
    try:
        result = compute()
    except Exception as error:  # torch raises RuntimeError, NotImplementedError and others
        raise violation(expected, reason, fix, f"on the meta device, {type(error).__name__}: {error}") from error
    tensors = result.values() if isinstance(result, dict) else result if isinstance(result, tuple) else (result,)
    elsewhere = {str(tensor.device) for tensor in tensors if isinstance(tensor, torch.Tensor) and not tensor.is_meta}
    expect(not elsewhere, expected, reason, fix, f"a result on {', '.join(elsewhere)}")
    return result


def reads_values(compute: Callable[[], object]) -> bool:
    """Return whether something fails on the meta device because it reads the value of a tensor, as `item` does."""
    try:
        compute()
    except RuntimeError as error:
        return "item() cannot be called on meta" in str(error)
    except Exception:  # whatever else fails is not about reading
        return False
    return False


def _on_meta(tested: ArchitectureUnderTest) -> tuple[Generator, Discriminator | None]:
    from zoo_core.runtime.meta_device import on_meta

    try:
        with on_meta():
            return tested.generator(), tested.discriminator()
    except Exception as error:  # a constructor that reads a value raises whatever torch does
        raise violation(
            "networks can be built on the meta device",
            "a model is compared with its file before memory is allocated",
            "read no value of a tensor in a constructor",
            f"{type(error).__name__}: {error}",
        ) from error


def _built(tested: ArchitectureUnderTest) -> tuple[Generator, Discriminator | None]:
    """The networks on the meta device; skips if they cannot be built there, which `construction` reports."""
    try:
        return _on_meta(tested)
    except ContractError as error:
        raise SkipTest(str(error)) from error


def _meta_inputs(generator: Generator) -> tuple[Tensor, Tensor | None]:
    import torch

    labels = torch.zeros(COUNT, dtype=torch.int64, device="meta") if generator.num_classes is not None else None
    return torch.empty(COUNT, *generator.latent_shape, device="meta"), labels


def _meta_samples(generator: Generator) -> Tensor:
    import torch

    dtype = torch.int64 if generator.kind == "text" else torch.float32
    return torch.empty(COUNT, *generator.sample_shape, dtype=dtype, device="meta")


def _quietly(compute: Callable[[], Any]) -> Any:
    """The result on the meta device; skips if it cannot be computed there, which `devices` reports."""
    try:
        return compute()
    except Exception as error:  # whatever torch raises
        raise SkipTest(f"it does not run on the meta device: {error}") from error


def _state(network: Any) -> Iterator[tuple[str, Tensor]]:
    yield from network.named_parameters()
    yield from network.named_buffers()


STATIC_CHECKS: tuple[Callable[[ArchitectureUnderTest], None], ...] = (
    documentation,
    importing_the_plugin,
    configuration_bounds,
    option_bounds,
    configuration_json,
    construction,
    kind_of_samples,
    devices,
    shapes,
    discriminator_shape,
    encoder_shapes,
)
