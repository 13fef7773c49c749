"""The tests that a plugin inherits, one method for each thing that the contract asks."""

from __future__ import annotations

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
from zoo_core.testing.probes import (
    SPOILT,
    demand_sound_samples,
    disturbed,
    forward,
    highest_logit,
    is_deterministic,
    latents,
    on_meta_device,
    train,
)
from zoo_core.testing.subject import COUNT, Subject, batch_size, demand, encode, example_samples, labels_for
from zoo_core.training.loop import prepare

STEPS = 30  # of training on one batch, over which a loss must fall
UNIT_SLACK = 3.0  # how far beyond [0, 1] a picture may be: the mean of a Gaussian likelihood has no bound
QUIET = {
    "batch_size": COUNT, "device": "cpu", "precision": "fp32", "compile": "off",
    "ema_decay": 0, "checkpoint_every": 0, "sample_every": 0,
}  # fmt: skip


class ArchitectureContract:
    """The contract of one architecture; inherit it in a class whose name starts with Test.

    Attributes:
        architecture: its name, as the installed plugin registers it.
        config: values of configuration fields; small ones keep the tests fast.
        refused: configurations that must be refused, each with one wrong field that the error names.
        settings: values of training settings, where the defaults would not learn within 30 steps.

    A test that does not apply (no trainer, no labels) is skipped with its reason. Where the shapes are wrong already,
    what follows from it is skipped too: one fault is one failure.
    """

    architecture: ClassVar[str]
    config: ClassVar[Mapping[str, Any]] = {}
    refused: ClassVar[Sequence[Mapping[str, Any]]] = ()
    settings: ClassVar[Mapping[str, Any]] = {}

    def samples(self, generator: Generator, count: int) -> Tensor:
        """Training data (count, *sample_shape) in the model's range, the same every time.

        Override it where pictures with a bright half, or normal numbers around 1, cannot be learnt from.
        """
        return example_samples(generator, count)

    # What computes nothing; `zoo plugins check` runs it too.

    def test_names_and_documentation_are_present(self) -> None:
        static.documentation(self._subject())

    def test_importing_the_plugin_leaves_torch_out(self) -> None:
        static.importing_the_plugin(self._subject())

    def test_every_field_of_the_configuration_is_bounded(self) -> None:
        static.configuration_bounds(self._subject())

    def test_what_cannot_be_built_is_refused(self) -> None:
        _require(bool(self.refused), "the test lists no configuration in `refused`")
        subject = self._subject()
        for values in self.refused:
            static.demand_refusal(subject, values)

    def test_the_configuration_survives_json(self) -> None:
        static.configuration_json(self._subject())

    def test_the_networks_are_built_on_the_meta_device(self) -> None:
        static.construction(self._subject())

    def test_no_device_is_hard_coded(self) -> None:
        """Forward, encode and a training step on the meta device."""
        static.devices(self._subject())
        subject = self._sound()
        if subject.architecture.trainer is None:
            return
        trainer = self._trainer(subject, subject.generator())
        trainer.device = torch.device("meta")
        prepare(trainer)
        batch = on_meta_device(self._batch(trainer))
        static.demand_any_device(f"{_name(trainer)}.training_step", lambda: trainer.training_step(batch))

    # Samples

    def test_samples_have_the_stated_shape_range_and_dtype(self) -> None:
        generator = self._subject().generator()
        demand_sound_samples(generator)
        if generator.kind != "image":
            return
        unit = generator.to_unit(forward(generator))
        demand(
            unit.min().item() >= -UNIT_SLACK and unit.max().item() <= 1 + UNIT_SLACK,
            f"to_unit of {_name(generator)} takes what forward returns to [0, 1]",
            "a picture is clamped to [0, 1] when it is sampled, and would be black and white",
            f"{unit.min().item():.3g} to {unit.max().item():.3g}",
        )
        grey = torch.rand(COUNT, *generator.sample_shape)
        back = generator.to_unit(generator.from_unit(grey))
        demand(
            torch.allclose(back, grey, atol=1e-5),
            f"to_unit and from_unit of {_name(generator)} are inverse to each other",
            "training data goes in by one and samples come out by the other",
        )

    def test_the_latents_are_used(self) -> None:
        generator = self._sound().generator()
        one_class = torch.zeros(COUNT, dtype=torch.int64) if generator.num_classes is not None else None
        x = forward(generator, one_class).flatten(1)
        different = (x[1:] != x[:1]).any(dim=1)
        demand(
            bool(different.all()),
            f"{_name(generator)} gives another sample for another z",
            "a generator that ignores z has one sample only",
            f"{int((~different).sum())} of {len(different)} are the first one again",
        )

    def test_latents_depend_on_seed_and_index_alone(self) -> None:
        generator = self._sound().generator()
        whole = generator.latents(3, 0, COUNT)
        torch.manual_seed(1)
        again, part, other = generator.latents(3, 0, COUNT), generator.latents(3, 5, 4), generator.latents(4, 0, COUNT)
        asked = f"latent i of {_name(generator)} depends on (seed, i) alone"
        reason = "sample i must be the same in any batch, process and run; never draw from a global generator"
        demand(torch.equal(whole, again), asked, reason, "two calls that differ")
        demand(torch.equal(whole[5:9], part), asked, reason, "latents 5 to 8 differ when they are asked for alone")
        demand(not torch.equal(whole, other), asked, reason, "two seeds with the same latents")

    def test_sampling_is_deterministic(self) -> None:
        generator = self._sound().generator()
        demand(
            is_deterministic(generator),
            f"forward of {_name(generator)} in eval mode gives the same for the same z",
            "the same seed must give the same samples; dropout and noise belong to training",
        )

    def test_a_sample_does_not_depend_on_its_batch(self) -> None:
        generator = self._sound().generator()
        _require(is_deterministic(generator), "sampling is not deterministic")
        z, labels = latents(generator), labels_for(generator, COUNT)
        whole = forward(generator, z=z)
        parts = [generator(z[i : i + 4], labels[i : i + 4] if labels is not None else None) for i in range(0, COUNT, 4)]
        difference = (whole - torch.cat(parts)).abs().max().item()
        demand(
            difference <= 1e-4 * max(1.0, whole.abs().max().item()),
            f"a sample of {_name(generator)} in eval mode is the same in any batch",
            "sample i must not depend on --batch-size; no statistics over the batch outside training",
            f"a difference of {difference:.2g} between batches of {COUNT} and 4",
        )

    def test_labels_choose_what_is_made(self) -> None:
        subject = self._sound()
        generator, discriminator = subject.generator(), subject.discriminator()
        _require(generator.num_classes is not None, "the configuration is unconditional")
        _require((generator.num_classes or 0) > 1, "there is one class only")
        zeros = torch.zeros(COUNT, dtype=torch.int64)
        reason = "`zoo sample --label` must draw the class that is asked for"
        with torch.no_grad():
            x, other = forward(generator, zeros), forward(generator, zeros + 1)
            demand(not torch.equal(x, other), f"{_name(generator)} makes another sample for another label", reason)
            if discriminator is not None:
                differ = not torch.equal(discriminator(x, zeros), discriminator(x, zeros + 1))
                demand(differ, f"{_name(discriminator)} judges by the label too", "nothing else teaches it to G")

    # Other networks

    def test_the_discriminator_returns_logits(self) -> None:
        subject = self._sound()
        discriminator = subject.discriminator()
        if discriminator is None:
            raise SkipTest("the architecture has no discriminator")
        generator = subject.generator()
        x, labels = self.samples(generator, COUNT), labels_for(generator, COUNT)
        static.demand_logits(discriminator, discriminator(x, labels))
        for sign, direction in ((1, "up"), (-1, "down")):
            reached = highest_logit(subject.discriminator(), x, labels, sign)
            demand(
                reached > 1,
                f"{_name(discriminator)} returns logits, which have no bound",
                "losses are computed from logits; a probability in their place loses its gradient",
                f"trained to go {direction}, it ends at {sign * reached:.3g}",
            )

    def test_what_is_encoded_is_decoded(self) -> None:
        generator = self._sound().generator()
        if not isinstance(generator, Encoder):
            raise SkipTest("the generator is no zoo_core.Encoder")
        x, labels = self.samples(generator, COUNT), labels_for(generator, COUNT)
        with torch.no_grad():
            encoded = encode(generator, x, labels)
            static.demand_posterior(generator, encoded)
            static.demand_samples(generator, generator.reconstruct(x, labels), "reconstruct(x)")
            again = encode(generator, x, labels)
        same = all(a is b is None or torch.equal(a, b) for a, b in zip(encoded, again, strict=True))
        demand(same, f"{_name(generator)}.encode gives the same twice", "it returns a distribution, and draws nothing")
        differ = not torch.equal(encoded[0][0], encoded[0][1])
        demand(differ, f"{_name(generator)}.encode tells samples apart", "a code that is always the same holds nothing")

    # Folders

    def test_what_is_saved_is_loaded(self, tmp_path: Path) -> None:
        generator = disturbed(self._sound().generator())
        folder = generator.save(tmp_path / "model")
        torch.manual_seed(1)  # what is made at random when it is built must not come from the same random state again
        loaded = load(folder)
        torch.manual_seed(0)
        before = forward(generator)
        torch.manual_seed(0)
        demand(
            torch.allclose(before, forward(loaded), atol=1e-6),
            f"{_name(generator)} makes the same samples after it was saved and loaded",
            "all that they depend on must be a parameter or a persistent buffer",
        )
        moving = [name for name, parameter in loaded.named_parameters() if parameter.requires_grad]
        demand(not (loaded.training or moving), "what is loaded is in eval mode and frozen", "it is there to be used")

    def test_a_folder_that_does_not_fit_is_refused(self, tmp_path: Path) -> None:
        subject = self._sound()
        reason = "what was downloaded is trusted only where it fits exactly"
        for what, spoil in SPOILT.items():
            folder = subject.generator().save(tmp_path / what.replace(" ", "-"))
            spoil(folder)
            try:
                load(folder)
            except ModelFolderError:
                continue
            demand(False, f"a model folder with {what} is refused", reason)

    # Precision and export

    def test_bfloat16_stays_bfloat16(self) -> None:
        generator = self._sound().generator().to(torch.bfloat16)
        z = latents(generator)
        z = z.to(torch.bfloat16) if z.is_floating_point() else z
        with torch.no_grad():
            x = generator(z, labels_for(generator, COUNT))
        demand(
            x.dtype == torch.bfloat16 and bool(torch.isfinite(x).all()),
            f"{_name(generator)} computes in bfloat16 when its weights are",
            "`zoo sample --precision bf16` halves the memory; make constants in the dtype of the input",
            x.dtype,
        )

    def test_the_generator_can_be_exported(self) -> None:
        generator = self._sound().generator().requires_grad_(False)
        inputs = tuple(part for part in (latents(generator), labels_for(generator, COUNT)) if part is not None)
        asked = f"torch.export.export takes {_name(generator)}"
        reason = "exported models run without the plugin: no side effects, no branches on values"
        try:
            exported = torch.export.export(generator, inputs)
        except Exception as error:  # the exporter raises whatever it meets
            problem = printable(str(error).strip().partition("\n")[0])
            raise ContractError(f"the contract asks that {asked}, because {reason}; found: {problem}") from error
        same = torch.allclose(exported.module()(*inputs), generator(*inputs), atol=1e-5)
        demand(same or not is_deterministic(generator), f"{asked} and makes the same samples", reason)

    # Training

    def test_training_touches_every_parameter(self) -> None:
        trainer = self._prepared()
        before = _trainable(trainer)
        train(trainer, self._batch(trainer), 5)
        left = [name for name, value in _trainable(trainer).items() if torch.equal(value, before[name])]
        demand(
            not left,
            f"5 steps of {_name(trainer)} change every parameter of every network",
            "one that no optimizer updates is noise for ever; call self.update for each network",
            f"unchanged: {', '.join(left[:8])}",
        )

    def test_training_lowers_a_loss(self) -> None:
        trainer = self._prepared()
        figures = train(trainer, self._batch(trainer), STEPS)
        asked = f"{STEPS} steps of {_name(trainer)} on one batch lower a figure whose name starts with `loss`"
        losses = {name: values for name, values in figures.items() if name.startswith("loss")}
        reason = "a step that goes the wrong way shows here first; `settings` of the test may raise learning_rate"
        demand(bool(losses), asked, reason, f"figures {', '.join(figures) or 'none'}")
        first, last = STEPS // 5, STEPS - STEPS // 5
        fell = [sum(values[last:]) < sum(values[:first]) for values in losses.values()]
        courses = ", ".join(f"{name} from {values[0]:.4g} to {values[-1]:.4g}" for name, values in losses.items())
        demand(any(fell), asked, reason, courses)

    def test_the_discriminator_learns_to_tell_samples_apart(self) -> None:
        trainer = self._prepared()
        generator, discriminator = trainer.modules["generator"], trainer.modules.get("discriminator")
        if not (isinstance(generator, Generator) and isinstance(discriminator, Discriminator)):
            raise SkipTest("the trainer has no discriminator")
        train(trainer, self._batch(trainer), STEPS)
        generator.eval()
        discriminator.eval()
        labels = labels_for(generator, COUNT)
        with torch.no_grad():
            real = discriminator(self.samples(generator, COUNT), labels).mean().item()
            fake = discriminator(forward(generator), labels).mean().item()
        demand(
            real > fake,
            f"{STEPS} steps of {_name(trainer)} raise the logits of data above those of samples",
            "a discriminator that learns the opposite leads the generator away, and its losses look well",
            f"{real:.4g} for data, {fake:.4g} for samples",
        )

    def test_a_resumed_run_ends_with_the_same_bytes(self, tmp_path: Path) -> None:
        subject = self._sound()
        generator = subject.generator()
        count = 2 * batch_size(generator)
        data = TrainingData.from_tensors(self.samples(generator, count), labels_for(generator, count))
        for folder, stops in (("straight", (4,)), ("resumed", (2, 4))):
            for steps in stops:
                trainer = self._trainer(subject, generator, steps=steps)
                trainer.fit(data, out=tmp_path / folder, resume=steps != stops[0])
        straight, resumed = ((tmp_path / folder / WEIGHTS).read_bytes() for folder in ("straight", "resumed"))
        demand(
            straight == resumed,
            f"a run of {_name(trainer)} that was stopped and resumed ends with the same bytes",
            "a checkpoint holds the modules, the optimizers and torch's random state; state of another kind is lost",
        )

    # What the tests are made of

    def _subject(self) -> Subject:
        if not hasattr(self, "architecture"):
            raise InterfaceError(f"{_name(self)} names no architecture: set architecture = … in the class")
        return Subject.of(self.architecture, self.config)

    def _sound(self) -> Subject:
        """The subject, for tests that need samples of the right shape; they are skipped where another test fails."""
        subject = self._subject()
        try:
            static.configuration_json(subject)
            static.construction(subject)
            demand_sound_samples(subject.generator())
        except ContractError as error:
            raise SkipTest(f"mend this first: {error}") from error
        return subject

    def _trainer(self, subject: Subject, generator: Generator, **settings: Any) -> Trainer:
        """Not built yet. Raises SkipTest where the architecture cannot be trained."""
        values = QUIET | dict(self.settings) | {"batch_size": batch_size(generator)} | settings
        trainer = subject.trainer(values, tuple(generator.sample_shape))
        if trainer is None:
            raise SkipTest("the architecture has no trainer")
        return trainer

    def _prepared(self) -> Trainer:
        """On the CPU, built, before its first step."""
        subject = self._sound()
        trainer = self._trainer(subject, subject.generator())
        prepare(trainer)
        return trainer

    def _batch(self, trainer: Trainer) -> Batch:
        """What one step takes; labels for a conditional model."""
        generator = trainer.modules["generator"]
        assert isinstance(generator, Generator)
        count = batch_size(generator) * trainer.batches_per_step
        return Batch(self.samples(generator, count), labels_for(generator, count))


def _name(thing: object) -> str:
    return type(thing).__qualname__


def _require(met: bool, otherwise: str) -> None:
    if not met:
        raise SkipTest(otherwise)


def _trainable(trainer: Trainer) -> dict[str, Tensor]:
    """Copies of the parameters of all networks, by name."""
    return {
        f"{network}.{name}": parameter.detach().clone()
        for network, module in trainer.modules.items()
        for name, parameter in module.named_parameters()
        if parameter.requires_grad
    }
