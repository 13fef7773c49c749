"""The part of the contract that computes nothing: names, documentation, configuration, and shapes on the meta device.

Each check takes a Subject and raises ContractError with what the contract asks and why, or unittest.SkipTest
where it does not apply. None needs more memory or time for a large model than for a small one.
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

from zoo_core.errors import ContractError
from zoo_core.interfaces import Config, ModelConfig
from zoo_core.testing.subject import COUNT, Subject, demand, encode, own_docstring

if TYPE_CHECKING:
    from torch import Tensor

    from zoo_core.interfaces import Discriminator, Generator

CORE = "zoo_core."
LONGEST_SUMMARY = 120


def documentation(subject: Subject) -> None:
    """A summary in one line; a docstring at every class; every field of a configuration explained."""
    architecture = subject.architecture
    summary = architecture.summary
    demand(
        0 < len(summary.strip()) <= LONGEST_SUMMARY and summary.isprintable(),
        f"an architecture has a summary of one line, {LONGEST_SUMMARY} characters at most",
        "`zoo train`, completion and model cards show it",
        repr(summary),
    )
    demand(
        architecture.paper is None or architecture.paper.startswith("https://"),
        "`paper` is an https address",
        "model cards link to it",
        repr(architecture.paper),
    )
    for role, of_role in subject.roles.items():
        reason = "who reads a model's code must learn shapes, ranges and the paper from it"
        demand(bool(own_docstring(of_role)), f"the {role} {of_role.__qualname__} has a docstring of its own", reason)
    _fields_explained(architecture.config_class(), "model.")
    trainer = architecture.trainer_class()
    if trainer is not None and not trainer.Settings.__module__.startswith(CORE):
        _fields_explained(trainer.Settings, "")


def _fields_explained(config_class: type[Config], prefix: str) -> None:
    """Every field that the class adds stands in its docstring."""
    inherited = {
        field for base in config_class.__mro__[1:] if issubclass(base, Config) for field in base.__struct_fields__
    }
    for name in config_class.__struct_fields__:
        demand(
            name in inherited or f"{name}:" in own_docstring(config_class),
            f"the docstring of {config_class.__qualname__} explains `{name}:`",
            f"users set it by `--set {prefix}{name}=…`",
        )


def importing_the_plugin(subject: Subject) -> None:
    """The module that the entry point names leaves torch out of sys.modules."""
    program = (
        "import importlib, json, sys; sys.path[:] = json.loads(sys.argv[1]); sys.stdout = sys.stderr;"
        "importlib.import_module(sys.argv[2]); sys.exit(17 if 'torch' in sys.modules else 0)"
    )
    module = subject.module.partition(":")[0].strip()
    command = [sys.executable, "-c", program, json.dumps(sys.path), module]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 17):
        raise ContractError(f"{module} cannot be imported on its own: {(done.stderr.splitlines() or ['?'])[-1]}")
    demand(
        done.returncode == 0,
        f"importing {module} leaves torch out of sys.modules",
        "every `zoo` command loads every plugin, and torch takes seconds; name classes by import strings",
    )


def configuration_bounds(subject: Subject) -> None:
    """Every field of the configuration is bounded; that bounds are kept is ModelConfig's affair."""
    config_class = subject.architecture.config_class()
    reason = "a configuration may come from a stranger, and must not be able to ask for the whole memory"
    for name, annotated in _fields(config_class):
        for part in _parts(annotated):
            missing = _missing_bound(part)
            demand(missing is None, f"`{name}` of {config_class.__qualname__} has {missing}", reason)


def demand_refusal(subject: Subject, values: Mapping[str, object]) -> None:
    """Raise ContractError unless the configuration with these values raises a ValueError that names one of them."""
    config_class = subject.architecture.config_class()
    given = ", ".join(f"{name}={value!r}" for name, value in values.items())
    problem = "nothing was raised"
    try:
        config_class(**msgspec.structs.asdict(subject.config) | dict(values))
    except ValueError as error:
        if any(name in str(error) for name in values):
            return
        problem = str(error)
    demand(
        False,
        f"{config_class.__qualname__} refuses {given} with a ValueError that names the field",
        "what cannot be built must be told before minutes go into reading data",
        problem,
    )


def _fields(config_class: type[ModelConfig]) -> list[tuple[str, types.Type]]:
    described = types.type_info(config_class)
    assert isinstance(described, types.StructType)
    return [(one.name, one.type) for one in described.fields]


