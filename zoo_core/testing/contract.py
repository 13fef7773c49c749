"""The contract of an architecture, as the tests that a plugin inherits: one method for each expectation."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar
from unittest import SkipTest

import torch
from torch import Tensor

from zoo_core.data.training_data import TrainingData
from zoo_core.errors import ContractError, InterfaceError, ModelFolderError, printable
from zoo_core.interfaces import Batch, Discriminator, Encoder, Generator, Trainer
from zoo_core.modelfolder import WEIGHTS, load
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
from zoo_core.testing.probes import (
    CORRUPTIONS,
    alike,
    awake,
    disturbed,
    expect_sound_samples,
    forward,
    highest_logit,
    is_deterministic,
    latents,
    on_meta_device,
    reads_values,
    stopped_in_the_middle,
    train,
    untouched,
)
from zoo_core.training.loop import prepare

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
    settings: ClassVar[Mapping[str, Any]] = {}

    def samples(self, generator: Generator, count: int) -> Tensor:
        """Return training data (count, *sample_shape) in the model's range, the same every time.

        Override it if the model cannot learn from the default: pictures with one bright half, or for kind "tensor"
        normal numbers with mean 1.

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

    def test_no_device_is_hard_coded(self) -> None:
        """Forward, encode and a training step run on the meta device."""
        static.devices(self._tested())
        tested = self._sound()
        if tested.architecture.trainer is None:
            return
        trainer = self._trainer(tested, tested.generator())
        trainer.device = torch.device("meta")
        prepare(trainer)
        batch = on_meta_device(self._batch(trainer))
        _applies(
            not reads_values(lambda: trainer.training_step(batch)),
            "training_step reads values of tensors, as `item` does, and these are on no meta device",
        )
        static.expect_any_device(f"{_name(trainer)}.training_step", lambda: trainer.training_step(batch))

    # Samples

    def test_samples_have_the_stated_shape_range_and_dtype(self) -> None:
        """Samples are finite, float32 and (N, *sample_shape); to_unit and from_unit are inverse to each other."""
        generator = self._tested().generator()
        expect_sound_samples(generator)
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
        """In eval mode there is neither dropout nor noise."""
        generator = awake(self._sound().generator())
        expect(
            is_deterministic(generator),
            f"forward of {_name(generator)} in eval mode gives the same for the same z",
            "the same seed must give the same samples",
            "apply dropout and noise only if self.training",
        )

    def test_a_sample_does_not_depend_on_its_batch(self) -> None:
        """In eval mode there are no statistics over the batch."""
        generator = awake(self._sound().generator())
        _applies(is_deterministic(generator), "sampling is not deterministic")
        z, labels = latents(generator), labels_for(generator, COUNT)
        whole = forward(generator, z=z)
        with torch.no_grad():
            parts = [
                generator(z[i : i + 4], labels[i : i + 4] if labels is not None else None) for i in range(0, COUNT, 4)
            ]
        expect(
            alike(whole, torch.cat(parts)),
            f"a sample of {_name(generator)} in eval mode is the same in any batch",
            "sample i must not depend on --batch-size",
            "use running statistics, as BatchNorm in eval mode does, not those of the batch",
            f"a difference of {(whole - torch.cat(parts)).abs().max().item():.2g} between batches of {COUNT} and 4",
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

    # Folders

    def test_what_is_saved_is_loaded(self, tmp_path: Path) -> None:
        """A loaded generator makes the same samples, is in eval mode, and is frozen."""
        generator = disturbed(self._sound().generator())
        folder = generator.save(tmp_path / "model")
        torch.manual_seed(1)  # so that random numbers drawn in the constructor are others when it is built again
        loaded = load(folder)
        torch.manual_seed(0)
        before = forward(generator)
        torch.manual_seed(0)
        expect(
            alike(before, forward(loaded)),
            f"{_name(generator)} makes the same samples after it was saved and loaded",
            "the folder holds parameters and persistent buffers only",
            "register whatever samples depend on as one of these",
        )
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
        with torch.no_grad():
            x = generator(z, labels_for(generator, COUNT))
        expect(
            x.dtype == torch.bfloat16 and bool(torch.isfinite(x).all()),
            f"{_name(generator)} computes in bfloat16 when its weights are",
            "`zoo sample --precision bf16` halves the memory",
            "make constants in the dtype of the input",
            x.dtype,
        )

    def test_the_generator_can_be_exported(self) -> None:
        """torch.export takes the generator for batches of any size, and the exported program makes the same samples."""
        generator = self._sound().generator().requires_grad_(False)
        inputs = tuple(part for part in (latents(generator), labels_for(generator, COUNT)) if part is not None)
        batch = torch.export.Dim("batch")
        expected = f"torch.export.export takes {_name(generator)}"
        reason = "exported models run without the plugin"
        fix = "avoid side effects, branches on values of tensors, and len(z) in place of z.shape[0], in forward"
        try:
            exported = torch.export.export(generator, inputs, dynamic_shapes=tuple({0: batch} for _ in inputs))
        except Exception as error:  # the exporter raises whatever it meets
            problem = printable(str(error).strip().partition("\n")[0])
            raise violation(expected, reason, fix, problem) from error
        inputs = tuple(torch.cat([part, part[:1]]) for part in inputs)
        same = alike(generator(*inputs), exported.module()(*inputs))
        expect(same or not is_deterministic(generator), f"{expected} and makes the same samples", reason, fix)

    # Training

    def test_training_touches_every_parameter(self) -> None:
        """Training changes every parameter of every network, in as many steps as `settings` say."""
        trainer = self._prepared()
        steps = trainer.settings.steps
        unchanged = untouched(trainer, self._batch(trainer), steps)
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
        trainer = self._prepared()
        steps = trainer.settings.steps
        figures = train(trainer, self._batch(trainer), steps)
        expected = f"{steps} steps of {_name(trainer)} on one batch lower a figure whose name starts with `loss`"
        reason = "a step in the wrong direction shows here first"
        fix = "check the sign of the loss and return it from training_step, or raise learning_rate in `settings`"
        losses = {name: values for name, values in figures.items() if name.startswith("loss")}
        expect(bool(losses), expected, reason, fix, f"figures {', '.join(figures) or 'none'}")
        changes = ", ".join(f"{name} from {values[0]:.4g} to {values[-1]:.4g}" for name, values in losses.items())
        expect(any(_fell(values) for values in losses.values()), expected, reason, fix, changes)

    def test_the_discriminator_learns_to_tell_samples_apart(self) -> None:
        """Training raises the logits of data above those of samples."""
        trainer = self._prepared()
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
        train(trainer, self._batch(trainer), steps)
        # Later samples may already be as good as data to a slow critic; the first ones it must have learned to reject.
        learned, now = lead(first_samples) - at_first, lead(forward(generator.eval()))
        expect(
            learned > 0 or now > 0,
            f"{steps} steps of {_name(trainer)} raise the logits of data above those of samples",
            "a discriminator that learns the opposite misleads the generator, while its losses look good",
            "check the sign of its loss, and which of its inputs are data",
            f"a lead of {now:.4g}, and {learned:+.4g} over the first samples",
        )

    def test_a_resumed_run_ends_with_the_same_bytes(self, tmp_path: Path) -> None:
        """A run that is stopped and resumed ends with the same weights as one that is not."""
        tested = self._sound()
        generator = tested.generator()
        count = 2 * batch_size(generator)
        data = TrainingData.from_tensors(self.samples(generator, count), labels_for(generator, count))
        steps = max(4, int(self.settings.get("steps", 4)))
        half = steps // 2
        trainer = self._trainer(tested, generator, steps=steps, checkpoint_every=half, keep_checkpoints=10)
        straight = (trainer.fit(data, out=tmp_path / "straight") / WEIGHTS).read_bytes()
        stopped_in_the_middle(tmp_path / "straight", tmp_path / "resumed", half)
        again = self._trainer(tested, generator, steps=steps, checkpoint_every=half, keep_checkpoints=10)
        resumed = (again.fit(data, out=tmp_path / "resumed", resume=True) / WEIGHTS).read_bytes()
        expect(
            straight == resumed,
            f"a run of {_name(trainer)} that was stopped and resumed ends with the same bytes",
            "a checkpoint holds the modules, the optimizers and torch's random state, and any other state is lost",
            "keep state in buffers, and draw random numbers with self.draw",
        )

    # Helpers

    def _tested(self) -> ArchitectureUnderTest:
        if not hasattr(self, "architecture"):
            raise InterfaceError(f"{_name(self)} names no architecture; set architecture = … in the class")
        return ArchitectureUnderTest.of(self.architecture, self.config)

    def _sound(self) -> ArchitectureUnderTest:
        """The architecture, for tests that need sound samples; skips if another test reports that they are not."""
        tested = self._tested()
        try:
            static.configuration_json(tested)
            static.construction(tested)
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

    def _prepared(self) -> Trainer:
        """A trainer on the CPU that is built, before its first step."""
        tested = self._sound()
        trainer = self._trainer(tested, tested.generator())
        prepare(trainer)
        return trainer

    def _batch(self, trainer: Trainer) -> Batch:
        """The batch that one step takes, with labels for a conditional model."""
        generator = trainer.modules["generator"]
        assert isinstance(generator, Generator)
        count = batch_size(generator) * trainer.batches_per_step
        return Batch(self.samples(generator, count), labels_for(generator, count))


def _name(thing: object) -> str:
    return type(thing).__qualname__


def _applies(condition: bool, otherwise: str) -> None:
    if not condition:
        raise SkipTest(otherwise)


def _equal_to_the_first(x: Tensor) -> int:
    """How many of the others equal the first: samples, or codes, of which some may well coincide."""
    return int((x[1:] == x[:1]).flatten(1).all(dim=1).sum())


def _fell(values: Sequence[float]) -> bool:
    """Whether the last fifth of the values is lower than the first, on average."""
    fifth = max(1, len(values) // 5)
    return sum(values[-fifth:]) < sum(values[:fifth])
