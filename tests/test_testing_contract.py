"""The contract tests can fail: small broken plugins, each caught by the one test that names what is wrong with it.

A sound plugin is written down once for a GAN and once for a VAE. A mutation changes a line or two of it; all mutants
are installed side by side, and pytest runs the whole contract on each in one process.
"""

import subprocess
import sys
import textwrap
from dataclasses import dataclass, field
from xml.etree import ElementTree

import pytest

from tests import forkserver
from tests.conftest import Site, made_once

HOOKS = '''
    """A plugin for the contract's own tests."""
    from zoo_core import Architecture, hookimpl

    @hookimpl
    def zoo_architectures():
        return [Architecture(name="NAME", summary="Pictures of two kinds", config="MODULE.model:Config",
                             generator="MODULE.model:Model", DISCRIMINATOR KIND trainer="MODULE.model:ModelTrainer")]
'''
CONFIG = '''
    from typing import Annotated

    import msgspec
    import torch
    from msgspec import Meta
    from torch import nn

    from zoo_core import Discriminator, Encoder, GANTrainer, Generator, ModelConfig, SamplingOptions, Settings, Stage, Trainer
    from zoo_core.conditioning import append_one_hot
    from zoo_core.losses import bernoulli_negative_log_likelihood, kl_divergence, negative_elbo


    class Config(ModelConfig, frozen=True):
        """A configuration.

        Args:
            width: of the hidden layer.
            num_classes: of the labels; 0: none.
        """

        width: Annotated[int, Meta(ge=1, le=64)] = 16
        num_classes: Annotated[int, Meta(ge=0, le=10)] = 0

        def __post_init__(self):
            if self.width % 2:
                raise ValueError(f"width must be even, not {self.width}")
'''
GAN = '''
    class Model(Generator):
        """z (N, 4) to pictures (N, 1, 8, 8) in [-1, 1]."""

        latent_shape = (4,)
        sample_shape = (1, 8, 8)

        def __init__(self, config):
            super().__init__(config)
            self.num_classes = config.num_classes or None
            self.layers = nn.Sequential(
                nn.Linear(4 + config.num_classes, config.width), nn.LeakyReLU(0.2), nn.Linear(config.width, 64), nn.Tanh()
            )

        def forward(self, z, labels=None):
            z = append_one_hot(z, labels, self.num_classes)
            return self.layers(z).unflatten(1, (1, 8, 8))


    class Judge(Discriminator):
        """Pictures (N, 1, 8, 8) to logits (N,)."""

        def __init__(self, config):
            super().__init__(config)
            self.num_classes = config.num_classes or None
            self.layers = nn.Sequential(
                nn.Linear(64 + config.num_classes, config.width), nn.LeakyReLU(0.2), nn.Linear(config.width, 1)
            )

        def forward(self, x, labels=None):
            x = append_one_hot(x.flatten(1), labels, self.num_classes)
            return self.layers(x).squeeze(1)


    class ModelTrainer(GANTrainer):
        """The shared GAN step."""

        def build(self):
            self.set_networks(Model(self.config), Judge(self.config))
'''
VAE = '''
    class Model(Generator, Encoder):
        """z (N, 4) to pictures (N, 1, 8, 8) in [0, 1]."""

        latent_shape = (4,)
        sample_shape = (1, 8, 8)

        def __init__(self, config):
            super().__init__(config)
            self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(64, config.width), nn.ReLU(), nn.Linear(config.width, 8))
            self.decoder = nn.Sequential(nn.Linear(4, config.width), nn.ReLU(), nn.Linear(config.width, 64))

        def decode(self, z):
            return self.decoder(z).unflatten(1, (1, 8, 8))

        def posterior(self, x):
            return self.encoder(x).chunk(2, dim=1)

        def forward(self, z, labels=None):
            return torch.sigmoid(self.decode(z))

        def encode(self, x):
            return self.posterior(x)

        def to_unit(self, x):
            return x

        def from_unit(self, x):
            return x


    class ModelTrainer(Trainer):
        """One step of Adam on -ELBO."""

        def build(self):
            vae = Model(self.config)
            self.modules = {"generator": vae}
            self.optimizers = {"generator": self.adam(vae)}

        def training_step(self, batch):
            vae, x = self.modules["generator"], batch.samples
            mean, logvar = vae.posterior(x)
            z = mean + self.draw(torch.randn, len(x), 4) * torch.exp(logvar / 2)
            reconstruction = bernoulli_negative_log_likelihood(vae.decode(z), x)
            loss = negative_elbo(reconstruction, kl_divergence(mean, logvar))
            self.update("generator", loss)
            return {"loss": loss.detach()}
'''