def _parts(annotated: types.Type) -> Iterator[types.Type]:
    """The type and all that it is made of."""
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
        return "a type that says what it takes"
    if isinstance(part, types.StrType) and part.pattern is None and part.max_length is None:
        return "a longest length, or is a Literal"
    if isinstance(part, (types.CollectionType, types.DictType)) and part.max_length is None:
        return "a longest length, as in Annotated[tuple[…], msgspec.Meta(max_length=16)]"
    return None


def configuration_json(subject: Subject) -> None:
    """A configuration that was written as JSON is read back as the same one."""
    written = msgspec.json.encode(subject.config)
    reason = "config.json of a model folder is all that is kept of it"
    try:
        read = msgspec.json.decode(written, type=type(subject.config))
    except ValueError as error:
        raise ContractError(
            f"{type(subject.config).__qualname__} refuses its own JSON, {written!r}: {error}"
        ) from error
    asked = "a configuration is equal to itself after a round trip through JSON"
    demand(read == subject.config, asked, reason, f"{subject.config} became {read}")


def construction(subject: Subject) -> None:
    """The networks are built on the meta device, where no tensor has values, and state what they are."""
    generator, discriminator = _on_meta(subject)
    for network in filter(None, (generator, discriminator)):
        elsewhere = [name for name, tensor in _state(network) if not tensor.is_meta]
        demand(
            not elsewhere,
            f"{type(network).__qualname__} makes its tensors on the device that torch.device(…) sets",
            "a model is built on the meta device first, to compare it with its file before memory is taken",
            ", ".join(elsewhere),
        )
    name = type(generator).__qualname__
    for attribute in ("latent_shape", "sample_shape"):
        shape = getattr(generator, attribute)
        positive = isinstance(shape, tuple) and all(type(size) is int and size > 0 for size in shape)
        demand(positive, f"{name}.{attribute} is a tuple of positive ints, without the batch", _SHAPES, repr(shape))
    kinds = ("image", "tensor")
    demand(generator.kind in kinds, f"{name}.kind is one of {kinds}", _SHAPES, repr(generator.kind))
    shape = generator.sample_shape
    demand(
        generator.kind != "image" or (len(shape) == 3 and shape[0] in (1, 3)),
        f"the sample_shape of {name}, whose kind is image, is (1 or 3, height, width)",
        'what writes pictures knows grey and colour only; set kind = "tensor" for anything else',
        shape,
    )
    demand(generator.config == subject.config, f"{name}.config is what it was built from", "config.json is its text")


_SHAPES = "sampling, loading and data preparation rely on it"


def shapes(subject: Subject) -> None:
    """Samples are (N, *sample_shape) for latents (N, *latent_shape)."""
    generator, _ = _built(subject)
    demand_samples(generator, _quietly(lambda: generator(*_meta_inputs(generator))), "forward(z)")


def demand_samples(generator: Generator, x: object, what: str) -> None:
    """Raise ContractError unless x is a tensor (N, *sample_shape), float32, of a batch of COUNT."""
    import torch

    name = f"{type(generator).__qualname__}: {what}"
    demand(isinstance(x, torch.Tensor), f"{name} returns a tensor", _SHAPES, type(x).__name__)
    assert isinstance(x, torch.Tensor)
    expected = (COUNT, *generator.sample_shape)
    demand(tuple(x.shape) == expected, f"{name} is (N, *sample_shape), here {expected}", _SHAPES, tuple(x.shape))
    demand(x.dtype == torch.float32, f"{name} is float32 for float32", "no layer behind it takes another", x.dtype)


def discriminator_shape(subject: Subject) -> None:
    """The discriminator returns (N,)."""
    generator, discriminator = _built(subject)
    if discriminator is None:
        raise SkipTest("the architecture has no discriminator")
    x, labels = _meta_samples(generator), _meta_inputs(generator)[1]
    demand_logits(discriminator, _quietly(lambda: discriminator(x, labels)))


def demand_logits(discriminator: object, logits: Tensor) -> None:
    """Raise ContractError unless the logits of a batch of COUNT are (N,)."""
    demand(
        tuple(logits.shape) == (COUNT,),
        f"{type(discriminator).__qualname__} returns logits (N,), here ({COUNT},)",
        "a (N, 1) beside a (N,) broadcasts to (N, N) without a word",
        tuple(logits.shape),
    )


def encoder_shapes(subject: Subject) -> None:
    """An encoder returns the mean and the log variance, or None, of each latent; reconstruct returns samples."""
    from zoo_core.interfaces import Encoder

    generator, _ = _built(subject)
    if not isinstance(generator, Encoder):
        raise SkipTest("the generator is no zoo_core.Encoder")
    x, labels = _meta_samples(generator), _meta_inputs(generator)[1]
    demand_posterior(generator, _quietly(lambda: encode(generator, x, labels)))
    demand_samples(generator, _quietly(lambda: generator.reconstruct(x, labels)), "reconstruct(x)")


