"""The contract of an architecture, as the tests that a plugin inherits: one method for each expectation."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar
from unittest import SkipTest

import torch
from torch import Tensor

from zoo_core.data.training_data import TrainingData
from zoo_core.errors import ContractError, InterfaceError, ModelFolderError, SamplingError, ZooError, printable
from zoo_core.interfaces import Batch, Discriminator, Encoder, Generator, SamplingOptions, Trainer
from zoo_core.kinds.by_name import kind_named
from zoo_core.kinds.output import default_output, write_samples
from zoo_core.kinds.showing import picture_of
from zoo_core.metrics.likelihood import is_discrete
from zoo_core.metrics.log_prob import states_log_prob
from zoo_core.modelfolder import WEIGHTS, load
from zoo_core.streams import IndexedNoise
from zoo_core.testing import static
from zoo_core.testing.architecture_under_test import (
    COUNT,
    ArchitectureUnderTest,
    batch_size,
    encode,
    example_samples,
    labels_for,
)
from zoo_core.testing.expectation import expect, violation
from zoo_core.testing.likelihood_probes import distinct, log_prob, measurable
from zoo_core.testing.option_probes import other_options, others, watched
from zoo_core.testing.probes import (
    CORRUPTIONS,
    Exportable,
    alike,
    awake,
    disturbed,
    expect_sound_samples,
    forward,
    highest_logit,
    in_parts,
    is_deterministic,
    latents,
    on_meta_device,
    states_of,
    stopped_in_the_middle,
    with_noise,
)
from zoo_core.testing.small_run import SmallRun, expected_stages, untouched
from zoo_core.training.loop import prepare
from zoo_core.training.stages import PlannedStage

STEPS = 30  # steps of training on one batch, over which a loss must fall
UNIT_SLACK = 3.0  # how far outside [0, 1] a picture may be: the mean of a Gaussian likelihood is unbounded
QUIET = {
    "batch_size": COUNT, "device": "cpu", "precision": "fp32", "compile": "off",
    "ema_decay": 0, "checkpoint_every": 0, "sample_every": 0, "steps": STEPS,
}  # fmt: skip


class ArchitectureContract:
    """The contract of one architecture; inherit it in a class whose name starts with Test.

    A test that does not apply (no trainer, no labels) is skipped, with the reason. If shapes are wrong, the tests that
    depend on them are skipped too, so that one fault is one failure.

    Attributes:
        architecture: name of the architecture, as the installed plugin registers it.
        config: values of configuration fields; small networks keep the tests fast.
        refused: configurations that must be refused, each with one wrong field that the error must name.
        options: values of sampling options; few steps keep the tests fast.
        unused_options: names of options that mean nothing in this configuration, as guidance does without classes.
        settings: values of training settings, if the model does not learn with the defaults within 30 steps. A trainer
            that works in stages needs `steps` to get through all of them.

    Example:
        >>> class TestRing(ArchitectureContract):
        ...     architecture = "ring"
        ...     config = {"width": 8}
        ...     refused = [{"width": 0}, {"width": 7}]
        >>> sorted(name for name in dir(TestRing) if name.startswith("test_training"))
        ['test_training_lowers_a_loss', 'test_training_touches_every_parameter']
    """

    architecture: ClassVar[str]
    config: ClassVar[Mapping[str, Any]] = {}
    refused: ClassVar[Sequence[Mapping[str, Any]]] = ()
    options: ClassVar[Mapping[str, Any]] = {}
    unused_options: ClassVar[Collection[str]] = ()
    settings: ClassVar[Mapping[str, Any]] = {}

    def samples(self, generator: Generator, count: int) -> Tensor:
        """Return training data (count, *sample_shape) in the model's range, the same every time.

        Override it if the model cannot learn from the default: pictures with one bright half, tones, texts of two
        characters in turn, and for other kinds normal numbers with mean 1.

        Example:
            >>> class TestRing(ArchitectureContract):
            ...     architecture = "ring"
            ...
            ...     def samples(self, generator, count):
            ...         angle = torch.linspace(0, 6, count)
            ...         return torch.stack([angle.cos(), angle.sin()], dim=1)
            >>> TestRing().samples(generator=None, count=16).shape
            torch.Size([16, 2])
        """
        return example_samples(generator, count)

    # Static checks, which `zoo plugins check` runs too

    def test_names_and_documentation_are_present(self) -> None:
        """The summary is one line, and every class and configuration field is explained."""
        static.documentation(self._tested())

    def test_importing_the_plugin_leaves_torch_out(self) -> None:
        """The module of the entry point does not import torch."""
        static.importing_the_plugin(self._tested())

    def test_every_field_of_the_configuration_is_bounded(self) -> None:
        """Numbers have a lower and an upper bound, collections and texts a maximal length."""
        static.configuration_bounds(self._tested())

    def test_every_option_is_bounded(self) -> None:
        """The options that are chosen for sampling have bounds, too."""
        static.option_bounds(self._tested())

    def test_what_cannot_be_built_is_refused(self) -> None:
        """Each configuration in `refused` raises a ValueError that names the field."""
        _applies(bool(self.refused), "the test lists no configuration in `refused`")
        tested = self._tested()
        for values in self.refused:
            static.expect_refusal(tested, values)

    def test_the_configuration_survives_json(self) -> None:
        """A configuration equals itself after a round trip through JSON."""
        static.configuration_json(self._tested())

    def test_the_networks_are_built_on_the_meta_device(self) -> None:
        """Constructors read no value of a tensor, and name no device."""
        static.construction(self._tested())

    def test_the_kind_suits_the_samples(self) -> None:
        """The kind exists, the Architecture states it, and the samples have what it needs."""
        static.kind_of_samples(self._tested())

    def test_no_device_is_hard_coded(self) -> None:
        """Forward, encode, log_prob and a training step run on the meta device."""
        static.devices(self._tested())
        tested = self._sound()
        if tested.architecture.trainer is None:
            return
        trainer = self._trainer(tested, tested.generator())
        trainer.device = torch.device("meta")
        prepare(trainer)
        batch = on_meta_device(self._batch(tested, trainer))
        _applies(
            not static.reads_values(lambda: trainer.training_step(batch)),
            "training_step reads values of tensors, as `item` does, and these are on no meta device",
        )
        static.expect_any_device(f"{_name(trainer)}.training_step", lambda: trainer.training_step(batch))

    # Samples

    def test_samples_have_the_stated_shape_range_and_dtype(self) -> None:
        """Samples are finite, float32 and (N, *sample_shape); to_unit and from_unit are inverse to each other."""
        generator = self._tested().generator()
        expect_sound_samples(generator)
        if generator.kind == "audio":
            loudest = forward(generator).abs().max().item()
            expect(
                loudest <= 1 + 2 * UNIT_SLACK,
                f"{_name(generator)} makes sounds in [-1, 1]",
                "a sound is clamped there when it is sampled, and would be nothing but clicks",
                "end forward with a tanh, or scale what it returns",
                f"up to {loudest:.3g}",
            )
        if generator.kind != "image":
            return
        unit = generator.to_unit(forward(generator))
        expect(
            unit.min().item() >= -UNIT_SLACK and unit.max().item() <= 1 + UNIT_SLACK,
            f"to_unit of {_name(generator)} takes what forward returns to [0, 1]",
            "a picture is clamped to [0, 1] when it is sampled, and would become black and white",
            "override to_unit and from_unit with the range of the model; the default is [-1, 1]",
            f"{unit.min().item():.3g} to {unit.max().item():.3g}",
        )
        grey = torch.linspace(0, 1, COUNT * math.prod(generator.sample_shape)).reshape(COUNT, *generator.sample_shape)
        back = generator.to_unit(generator.from_unit(grey))
        expect(
            torch.allclose(back, grey, atol=1e-5),
            f"to_unit and from_unit of {_name(generator)} are inverse to each other",
            "training data goes in through one, and samples come out through the other",
            "override both or neither",
        )

    def test_samples_can_be_written_and_shown(self, tmp_path: Path) -> None:
        """The kind writes samples in its first format, and shows them in one picture, if it shows any."""
        generator = self._sound().generator()
        x = generator.sample(3)
        try:
            write_samples([x], len(x), generator, tmp_path / default_output(kind_named(generator.kind), "samples"))
            picture_of(x, generator)
        except Exception as error:  # the kind, or `decode`, may be the plugin's own
            raise violation(
                f"samples of {_name(generator)} can be written and shown",
                "`zoo sample` writes them, and a training run shows them",
                "correct the kind's write and picture, or the generator's decode; codes are 0 to the number of "
                "characters in its alphabet",
                f"{type(error).__name__}: {error}",
            ) from error

    def test_the_latents_are_used(self) -> None:
        """Another z gives another sample."""
        generator = self._sound().generator()
        one_class = torch.zeros(COUNT, dtype=torch.int64) if generator.num_classes is not None else None
        equal = min(_equal_to_the_first(forward(network, one_class)) for network in (generator, awake(generator)))
        expect(
            equal < COUNT - 1,
            f"{_name(generator)} gives another sample for another z",
            "a generator that ignores z has one sample only",
            "use z in forward",
            f"{equal} of {COUNT - 1} samples equal the first one",
        )

    def test_latents_depend_on_seed_and_index_alone(self) -> None:
        """Latents are a function of (seed, index): no global generator."""
        generator = self._sound().generator()
        whole = generator.latents(3, 0, COUNT)
        torch.manual_seed(1)
        again, part, other = generator.latents(3, 0, COUNT), generator.latents(3, 5, 4), generator.latents(4, 0, COUNT)
        expected = f"latent i of {_name(generator)} depends on (seed, i) alone"
        reason = "sample i must be the same in any batch, process and run"
        fix = "draw with zoo_core.streams.latents, never from a global generator"
        expect(torch.equal(whole, again), expected, reason, fix, "two calls that differ")
        expect(torch.equal(whole[5:9], part), expected, reason, fix, "other latents 5 to 8 if only these are drawn")
        expect(not torch.equal(whole, other), expected, reason, fix, "the same latents for two seeds")

    def test_sampling_is_deterministic(self) -> None:
        """In eval mode there is no dropout, no noise but the given one, and no draw from torch's random generator."""
        generator = awake(self._sound().generator())
        z, before = latents(generator), torch.get_rng_state()
        expect(
            is_deterministic(generator, z),
            f"forward of {_name(generator)} in eval mode gives the same for the same z",
            "the same seed must give the same samples",
            "apply dropout and noise only if self.training; a class that draws random numbers while it samples sets "
            "stochastic = True and takes them from noise(step, shape)",
        )
        expect(
            torch.equal(before, torch.get_rng_state()),
            f"forward of {_name(generator)} in eval mode draws nothing from torch's random generator",
            "sampling between two training steps would change the run",
            "take random numbers from z, or from noise(step, shape) with stochastic = True",
        )

    def test_a_sample_does_not_depend_on_its_batch(self) -> None:
        """In eval mode there are no statistics over the batch, whatever its size and its first sample are."""
        generator = awake(self._sound().generator())
        _applies(is_deterministic(generator), "sampling is not deterministic")
        z = latents(generator)
        whole = forward(generator, z=z)
        expected = f"a sample of {_name(generator)} in eval mode is the same in any batch"
        reason = "sample i must not depend on --batch-size"
        fix = "use running statistics, as BatchNorm in eval mode does, not those of the batch"
        parts = in_parts(generator, z, 4)
        expect(
            alike(whole, parts),
            expected,
            reason,
            fix,
            f"a difference of {(whole - parts).abs().max().item():.2g} between batches of {COUNT} and 4",
        )
        _applies(torch.equal(z, latents(generator)), "the latents are others every time")
        options = other_options(generator)
        try:
            sampled = generator.sample(9, seed=5, options=options)
        except SamplingError as error:
            raise SkipTest(f"fix this first: {error}") from error
        for size in (1, 7):
            again = generator.sample(9, seed=5, options=options, batch_size=size)
            expect(alike(sampled, again), expected, reason, fix, f"others for batches of {size}")
        again = generator.sample(4, seed=5, start=5, options=options)
        expect(alike(sampled[5:], again), expected, reason, fix, "others if only the last ones are sampled")

    # Options, states and noise

    def test_the_options_reach_the_samples(self) -> None:
        """Every option is read when samples are made, and other values of it make samples, too."""
        generator = awake(self._sound().generator())
        _applies(generator.has_options(), "the generator has no options")
        own = generator.options
        names = own.__struct_fields__
        watching, used = watched(own)
        first = forward(generator, options=watching)
        for name, options in others(generator):
            watching, read = watched(options)
            x = self._sampled_with(generator, f"{name} = {getattr(options, name)!r}", watching)
            used |= read | ({name} if not torch.equal(x, first) else set())
        idle = [name for name in names if name not in used and name not in self.unused_options]
        expect(
            not idle,
            f"{_name(generator)} uses every option of {generator.Options.__qualname__} when it samples",
            "a choice without effect misleads its users",
            "read it from `options` in forward or states, or remove it; if it means nothing in this configuration, "
            "name it in `unused_options` of the test",
            f"unused: {', '.join(idle)}",
        )

    def test_the_options_are_saved_with_the_model(self, tmp_path: Path) -> None:
        """A loaded generator has the options that the saved one had."""
        generator = self._sound().generator()
        _applies(generator.has_options(), "the generator has no options")
        for chosen in (generator.options, other_options(generator)):
            expected = f"a loaded {_name(generator)} has the options that were saved"
            reason = "config.json keeps them, and figures are measured with them"
            fix = f"make __post_init__ of {generator.Options.__qualname__} check values without changing them"
            generator.options = chosen
            try:
                loaded = load(generator.save(tmp_path / "model")).options
            except ZooError as error:
                raise violation(expected, reason, fix, f"{chosen} is refused: {error}") from error
            expect(loaded == chosen, expected, reason, fix, f"{chosen} became {loaded}")

    def test_the_states_end_with_the_samples(self) -> None:
        """Each state has the shape of the samples and stays as it was yielded, and the last are the samples."""
        generator = awake(self._sound().generator())
        _applies(type(generator).states is not Generator.states, "the generator makes its samples in one step")
        _applies(is_deterministic(generator), "sampling is not deterministic")
        yielded, copies = [], []
        for state in states_of(generator):
            static.expect_samples(generator, state, "each of states(z)")
            yielded.append(state)
            copies.append(state.clone())
        expect(
            all(torch.equal(state, copy) for state, copy in zip(yielded, copies, strict=True)),
            f"a state that {_name(generator)} has yielded stays as it is",
            "a film would show the samples from the beginning",
            "compute the next state in a tensor of its own, as x = x + … does, and x += … does not",
        )
        samples = forward(generator)
        expect(
            bool(yielded) and torch.equal(yielded[-1], samples),
            f"states of {_name(generator)} ends with what forward returns",
            "a film of how samples come to be ends with them",
            "implement states alone, and leave forward to the core",
            "other samples" if yielded else "no states",
        )

    def test_the_noise_is_used(self) -> None:
        """A stochastic generator draws from `noise`, with another step for every draw, and its samples show it."""
        generator = awake(self._sound().generator())
        _applies(type(generator).stochastic, "the generator is not stochastic")
        drew, shows = False, False
        for options in (generator.options, *(options for _, options in others(generator))):
            x, asked = with_noise(generator, options)
            drew = drew or bool(asked.draws)
            repeated = [draw for draw in asked.draws if asked.draws.count(draw) > 1]
            expect(
                not repeated,
                f"{_name(generator)} draws no noise twice",
                "two draws of one step and shape are the same numbers",
                "give every draw a step of its own, or keep what is drawn in a variable",
                f"noise{repeated[0] if repeated else ''} {len(repeated)} times",
            )
            shows = shows or not torch.equal(x, with_noise(generator, options, seed=1)[0])
        expect(
            drew and shows,
            f"{_name(generator)}, which is stochastic, makes other samples with other noise",
            "`noise` is what its random numbers are to come from",
            "draw noise(step, shape) in forward or states, or leave out stochastic = True",
            "no draw" if not drew else "the same samples",
        )

    def test_labels_choose_what_is_made(self) -> None:
        """Both networks of a conditional model use the labels."""
        tested = self._sound()
        generator, discriminator = tested.generator(), tested.discriminator()
        _applies(generator.num_classes is not None, "the configuration is unconditional")
        _applies((generator.num_classes or 0) > 1, "there is only one class")
        zeros = torch.zeros(COUNT, dtype=torch.int64)
        woken = awake(generator)
        expect(
            any(not torch.equal(forward(made, zeros), forward(made, zeros + 1)) for made in (generator, woken)),
            f"{_name(generator)} makes another sample for another label",
            "`zoo sample --label` must draw the requested class",
            "use labels in forward, as with zoo_core.conditioning.append_one_hot",
        )
        if discriminator is not None:
            x = forward(woken, zeros)
            with torch.no_grad():
                differ = [
                    not torch.equal(judge(x, zeros), judge(x, zeros + 1))
                    for judge in (discriminator, disturbed(copy.deepcopy(discriminator)))
                ]
            expect(
                any(differ),
                f"{_name(discriminator)} judges by the label too",
                "nothing else teaches the labels to the generator",
                "use labels in its forward",
            )

    # Other networks

    def test_the_discriminator_returns_logits(self) -> None:
        """The discriminator returns (N,), unbounded."""
        tested = self._sound()
        discriminator = tested.discriminator()
        if discriminator is None:
            raise SkipTest("the architecture has no discriminator")
        generator = tested.generator()
        x, labels = self.samples(generator, COUNT), labels_for(generator, COUNT)
        static.expect_logits(discriminator, discriminator(x, labels))
        for sign, direction in ((1, "up"), (-1, "down")):
            reached = highest_logit(tested.discriminator(), x, labels, sign)
            expect(
                reached > 1,
                f"{_name(discriminator)} returns logits, which have no bound",
                "losses are computed from logits, and a probability in their place loses its gradient",
                "leave the last sigmoid or tanh out",
                f"trained to go {direction}, its output stops at {sign * reached:.3g}",
            )

    def test_what_is_encoded_is_decoded(self) -> None:
        """Encode and reconstruct return the right shapes; encode draws nothing, and tells samples apart."""
        generator = self._sound().generator()
        if not isinstance(generator, Encoder):
            raise SkipTest("the generator is not a zoo_core.Encoder")
        x, labels = self.samples(generator, COUNT), labels_for(generator, COUNT)
        with torch.no_grad():
            encoded = encode(generator, x, labels)
            static.expect_posterior(generator, encoded)
            shown = generator.to_unit(x).clamp(0, 1) if generator.kind == "image" else x
            reconstruction = generator.reconstruct(shown, labels)
            static.expect_samples(generator, reconstruction, "reconstruct(x)")
            again = encode(generator, x, labels)
        expect(
            generator.kind != "image" or (reconstruction.min().item() >= 0 and reconstruction.max().item() <= 1),
            f"{_name(generator)}.reconstruct takes and returns pictures in [0, 1]",
            "what sample returns can be reconstructed, whatever the model's own range is",
            "leave reconstruct to the mixin, or map with from_unit and to_unit",
            f"{reconstruction.min().item():.3g} to {reconstruction.max().item():.3g}",
        )
        same = all(a is b is None or torch.equal(a, b) for a, b in zip(encoded, again, strict=True))
        expect(
            same,
            f"{_name(generator)}.encode gives the same twice",
            "it returns a distribution, and draws nothing",
            "return mean and logvar, and leave the draw to the trainer",
        )
        with torch.no_grad():
            other_codes = encode(awake(generator), x, labels)[0]
        expect(
            min(_equal_to_the_first(encoded[0]), _equal_to_the_first(other_codes)) < COUNT - 1,
            f"{_name(generator)}.encode gives different samples different codes",
            "a constant code carries nothing to decode",
            "use x in encode",
        )

    def test_log_prob_is_a_log_probability(self) -> None:
        """`log_prob` gives each sample a finite number; probabilities of different values add up to 1 at most."""
        generator = disturbed(self._sound().generator())
        _applies(states_log_prob(generator), "the generator states no log_prob of its own")
        name = f"{_name(generator)}.log_prob"
        expect(
            generator.log_prob_bound in ("exact", "lower"),
            f'log_prob_bound of {_name(generator)} is "exact" or "lower"',
            "a figure says which of them it is",
            "set it in the class",
            repr(generator.log_prob_bound),
        )
        x, labels = measurable(generator, self.samples(generator, COUNT)), labels_for(generator, COUNT)
        found = log_prob(generator, x, labels)
        expect(
            isinstance(found, Tensor) and tuple(found.shape) == (COUNT,) and bool(torch.isfinite(found).all()),
            f"{name} returns a finite number for each sample, here ({COUNT},)",
            "`zoo eval --metric nll` averages them",
            "sum over the values of a sample, and keep logs away from 0",
            tuple(found.shape) if isinstance(found, Tensor) and tuple(found.shape) != (COUNT,) else found,
        )
        if torch.equal(found, log_prob(generator, x, labels)):  # a bound may be an estimate
            parts = [
                log_prob(generator, x[i : i + 4], labels[i : i + 4] if labels is not None else None) for i in (0, 4)
            ]
            expect(
                alike(found[:8], torch.cat(parts)),
                f"{name} of a sample is the same in any batch",
                "the likelihood of one sample has nothing to do with others",
                "use no statistics over the batch",
            )
        if not is_discrete(generator):
            return
        values = distinct(generator, x)
        one_class = torch.zeros(len(values), dtype=torch.int64) if labels is not None else None
        total = log_prob(generator, values, one_class).double().exp().sum().item()
        expect(
            total <= 1 + 1e-3,
            f"{name} is the log of a probability, which adds up to 1 at most over different samples",
            "figures in nats and bits compare models by it",
            "sum the logs over the values of a sample, neither averaged nor left out"
            + ("" if generator.kind == "text" else ", and set log_prob_discrete only if it is no density"),
            f"{total:.4g} over {len(values)} of them",
        )

    # Folders

    def test_what_is_saved_is_loaded(self, tmp_path: Path) -> None:
        """A loaded generator makes the same samples, is in eval mode, and is frozen."""
        generator = disturbed(self._sound().generator())
        folder = generator.save(tmp_path / "model")
        torch.manual_seed(1)  # so that random numbers drawn in the constructor are others when it is built again
        loaded = load(folder)
        loaded.options = generator.options  # of which another test sees what is saved
        expected = f"{_name(generator)} makes the same samples after it was saved and loaded"
        reason = "the folder holds parameters and persistent buffers only"
        fix = "register whatever samples depend on as one of these"
        torch.manual_seed(0)
        before = forward(generator)
        torch.manual_seed(0)
        try:
            after = forward(loaded)
        except Exception as error:  # of a tensor that was made on the meta device and is no buffer
            fix = "make every tensor of the constructor a parameter, or a buffer by register_buffer"
            raise violation(expected, reason, fix, f"{type(error).__name__}: {error}") from error
        expect(alike(before, after), expected, reason, fix)
        trainable = [name for name, parameter in loaded.named_parameters() if parameter.requires_grad]
        expect(
            not (loaded.training or trainable),
            "a loaded model is in eval mode and frozen",
            "it is loaded to be used",
            "leave train and requires_grad_ as torch.nn.Module has them",
        )

    def test_a_folder_that_does_not_fit_is_refused(self, tmp_path: Path) -> None:
        """A missing, unexpected or misshapen tensor, an unknown field and another sample_shape are refused."""
        tested = self._sound()
        for what, corrupt in CORRUPTIONS.items():
            folder = tested.generator().save(tmp_path / what.replace(" ", "-"))
            corrupt(folder)
            try:
                load(folder)
            except ModelFolderError:
                continue
            raise violation(
                f"a model folder with {what} is refused",
                "downloaded files are trusted only if they fit exactly",
                "keep forbid_unknown_fields of ModelConfig, and load_state_dict of torch.nn.Module",
                "a generator",
            )

    # Precision and export

    def test_bfloat16_stays_bfloat16(self) -> None:
        """No constant is float32 when the weights are bfloat16."""
        generator = self._sound().generator().to(torch.bfloat16)
        z = latents(generator)
        z = z.to(torch.bfloat16) if z.is_floating_point() else z
        x = forward(generator, z=z)
        expect(
            not x.is_floating_point() or (x.dtype == torch.bfloat16 and bool(torch.isfinite(x).all())),
            f"{_name(generator)} computes in bfloat16 when its weights are",
            "`zoo sample --precision bf16` halves the memory",
            "make constants in the dtype of the input, and tensors of the constructor parameters or buffers",
            x.dtype,
        )

    def test_the_generator_can_be_exported(self) -> None:
        """torch.export takes the generator for batches of any size, and the exported program makes the same samples."""
        generator = self._sound().generator().requires_grad_(False)
        _, asked = with_noise(generator, generator.options)
        exportable = Exportable(generator, asked.draws)
        z, labels = latents(generator), labels_for(generator, COUNT)
        inputs = (z, labels, [IndexedNoise(0, 0, z)(*draw) for draw in asked.draws])
        any_size = {0: torch.export.Dim("batch")}
        shapes = (any_size, any_size if labels is not None else None, [any_size] * len(asked.draws))
        expected = f"torch.export.export takes {_name(generator)}"
        reason = "exported models run without the plugin"
        fix = "avoid side effects, branches on values of tensors, and len(z) in place of z.shape[0], in forward"
        try:
            with warnings.catch_warnings():  # torch warns of what its own layers do, such as those of a GRU
                warnings.simplefilter("ignore")
                exported = torch.export.export(exportable, inputs, dynamic_shapes=shapes)
        except Exception as error:  # the exporter raises whatever it meets
            problem = printable(str(error).strip().partition("\n")[0])
            raise violation(expected, reason, fix, problem) from error
        inputs = (_one_more(z), _one_more(labels) if labels is not None else None, [*map(_one_more, inputs[2])])
        same = alike(exportable(*inputs), exported.module()(*inputs))
        expect(same or not is_deterministic(generator), f"{expected} and makes the same samples", reason, fix)

    # Training

    def test_training_touches_every_parameter(self) -> None:
        """Training changes every parameter of every network, in as many steps as `settings` say."""
        run = self._run()
        trainer, steps = run.trainer, run.trainer.settings.steps
        unchanged = untouched(run, steps)
        expect(
            not unchanged,
            f"{steps} steps of {_name(trainer)} change every parameter of every network",
            "a parameter that no optimizer updates stays random",
            "give every network an optimizer, call self.update for it, and remove what forward does not use; a trainer "
            "that works in stages needs more `steps` in `settings`",
            f"unchanged: {', '.join(unchanged[:8])}",
        )

    def test_training_lowers_a_loss(self) -> None:
        """A figure whose name starts with `loss` falls over the steps on one batch: 30, or as `settings` say."""
        run = self._run()
        trainer, steps = run.trainer, run.trainer.settings.steps
        figures = run.train(steps, same_draws=True)
        expected = f"{steps} steps of {_name(trainer)} on one batch lower a figure whose name starts with `loss`"
        reason = "a step in the wrong direction shows here first"
        fix = "check the sign of the loss and return it from training_step, or raise learning_rate in `settings`"
        losses = {name: values for name, values in figures.items() if name.startswith("loss")}
        expect(bool(losses), expected, reason, fix, f"figures {', '.join(figures) or 'none'}")
        changes = ", ".join(f"{name} from {values[0]:.4g} to {values[-1]:.4g}" for name, values in losses.items())
        expect(any(_fell(values) for values in losses.values()), expected, reason, fix, changes)

    def test_the_discriminator_learns_to_tell_samples_apart(self) -> None:
        """Training raises the logits of data above those of samples."""
        run = self._run()
        trainer = run.trainer
        generator, discriminator = trainer.modules["generator"], trainer.modules.get("discriminator")
        if not (isinstance(generator, Generator) and isinstance(discriminator, Discriminator)):
            raise SkipTest("the trainer has no discriminator")
        steps = trainer.settings.steps
        labels = labels_for(generator, COUNT)
        # As the trainer makes them: with the statistics of the batch, where the generator has BatchNorm.
        data, first_samples = self.samples(generator, COUNT), forward(copy.deepcopy(generator).train())

        def lead(samples: Tensor) -> float:
            """By how much the logits of data are above those of samples."""
            with torch.no_grad():
                return float(discriminator.eval()(data, labels).mean() - discriminator(samples, labels).mean())

        at_first = lead(first_samples)
        discriminator.train()
        run.train(steps)
        # Later samples may already be as good as data to a slow critic; the first ones it must have learned to reject.
        learned, now = lead(first_samples) - at_first, lead(forward(generator.eval()))
        expect(
            learned > 0 or now > 0,
            f"{steps} steps of {_name(trainer)} raise the logits of data above those of samples",
            "a discriminator that learns the opposite misleads the generator, while its losses look good",
            "check the sign of its loss, and which of its inputs are data",
            f"a lead of {now:.4g}, and {learned:+.4g} over the first samples",
        )

    def test_the_stages_train_what_they_name(self) -> None:
        """Each stage gets steps by default, finds the same data twice, and changes what it names and nothing else."""
        tested = self._sound()
        _applies(tested.architecture.trainer is not None, "the architecture has no trainer")
        trainer = self._trainer(tested, tested.generator())
        _applies(bool(expected_stages(trainer, _AS_TESTED)), "the trainer works in one stage")
        defaults = tested.trainer({}, trainer.sample_shape)
        assert defaults is not None
        expected_stages(defaults, "by default")
        run = self._run()
        for planned in run.planned:
            before = run.state()
            run.train_stage()
            changed = {name for name, tensor in run.state().items() if not torch.equal(tensor, before[name])}
            named = run.named(planned.stage)
            expect(
                bool(changed & named),
                f"the stage {planned.name!r} of {_name(trainer)} changes what it trains",
                "its steps would be lost time",
                "branch on self.stage in training_step, and call self.update for the stage's optimizer",
            )
            other = sorted(changed - named)
            expect(
                not other,
                f"the stage {planned.name!r} of {_name(trainer)} leaves alone what it does not name in `trains`",
                "what an earlier stage has trained is finished, and data made of it would no longer be its own",
                "name it in `trains`, or leave its buffers alone in this stage",
                f"changed: {', '.join(other[:8])}",
            )

    def test_a_resumed_run_ends_with_the_same_bytes(self, tmp_path: Path) -> None:
        """A run that is stopped and resumed, between two stages too, ends with the same weights as one that is not."""
        tested = self._sound()
        generator = tested.generator()
        trainer, planned = self._planned(tested)
        steps = trainer.settings.steps if planned else max(4, int(self.settings.get("steps", 4)))
        seams = [stage.end for stage in planned[:-1]]
        middle = (steps + max(seams, default=0)) // 2
        every = {"steps": steps, "checkpoint_every": middle, "keep_checkpoints": 10}
        count = max([2 * batch_size(generator), *(stage.stage.batch_size or 0 for stage in planned)])
        data = TrainingData.from_tensors(self.samples(generator, count), labels_for(generator, count))
        _applies(_can_be_shown(generator), "the samples cannot be shown")
        run = self._trainer(tested, generator, **every).fit(data, out=tmp_path / "straight")
        straight = (run / WEIGHTS).read_bytes()
        for step in {middle, *seams}:
            out = tmp_path / f"resumed-{step}"
            stopped_in_the_middle(run, out, step)
            resumed = self._trainer(tested, generator, **every).fit(data, out=out, resume=True)
            expect(
                straight == (resumed / WEIGHTS).read_bytes(),
                f"a run of {_name(trainer)} that was stopped and resumed ends with the same bytes",
                "a checkpoint holds the modules, the optimizers and torch's random state, and any other state is lost",
                "keep state in buffers, and draw random numbers with self.draw",
                f"others after step {step} of {steps}",
            )

    # Helpers

    def _tested(self) -> ArchitectureUnderTest:
        if not hasattr(self, "architecture"):
            raise InterfaceError(f"{_name(self)} names no architecture; set architecture = … in the class")
        return ArchitectureUnderTest.of(self.architecture, self.config, self.options)

    def _sound(self) -> ArchitectureUnderTest:
        """The architecture, for tests that need sound samples; skips if another test reports that they are not."""
        tested = self._tested()
        try:
            static.configuration_json(tested)
            static.construction(tested)
            static.kind_of_samples(tested)
            expect_sound_samples(tested.generator())
        except ContractError as error:
            raise SkipTest(f"fix this first: {error}") from error
        return tested

    def _trainer(self, tested: ArchitectureUnderTest, generator: Generator, **settings: Any) -> Trainer:
        """A trainer that is not built yet. Raises SkipTest if the architecture cannot be trained."""
        values = QUIET | dict(self.settings) | {"batch_size": batch_size(generator)} | settings
        trainer = tested.trainer(values, tuple(generator.sample_shape))
        if trainer is None:
            raise SkipTest("the architecture has no trainer")
        return trainer

    def _run(self) -> SmallRun:
        """A run on one batch, on the CPU, before its first step. Skips if another test reports its stages."""
        tested = self._sound()
        trainer, planned = self._planned(tested)
        stages = prepare(trainer)
        largest = max((planned_stage.stage.batch_size or 0 for planned_stage in planned), default=0)
        return SmallRun(trainer, stages, self._batch(tested, trainer, largest))

    def _planned(self, tested: ArchitectureUnderTest) -> tuple[Trainer, list[PlannedStage]]:
        """A trainer that is not built yet, and its stages. Skips if another test reports that they cannot be."""
        trainer = self._trainer(tested, tested.generator())
        try:
            return trainer, expected_stages(trainer, _AS_TESTED)
        except ContractError as error:
            raise SkipTest(f"fix this first: {error}") from error

    def _batch(self, tested: ArchitectureUnderTest, trainer: Trainer, least: int = 0) -> Batch:
        """The batch that one step takes, or a larger one, with labels for a conditional model."""
        generator = tested.generator()
        count = max(batch_size(generator), least) * trainer.batches_per_step
        return Batch(self.samples(generator, count), labels_for(generator, count))

    def _sampled_with(self, generator: Generator, chosen: str, options: SamplingOptions) -> Tensor:
        """Samples with other options. Raises ContractError, which says what was chosen, unless they are sound."""
        try:
            x = forward(generator, options=options)
        except Exception as error:  # whatever a plugin raises
            raise violation(
                f"{_name(generator)} makes samples with the option {chosen}, which it accepts",
                "every value within the bounds can be chosen",
                "narrow the bounds, refuse it in __post_init__ of the options, or handle it",
                f"{type(error).__name__}: {error}",
            ) from error
        static.expect_samples(generator, x, f"forward(z) with the option {chosen}")
        expect(
            not x.is_floating_point() or bool(torch.isfinite(x).all()),
            f"samples of {_name(generator)} with the option {chosen} are finite",
            "every value within the bounds can be chosen",
            "narrow the bounds, or handle it",
        )
        return x


_AS_TESTED = "with the `settings` of the test"


def _name(thing: object) -> str:
    return type(thing).__qualname__


def _applies(condition: bool, otherwise: str) -> None:
    if not condition:
        raise SkipTest(otherwise)


def _can_be_shown(generator: Generator) -> bool:
    """Whether a run can show samples, which another test reports."""
    try:
        picture_of(generator.sample(1), generator)
    except Exception:  # the kind, or `decode`, may be the plugin's own
        return False
    return True


def _one_more(x: Tensor) -> Tensor:
    return torch.cat([x, x[:1]])


def _equal_to_the_first(x: Tensor) -> int:
    """How many of the others equal the first: samples, or codes, of which some may well coincide."""
    return int((x[1:] == x[:1]).flatten(1).all(dim=1).sum())


def _fell(values: Sequence[float]) -> bool:
    """Whether the last fifth of the values is lower than the first, on average."""
    fifth = max(1, len(values) // 5)
    return sum(values[-fifth:]) < sum(values[:fifth])