DIFFUSION = '''
    class Options(SamplingOptions, frozen=True):
        """Choices.

        Args:
            steps: of the sampler.
            churn: how much noise a step adds.
        """

        steps: Annotated[int, Meta(ge=1, le=100)] = 3
        churn: Annotated[float, Meta(ge=0, le=1)] = 0.5


    class Model(Generator):
        """z (N, 1, 8, 8) to pictures (N, 1, 8, 8) in [-1, 1], by steps of a denoiser with noise between them."""

        Options = Options
        stochastic = True
        latent_shape = sample_shape = (1, 8, 8)

        def __init__(self, config):
            super().__init__(config)
            self.net = nn.Sequential(nn.Linear(65, config.width), nn.SiLU(), nn.Linear(config.width, 64))

        def error(self, x, time):
            return self.net(torch.cat([x.flatten(1), time[:, None]], 1)).unflatten(1, (1, 8, 8))

        def states(self, z, labels=None, *, options, noise):
            x = z
            for step in range(options.steps):
                left = 1 - step / options.steps
                x = x - self.error(x, z.new_full(z.shape[:1], left)) / options.steps
                x = x + 0.1 * options.churn * noise(step, self.sample_shape)
                yield x.tanh()


    class ModelTrainer(Trainer):
        """Learns the way from data to noise, as a rectified flow does."""

        def build(self):
            model = Model(self.config)
            self.modules = {"generator": model}
            self.optimizers = {"generator": self.adam(model)}

        def training_step(self, batch):
            x, count = batch.samples, len(batch)
            noise, time = self.draw(torch.randn, count, 1, 8, 8), self.draw(torch.rand, count)
            noised = x + time[:, None, None, None] * (noise - x)
            loss = (self.modules["generator"].error(noised, time) - (noise - x)).square().mean()
            self.update("generator", loss)
            return {"loss": loss.detach()}
'''
SOUND_GAN = (
    GAN.replace(
        "sample_shape = (1, 8, 8)", 'sample_shape = (2, 32)\n        sample_rate = 8000\n        kind = "audio"'
    )
    .replace("(1, (1, 8, 8))", "(1, (2, 32))")
    .replace("pictures (N, 1, 8, 8)", "sounds (N, 2, 32)")
)
TEXT = '''
    class Config(Config, frozen=True):
        """A configuration.

        Args:
            alphabet: all characters.
            length: of a text.
        """

        alphabet: Annotated[str, Meta(max_length=1000)] = ""
        length: Annotated[int, Meta(ge=1, le=64)] = 6


    class Model(Generator):
        """z (N, length) to texts (N, length): a bigram model, whose characters the uniform numbers behind z choose."""

        kind = "text"

        def __init__(self, config):
            super().__init__(config)
            self.latent_shape = self.sample_shape = (config.length,)
            self.embedding = nn.Embedding(len(config.alphabet) + 1, config.width)
            self.output = nn.Linear(config.width, len(config.alphabet) + 1)

        def logs(self, before):
            return self.output(self.embedding(before)).log_softmax(-1)

        def forward(self, z, labels=None):
            uniform, codes = torch.special.ndtr(z.float()), [torch.zeros_like(z[:, 0], dtype=torch.int64)]
            for place in range(self.config.length):
                levels = self.logs(codes[-1]).exp().float().cumsum(1)[:, :-1]
                codes.append((levels < uniform[:, place, None]).sum(1))
            return torch.stack(codes[1:], 1)

        def log_prob(self, x, labels=None):
            before = nn.functional.pad(x, (1, 0))[:, :-1]
            logs = self.logs(before).gather(2, x[:, :, None])[:, :, 0]
            counts = nn.functional.pad((x == 0).cumsum(1), (1, 0))[:, :-1] == 0
            return (logs * counts).sum(1)


    class ModelTrainer(Trainer):
        """One step of Adam on the negative log-likelihood."""

        def build(self):
            model = Model(self.config)
            self.modules = {"generator": model}
            self.optimizers = {"generator": self.adam(model)}

        def training_step(self, batch):
            loss = -self.modules["generator"].log_prob(batch.samples).mean()
            self.update("generator", loss)
            return {"loss": loss.detach()}
'''
STAGES = '''
    class Model(Generator):
        """z (N, 4) to pictures (N, 1, 8, 8) in [-1, 1]: codes of a Gaussian prior, decoded."""

        latent_shape = (4,)
        sample_shape = (1, 8, 8)

        def __init__(self, config):
            super().__init__(config)
            self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(64, 4))
            self.decoder = nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Unflatten(1, (1, 8, 8)))
            self.register_buffer("gain", torch.ones(()))
            self.prior = nn.Linear(4, 4)

        def forward(self, z, labels=None):
            return self.decoder(self.gain * self.prior(z))


    class StageSettings(Settings, frozen=True):
        """Settings of two stages.

        Args:
            autoencoder_steps: steps of the first stage.
        """

        autoencoder_steps: Annotated[int, Meta(ge=1)] = 15


    class ModelTrainer(Trainer):
        """An autoencoder, then the prior of its codes by their first two moments."""

        Settings = StageSettings

        def stages(self):
            return [
                Stage("autoencoder", steps=self.settings.autoencoder_steps, trains=("encoder", "decoder")),
                Stage("prior", trains="prior", batch_size=8),
            ]

        def build(self):
            model = Model(self.config)
            self.modules = {"generator": model}
            self.optimizers = {
                "autoencoder": self.adam(nn.ModuleList([model.encoder, model.decoder])),
                "prior": self.adam(model.prior),
            }

        def prepare_stage_data(self, data):
            return self.map_samples(data, self.modules["generator"].encoder) if self.stage != "autoencoder" else data

        def training_step(self, batch):
            model, x = self.modules["generator"], batch.samples
            if self.stage == "autoencoder":
                loss = (model.decoder(model.encoder(x)) - x).square().mean()
                self.update("autoencoder", loss)
                return {"loss": loss.detach()}
            codes = model.prior(self.draw(torch.randn, len(x), 4))
            loss = (codes.mean(0) - x.mean(0)).square().mean() + (codes.T.cov() - x.T.cov()).square().mean()
            self.update("prior", loss)
            return {"loss_prior": loss.detach()}
'''
KINDS = {SOUND_GAN: 'kind="audio",', TEXT: 'kind="text",'}