def demand_posterior(generator: Generator, encoded: object) -> None:
    """Raise ContractError unless this is (mean, logvar or None) of a batch of COUNT."""
    expected = (COUNT, *generator.latent_shape)
    pair = isinstance(encoded, tuple) and len(encoded) == 2
    given = [part for part in encoded if part is not None] if isinstance(encoded, tuple) and pair else []
    kept = bool(given) and all(tuple(getattr(part, "shape", ())) == expected for part in given)
    found: Any = [tuple(getattr(part, "shape", ())) for part in given] if pair else repr(encoded)[:200]
    demand(
        pair and kept,
        f"{type(generator).__qualname__}.encode returns (mean, logvar or None) of (N, *latent_shape), here {expected}",
        "reconstruct and interpolation decode the mean",
        found,
    )


def devices(subject: Subject) -> None:
    """Every network computes on the meta device, which refuses tensors that were made on another."""
    from zoo_core.interfaces import Encoder

    generator, discriminator = _built(subject)
    z, labels = _meta_inputs(generator)
    what = f"{type(generator).__qualname__}.forward"
    x = demand_any_device(what, lambda: generator(z, labels))  # of its own shape, whatever shape it states
    computed: dict[str, Callable[[], Any]] = {}
    if discriminator is not None:
        computed[f"{type(discriminator).__qualname__}.forward"] = lambda: discriminator(x, labels)
    if isinstance(generator, Encoder):
        computed[f"{type(generator).__qualname__}.encode"] = lambda: encode(generator, x, labels)
    for what, compute in computed.items():
        demand_any_device(what, compute)


def demand_any_device(what: str, compute: Callable[[], Any]) -> Any:
    """What `compute` returns on the meta device. Raises ContractError where it fails, or returns other tensors."""
    import torch

    asked = f"{what} makes every tensor on the device of its inputs and reads no value out of one"
    reason = "it must run on every device, and a value that is read makes a GPU wait"
    try:
        result = compute()
    except Exception as error:  # torch raises RuntimeError, NotImplementedError and others
        raise ContractError(f"the contract asks that {asked}, because {reason}; on meta it fails: {error}") from error
    tensors = result.values() if isinstance(result, dict) else result if isinstance(result, tuple) else (result,)
    elsewhere = {str(tensor.device) for tensor in tensors if isinstance(tensor, torch.Tensor) and not tensor.is_meta}
    demand(not elsewhere, asked, reason, f"a result on {', '.join(elsewhere)}")
    return result


def _on_meta(subject: Subject) -> tuple[Generator, Discriminator | None]:
    from zoo_core.runtime.meta_device import on_meta

    try:
        with on_meta():
            return subject.generator(), subject.discriminator()
    except Exception as error:  # a constructor that reads a value raises whatever torch does
        raise ContractError(
            "the contract asks that networks can be built on the meta device, because a model is compared with its "
            f"file before memory is taken; {type(error).__name__}: {error}"
        ) from error


def _built(subject: Subject) -> tuple[Generator, Discriminator | None]:
    """The networks on the meta device; where they cannot be built there, `construction` says so."""
    try:
        return _on_meta(subject)
    except ContractError as error:
        raise SkipTest(str(error)) from error


def _meta_inputs(generator: Generator) -> tuple[Tensor, Tensor | None]:
    import torch

    labels = torch.zeros(COUNT, dtype=torch.int64, device="meta") if generator.num_classes is not None else None
    return torch.empty(COUNT, *generator.latent_shape, device="meta"), labels


def _meta_samples(generator: Generator) -> Tensor:
    import torch

    return torch.empty(COUNT, *generator.sample_shape, device="meta")


def _quietly(compute: Callable[[], Any]) -> Any:
    """What is computed on the meta device; where it cannot be, `devices` says so."""
    try:
        return compute()
    except Exception as error:  # whatever torch raises
        raise SkipTest(f"it does not run on the meta device: {error}") from error


def _state(network: Any) -> Iterator[tuple[str, Tensor]]:
    yield from network.named_parameters()
    yield from network.named_buffers()


STATIC_CHECKS: tuple[Callable[[Subject], None], ...] = (
    documentation,
    importing_the_plugin,
    configuration_bounds,
    configuration_json,
    construction,
    devices,
    shapes,
    discriminator_shape,
    encoder_shapes,
)
