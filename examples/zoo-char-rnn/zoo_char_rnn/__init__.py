"""char-rnn as a plugin of zoo-core.

Every `zoo` command imports this module, so it must not import torch: the classes are named by import strings.
"""

from collections.abc import Iterable

from zoo_core import Architecture, hookimpl

zoo_api = 1  # the version of zoo-core's plugin interface


@hookimpl
def zoo_architectures() -> Iterable[Architecture]:
    return [
        Architecture(
            name="char-rnn",
            summary="Recurrent network that writes texts character by character (Graves, 2013)",
            kind="text",
            config="zoo_char_rnn.model:CharRNNConfig",
            generator="zoo_char_rnn.model:CharRNN",
            trainer="zoo_char_rnn.trainer:CharRNNTrainer",
            paper="https://arxiv.org/abs/1308.0850",
        ),
    ]