@dataclass
class Mutant:
    """A change to a sound plugin, and the contract's test that must catch it with these words."""

    test: str
    words: str
    changes: dict[str, str] = field(default_factory=dict)
    base: str = GAN
    config: dict[str, object] = field(default_factory=dict)
    refused: tuple[dict[str, object], ...] = ({"width": 7},)
    settings: dict[str, object] = field(default_factory=dict)
    unused_options: tuple[str, ...] = ()

    def source(self):
        """Of the model's module."""
        return self._changed(CONFIG + self.base)

    def hooks(self, name):
        text = HOOKS.replace("DISCRIMINATOR", 'discriminator="MODULE.model:Judge",' if "Judge" in self.base else "")
        text = text.replace("KIND", KINDS.get(self.base, ""))
        return self._changed(text).replace("NAME", name).replace("MODULE", f"zoo_{name}")

    def _changed(self, text):
        for old, new in self.changes.items():
            text = text.replace(old, new)
        return text


FORWARD = "return self.layers(z).unflatten(1, (1, 8, 8))"
JUDGE = "return self.layers(x).squeeze(1)"
SIGMOID = "return torch.sigmoid(self.decode(z))"
UPDATE = 'self.update("generator", loss)\n'
BUILD = "self.set_networks(Model(self.config), Judge(self.config))\n"
FIELD = "width: Annotated[int, Meta(ge=1, le=64)] = 16\n"
LAST_LAYER = "nn.Linear(config.width, 64), nn.Tanh()\n            )"
ZEROED = "\n            nn.init.zeros_(self.layers[2].weight)\n            nn.init.zeros_(self.layers[2].bias)"
STAGED = (
    "if self.step < self.settings.steps // 2:\n"
    "                loss = bernoulli_negative_log_likelihood(vae.decode(mean.detach()), x).mean()\n            "
    + UPDATE
)
POSTERIOR = "def encode(self, x):\n            return self.posterior(x)"
ROUNDED = (
    "def encode(self, x):\n            mean, logvar = self.posterior(x)\n            return (2 * mean).round(), logvar"
)
ATTRIBUTE = "self.layers = nn.Sequential(\n                nn.Linear(4"
CHURN = "x = x + 0.1 * options.churn * noise(step, self.sample_shape)"
STEP = "x = x - self.error(x, z.new_full(z.shape[:1], left)) / options.steps"
YIELD = "yield x.tanh()"
STATES = "def states(self, z, labels=None, *, options, noise):"
LOG_PROB = "return (logs * counts).sum(1)"
CODES = "return torch.stack(codes[1:], 1)"
PRIOR_UPDATE = 'self.update("prior", loss)'
PRIOR_STAGE = 'Stage("prior", trains="prior", batch_size=8),'
MUTANTS = {
    "no_docstring": Mutant(
        "test_names_and_documentation_are_present",
        "the generator Model has a docstring of its own",
        {'"""z (N, 4) to pictures (N, 1, 8, 8) in [-1, 1]."""': ""},
    ),
    "no_summary": Mutant(
        "test_names_and_documentation_are_present",
        "a summary of one line",
        {'summary="Pictures of two kinds"': 'summary=""'},
    ),
    "field_unexplained": Mutant(
        "test_names_and_documentation_are_present",
        "explains `width:`, because users set it by `--set model.width=…`",
        {"width: of the hidden layer.\n": "\n"},
    ),
    "imports_torch": Mutant(
        "test_importing_the_plugin_leaves_torch_out",
        "leaves torch out of sys.modules",
        {
            "from zoo_core import Architecture, hookimpl\n": "import torch\n    from zoo_core import Architecture, hookimpl\n"
        },
    ),
    "accepts_nonsense": Mutant(
        "test_every_field_of_the_configuration_is_bounded",
        "`width` of Config has a lower and an upper bound",
        {FIELD: "width: int = 16\n"},
    ),
    "accepts_an_odd_width": Mutant(
        "test_what_cannot_be_built_is_refused",
        "Config refuses width=7 with a ValueError that names the field",
        {"if self.width % 2:": "if self.width % 1:"},
    ),
    "does_not_name_the_field": Mutant(
        "test_what_cannot_be_built_is_refused",
        "got: no",
        {'raise ValueError(f"width must be even, not {self.width}")': 'raise ValueError("no")'},
    ),
    "changes_in_json": Mutant(
        "test_the_configuration_survives_json",
        "equal to itself after a round trip through JSON",
        {
            "if self.width % 2:": "msgspec.structs.force_setattr(self, 'width', self.width + 2)\n            if self.width % 2:"
        },
    ),
    "reads_values_when_built": Mutant(
        "test_the_networks_are_built_on_the_meta_device",
        "can be built on the meta device",
        {
            "self.layers = nn.Sequential(\n                nn.Linear(4": "self.gain = float(torch.rand(1))\n            self.layers = nn.Sequential(\n                nn.Linear(4"
        },
    ),
    "hard_coded_device": Mutant(
        "test_no_device_is_hard_coded",
        "Model.forward makes every tensor on the device of its inputs",
        {FORWARD: FORWARD + ' + torch.zeros(64, dtype=z.dtype, device="cpu").unflatten(0, (1, 8, 8))'},
    ),
    "trainer_on_the_cpu": Mutant(
        "test_no_device_is_hard_coded",
        "ModelTrainer.training_step makes every tensor on the device",
        {"self.draw(torch.randn, len(x), 4)": "torch.randn(len(x), 4)"},
        VAE,
    ),
    "wrong_sample_shape": Mutant(
        "test_samples_have_the_stated_shape_range_and_dtype",
        "forward(z) is (N, *sample_shape), here (16, 1, 16, 16)",
        {"sample_shape = (1, 8, 8)": "sample_shape = (1, 16, 16)"},
    ),
    "double_precision": Mutant(
        "test_samples_have_the_stated_shape_range_and_dtype", "is float32 for float32", {FORWARD: FORWARD + ".double()"}
    ),
    "range_of_bytes": Mutant(
        "test_samples_have_the_stated_shape_range_and_dtype",
        "takes what forward returns to [0, 1]",
        {FORWARD: FORWARD + " * 100"},
    ),
    "ignores_z": Mutant(
        "test_the_latents_are_used",
        "gives another sample for another z",
        {
            "def forward(self, z, labels=None):\n": "def forward(self, z, labels=None):\n            z = torch.ones_like(z)\n"
        },
    ),
    "global_latents": Mutant(
        "test_latents_depend_on_seed_and_index_alone",
        "depends on (seed, i) alone",
        {
            "def forward(self, z, labels=None):\n": "def latents(self, seed, start, count):\n            return torch.randn(count, 4)\n\n        def forward(self, z, labels=None):\n"
        },
    ),
    "dropout_for_ever": Mutant(
        "test_sampling_is_deterministic",
        "in eval mode gives the same for the same z",
        {FORWARD: FORWARD.replace("self.layers(z)", "torch.dropout(self.layers(z), 0.3, True)")},
    ),
    "depends_on_the_batch": Mutant(
        "test_a_sample_does_not_depend_on_its_batch",
        "is the same in any batch",
        {FORWARD: "x = self.layers(z)\n            return (x - x.mean(0)).unflatten(1, (1, 8, 8)) / 2"},
    ),
    "ignores_labels": Mutant(
        "test_labels_choose_what_is_made",
        "Model makes another sample for another label",
        {
            "z = append_one_hot(z, labels, self.num_classes)": "z = append_one_hot(z, torch.zeros_like(labels), self.num_classes) + 1"
        },
        config={"num_classes": 3},
    ),
    "judge_ignores_labels": Mutant(
        "test_labels_choose_what_is_made",
        "Judge judges by the label too",
        {
            "append_one_hot(x.flatten(1), labels, self.num_classes)": "append_one_hot(x.flatten(1), torch.zeros_like(labels), self.num_classes) + 1"
        },
        config={"num_classes": 3},
    ),
    "column_of_logits": Mutant(
        "test_the_discriminator_returns_logits",
        "Judge returns logits (N,), here (16,)",
        {JUDGE: "return self.layers(x)"},
    ),
    "probabilities": Mutant(
        "test_the_discriminator_returns_logits",
        "Judge returns logits, which have no bound",
        {JUDGE: "return self.layers(x).squeeze(1).sigmoid()"},
    ),
    "encodes_a_mean_alone": Mutant(
        "test_what_is_encoded_is_decoded",
        "encode returns (mean, logvar or None)",
        {
            "def encode(self, x):\n            return self.posterior(x)": "def encode(self, x):\n            return self.posterior(x)[0]"
        },
        VAE,
    ),
    "encodes_a_draw": Mutant(
        "test_what_is_encoded_is_decoded",
        "it returns a distribution, and draws nothing",
        {
            "def encode(self, x):\n            return self.posterior(x)": "def encode(self, x):\n            mean, logvar = self.posterior(x)\n            return mean + torch.randn_like(mean), logvar"
        },
        VAE,
    ),
    "buffer_not_saved": Mutant(
        "test_what_is_saved_is_loaded",
        "makes the same samples after it was saved and loaded",
        {
            "self.layers = nn.Sequential(\n                nn.Linear(4": "self.register_buffer('gain', torch.rand(1, 8, 8), persistent=False)\n            self.layers = nn.Sequential(\n                nn.Linear(4",
            FORWARD: FORWARD + " * self.gain",
        },
    ),
    "takes_unknown_fields": Mutant(
        "test_a_folder_that_does_not_fit_is_refused",
        "a model folder with a field that no configuration has is refused",
        {
            "class Config(ModelConfig, frozen=True)": "class Config(ModelConfig, frozen=True, forbid_unknown_fields=False)"
        },
    ),
    "widens_bfloat16": Mutant(
        "test_bfloat16_stays_bfloat16",
        "computes in bfloat16",
        {FORWARD: FORWARD + " + torch.zeros(8, device=z.device)"},
    ),
    "remembers_an_address": Mutant(
        "test_the_generator_can_be_exported",
        "torch.export.export takes Model",
        {FORWARD: "self.last = z.data_ptr()\n            return self.layers(z).unflatten(1, (1, 8, 8))"},
    ),
    "fixes_the_batch": Mutant(
        "test_the_generator_can_be_exported",
        "torch.export.export takes Model",
        {FORWARD: "return self.layers(z).reshape(len(z), 1, 8, 8)"},
    ),
    "option_unexplained": Mutant(
        "test_names_and_documentation_are_present",
        "the docstring of Options explains `churn:`",
        {"churn: how much noise a step adds.": ""},
        DIFFUSION,
    ),
    "option_without_bounds": Mutant(
        "test_every_option_is_bounded",
        "`steps` of Options has a lower and an upper bound",
        {"steps: Annotated[int, Meta(ge=1, le=100)] = 3": "steps: int = 3"},
        DIFFUSION,
    ),
    "option_without_effect": Mutant(
        "test_the_options_reach_the_samples",
        "unused: churn",
        {CHURN: CHURN.replace("options.churn", "0.5")},
        DIFFUSION,
    ),
    "option_that_cannot_be_chosen": Mutant(
        "test_the_options_reach_the_samples",
        "with the option steps = 1 are finite",
        {YIELD: f"{YIELD} / (x.new_tensor(options.steps) > 1)"},
        DIFFUSION,
    ),
    "option_that_changes_itself": Mutant(
        "test_the_options_are_saved_with_the_model",
        "Options(steps=4, churn=0.5) became Options(steps=5, churn=0.5)",
        {
            "= 0.5\n": "= 0.5\n\n        def __post_init__(self):\n            msgspec.structs.force_setattr(self, 'steps', self.steps + 1)\n"
        },
        DIFFUSION,
    ),
    "option_that_mixes_the_batch": Mutant(
        "test_a_sample_does_not_depend_on_its_batch",
        "others for batches of 1",
        {YIELD: "yield (x - x.mean(0)).tanh() if options.steps == 1 else x.tanh()"},
        DIFFUSION,
    ),
    "states_in_place": Mutant(
        "test_the_states_end_with_the_samples",
        "a state that Model has yielded stays as it is",
        {YIELD: "shown = x.tanh() if not step else shown.copy_(x.tanh())\n                yield shown"},
        DIFFUSION,
    ),
    "states_of_another_shape": Mutant(
        "test_the_states_end_with_the_samples",
        "each of states(z) is (N, *sample_shape)",
        {YIELD: "yield x.tanh() if step + 1 == options.steps else x.flatten(1)"},
        DIFFUSION,
    ),
    "states_end_elsewhere": Mutant(
        "test_the_states_end_with_the_samples",
        "states of Model ends with what forward returns, because",
        {
            STATES: "def forward(self, z, labels=None, **given):\n            return 0.9 * [*self.states(z, labels, **given)][-1]\n\n        "
            + STATES
        },
        DIFFUSION,
    ),
    "noise_of_its_own": Mutant(
        "test_sampling_is_deterministic",
        "takes them from noise(step, shape)",
        {CHURN: f"{CHURN} + 0.1 * torch.randn_like(x)"},
        DIFFUSION,
    ),
    "moves_the_random_state": Mutant(
        "test_sampling_is_deterministic",
        "draws nothing from torch's random generator",
        {CHURN: f"torch.rand(1, device=z.device)\n                {CHURN}"},
        DIFFUSION,
    ),
    "same_noise_in_every_step": Mutant(
        "test_the_noise_is_used", "draws no noise twice", {"noise(step,": "noise(0,"}, DIFFUSION
    ),
    "no_noise": Mutant(
        "test_the_noise_is_used",
        "got: no draw",
        {CHURN: CHURN.replace("noise(step, self.sample_shape)", "z")},
        DIFFUSION,
    ),
    "noise_on_the_cpu": Mutant(
        "test_no_device_is_hard_coded",
        "Model.forward makes every tensor on the device of its inputs",
        {"noise(step, self.sample_shape)": "noise(step, self.sample_shape).cpu()"},
        DIFFUSION,
    ),
    "unknown_kind": Mutant(
        "test_the_kind_suits_the_samples",
        "has the kind of samples 'sound'",
        {'kind = "audio"': 'kind = "sound"', 'kind="audio"': 'kind="sound"'},
        SOUND_GAN,
    ),
    "two_kinds": Mutant(
        "test_the_kind_suits_the_samples", "make them the same", {'kind="audio"': 'kind="image"'}, SOUND_GAN
    ),
    "untold_kind": Mutant(
        "test_the_kind_suits_the_samples",
        "the Architecture states the kind of Model",
        {'kind="audio",': ""},
        SOUND_GAN,
    ),
    "sounds_without_channels": Mutant(
        "test_the_kind_suits_the_samples",
        "sounds are (channels, length)",
        {"(2, 32)": "(64,)"},
        SOUND_GAN,
    ),
    "sounds_without_a_rate": Mutant(
        "test_the_kind_suits_the_samples", "has no sample_rate", {"sample_rate = 8000": ""}, SOUND_GAN
    ),
    "sounds_of_16_bits": Mutant(
        "test_samples_have_the_stated_shape_range_and_dtype",
        "makes sounds in [-1, 1]",
        {"self.layers(z).unflatten": "(self.layers(z) * 32767).unflatten"},
        SOUND_GAN,
    ),
    "texts_without_an_alphabet": Mutant(
        "test_the_kind_suits_the_samples", "has no decode(codes)", {"alphabet": "letters"}, TEXT
    ),
    "texts_of_floats": Mutant(
        "test_samples_have_the_stated_shape_range_and_dtype", "the codes of texts", {CODES: f"{CODES}.float()"}, TEXT
    ),
    "codes_that_are_no_characters": Mutant(
        "test_samples_can_be_written_and_shown", "those of its alphabet are 0 to 8", {CODES: f"{CODES} + 8"}, TEXT
    ),
    "column_of_log_probs": Mutant(
        "test_log_prob_is_a_log_probability",
        "here (16,)",
        {LOG_PROB: "return (logs * counts).sum(1, keepdim=True)"},
        TEXT,
    ),
    "mean_of_log_probs": Mutant(
        "test_log_prob_is_a_log_probability", "neither averaged", {LOG_PROB: "return logs.mean(1)"}, TEXT
    ),
    "log_prob_of_the_batch": Mutant(
        "test_log_prob_is_a_log_probability",
        "log_prob of a sample is the same in any batch",
        {LOG_PROB: f"{LOG_PROB} - x.float().sum()"},
        TEXT,
    ),
    "neither_exact_nor_bound": Mutant(
        "test_log_prob_is_a_log_probability",
        'is "exact" or "lower"',
        {'kind = "text"\n': 'kind = "text"\n        log_prob_bound = "upper"\n'},
        TEXT,
    ),
    "log_prob_on_the_cpu": Mutant(
        "test_no_device_is_hard_coded",
        "Model.log_prob makes every tensor on the device of its inputs",
        {LOG_PROB: f'{LOG_PROB} + torch.zeros(1, device="cpu")'},
        TEXT,
    ),
    "tensor_that_is_no_buffer": Mutant(
        "test_bfloat16_stays_bfloat16",
        "tensors of the constructor parameters or buffers",
        {
            ATTRIBUTE: f"self.gain = torch.full((1, 8, 8), 0.5)\n            {ATTRIBUTE}",
            FORWARD: f"{FORWARD} * self.gain",
        },
    ),
    "no_steps_by_default": Mutant(
        "test_the_stages_train_what_they_name",
        "divides the steps of the run by default",
        {"Annotated[int, Meta(ge=1)] = 15": "Annotated[int, Meta(ge=1)] = 10**9"},
        STAGES,
        settings={"autoencoder_steps": 15},
    ),
    "changes_what_is_finished": Mutant(
        "test_the_stages_train_what_they_name",
        "changed: generator.gain",
        {PRIOR_UPDATE: f"model.gain.mul_(0.999)\n            {PRIOR_UPDATE}"},
        STAGES,
    ),
    "stage_that_trains_nothing": Mutant(
        "test_the_stages_train_what_they_name",
        "the stage 'rest' of ModelTrainer changes what it trains",
        {
            PRIOR_STAGE: 'Stage("prior", trains="prior", batch_size=8, steps=5), Stage("rest", trains="prior"),',
            PRIOR_UPDATE: f'if self.stage == "prior":\n                {PRIOR_UPDATE}',
        },
        STAGES,
        settings={"steps": 24},
    ),
    "state_lost_between_stages": Mutant(
        "test_a_resumed_run_ends_with_the_same_bytes",
        "others after step",
        {
            'self.update("autoencoder", loss)': 'self.last = loss.item()\n                self.update("autoencoder", loss)',
            PRIOR_UPDATE: f"loss = loss * getattr(self, 'last', 1.0) ** 3 + loss.detach()\n            {PRIOR_UPDATE}",
            "(codes.T.cov()": "getattr(self, 'last', 1.0) * (codes.T.cov()",
        },
        STAGES,
    ),
    "forgets_the_discriminator": Mutant(
        "test_training_touches_every_parameter",
        "unchanged: discriminator.layers.0.weight",
        {
            BUILD: BUILD
            + "\n        def _update_discriminator(self, part, fakes):\n            return self._discriminator_loss(part, fakes)[1]\n"
        },
    ),
    "parameter_that_nothing_uses": Mutant(
        "test_training_touches_every_parameter",
        "unchanged: generator.spare",
        {"self.decoder =": "self.spare = nn.Parameter(torch.zeros(3))\n            self.decoder ="},
        VAE,
    ),
    "weight_without_effect": Mutant(
        "test_training_touches_every_parameter",
        "unchanged: discriminator.spare",
        {
            JUDGE: JUDGE + " + 0 * self.spare",
            "nn.Linear(config.width, 1)\n            )": "nn.Linear(config.width, 1)\n            )\n            self.spare = nn.Parameter(torch.zeros(()))",
        },
    ),
    "climbs": Mutant(
        "test_training_lowers_a_loss",
        "lower a figure whose name starts with `loss`",
        {UPDATE: 'self.update("generator", -loss)\n'},
        VAE,
    ),
    "discriminator_climbs": Mutant(
        "test_the_discriminator_learns_to_tell_samples_apart",
        "raise the logits of data above those of samples",
        {
            BUILD: BUILD
            + "\n        def _discriminator_loss(self, part, fakes):\n            loss, figures = super()._discriminator_loss(part, fakes)\n            return -loss, figures\n"
        },
    ),
    "nothing_to_log": Mutant(
        "test_training_lowers_a_loss", "got: figures none", {'return {"loss": loss.detach()}': "return {}"}, VAE
    ),
    "state_that_is_lost": Mutant(
        "test_a_resumed_run_ends_with_the_same_bytes",
        "stopped and resumed ends with the same bytes",
        {
            UPDATE: 'self.seen = getattr(self, "seen", 0) + 1\n            self.update("generator", loss / self.seen)\n',
            'return {"loss"': "self.modules['generator'].decoder[2].bias.data.mul_(1 - 0.01 * self.seen)\n            return {\"loss\"",
        },
        VAE,
    ),
}
SOUND = {
    "sound_gan": Mutant("", ""),
    "sound_conditional_gan": Mutant("", "", config={"num_classes": 3}),
    "sound_vae": Mutant("", "", base=VAE),
    # D's last bias shifts all logits alike: no difference of them depends on it.
    "critic": Mutant("", "", settings={"loss": "wasserstein"}),
    # As the last layers of diffusion models are: whatever comes before is hidden until the first step.
    "zero_output": Mutant(
        "", "", {LAST_LAYER: LAST_LAYER + ZEROED}, config={"num_classes": 3}
    ),
    # The encoder learns in the second half of the run alone.
    "in_stages": Mutant(
        "",
        "",
        {UPDATE: STAGED},
        VAE,
        settings={"steps": 80, "learning_rate": 1e-2},
    ),
    # Codes of a few levels coincide, and a last bit can turn one into the next.
    "discrete": Mutant("", "", {POSTERIOR: ROUNDED}, VAE),
    "large_values": Mutant("", "", {"sample_shape = (1, 8, 8)": 'kind = "tensor"\n        sample_shape = (1, 8, 8)', FORWARD: FORWARD + " * 1e4"}, settings={"learning_rate": 1e-3}),
    "sound_diffusion": Mutant("", "", base=DIFFUSION),
    "sound_sounds": Mutant("", "", base=SOUND_GAN),
    "sound_conditional_sounds": Mutant("", "", base=SOUND_GAN, config={"num_classes": 3}),
    "sound_texts": Mutant("", "", base=TEXT, settings={"learning_rate": 1e-2}),
    "sound_stages": Mutant("", "", base=STAGES),
    "option_without_use_here": Mutant(
        "", "", {CHURN: CHURN.replace("options.churn", "0.5")}, DIFFUSION, unused_options=("churn",)
    ),
    "reads_its_loss": Mutant("", "", {'{"loss": loss.detach()}': '{"loss": loss.item()}'}, VAE),
}  # fmt: skip


# Tests that take most of the time, and that a mutation of something else leaves as they are: mutants run without them.
COSTLY = ("test_importing_the_plugin_leaves_torch_out", "test_the_generator_can_be_exported")


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory):
    """For every plugin what failed, test by message, as pytest reports it; and what ran well."""
    report = made_once(tmp_path_factory, "mutants", run_contract) / "report.xml"
    failed, ran = {}, {}
    for case in ElementTree.parse(report).iter("testcase"):
        name = case.get("classname").rpartition("Test_")[2]
        problem = case.find("failure") if case.find("failure") is not None else case.find("error")
        if problem is not None:
            failed.setdefault(name, {})[case.get("name")] = problem.get("message")
        elif case.find("skipped") is None:
            ran.setdefault(name, set()).add(case.get("name"))
    return failed, ran


def run_contract(folder):
    """The contract's tests on every mutant, reported in report.xml of that folder."""
    site = Site(folder / "site")
    site.folder.mkdir()
    tests = ["from zoo_core.testing import ArchitectureContract\n"]
    for name, mutant in {**SOUND, **MUTANTS}.items():
        site.add(f"zoo-{name}", mutant.hooks(name), model=mutant.source())
        attributes = {
            "architecture": name, "config": mutant.config, "refused": mutant.refused, "settings": mutant.settings,
            "unused_options": mutant.unused_options,
        } | ({test: None for test in COSTLY if test != mutant.test} if name in MUTANTS else {})  # fmt: skip
        lines = [f"    {attribute} = {value!r}" for attribute, value in attributes.items()]
        tests.append("\n".join([f"class Test_{name}(ArchitectureContract):", *lines, ""]))
    (folder / "test_plugins.py").write_text("\n\n".join(tests))
    command = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--junit-xml=report.xml", "test_plugins.py"]
    done = forkserver.run(*command, cwd=folder, env=site.environment(ZOO_CACHE=str(folder)))
    assert done.returncode == 1, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_plugin_is_caught_by_the_test_that_names_it(name, verdicts):
    failed, _ = verdicts
    assert list(failed.get(name, {})) == [MUTANTS[name].test]
    assert MUTANTS[name].words in failed[name][MUTANTS[name].test]


@pytest.mark.slow
@pytest.mark.parametrize("name", SOUND)
def test_a_sound_plugin_passes(name, verdicts):
    assert name not in verdicts[0]


@pytest.mark.slow
def test_every_test_of_the_contract_applies_to_a_sound_plugin_and_catches_a_broken_one(verdicts):
    from zoo_core.testing import ArchitectureContract

    asked = {name for name in vars(ArchitectureContract) if name.startswith("test_")}
    assert asked == set().union(*(verdicts[1][name] for name in SOUND))
    assert asked == {mutant.test for mutant in MUTANTS.values()}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutation_changes_the_plugin(name):
    sound = Mutant("", "", base=MUTANTS[name].base)
    for old in MUTANTS[name].changes:
        assert old in CONFIG + sound.base + HOOKS + sound.hooks(name)
    assert (MUTANTS[name].source(), MUTANTS[name].hooks(name)) != (sound.source(), sound.hooks(name))


def test_importing_the_core_imports_no_pytest():
    program = "import sys, zoo_core, zoo_core.testing; print('pytest' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
