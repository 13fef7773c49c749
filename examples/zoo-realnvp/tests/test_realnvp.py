"""RealNVP: the contract, exact inversion, and the likelihood against closed forms."""

import math
from typing import ClassVar

import pytest
import torch
from zoo_core.testing import ArchitectureContract

from zoo_realnvp.model import RealNVP, RealNVPConfig

SMALL = {"size": 8, "channels": 1, "width": 4, "couplings": 2}


class TestRealNVP(ArchitectureContract):
    architecture = "realnvp"
    config: ClassVar = SMALL
    refused: ClassVar = [{"size": 30}, {"channels": 2}, {"width": 0}, {"margin": 0.5}]


def flow(**values):
    """In float64, with weights that make it anything but the identity."""
    torch.manual_seed(0)
    model = RealNVP(RealNVPConfig(**SMALL | values)).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model.requires_grad_(False)


@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_encoded_is_decoded_exactly(channels):
    model = flow(channels=channels)
    x = torch.rand(4, *model.sample_shape, dtype=torch.float64)
    torch.testing.assert_close(model.reconstruct(x), x, rtol=0, atol=1e-10)
    z = torch.randn(4, *model.latent_shape, dtype=torch.float64)
    torch.testing.assert_close(model.encode(model(z))[0], z, rtol=0, atol=1e-9)


def test_the_determinant_is_that_of_the_jacobian():
    model = flow()
    x = torch.rand(1, *model.sample_shape, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda x: model.flow(x)[0], x)
    expected = torch.linalg.slogdet(jacobian.reshape(64, 64)).logabsdet
    torch.testing.assert_close(model.flow(x)[1], expected[None])


def test_a_new_flow_has_the_density_of_a_logistic_normal():
    model = RealNVP(RealNVPConfig(**SMALL)).double()
    x = torch.rand(3, *model.sample_shape, dtype=torch.float64)
    inner = 0.05 + 0.9 * x
    z = torch.log(inner / (1 - inner))
    normal = torch.distributions.Normal(0.0, 1.0).log_prob(z)
    expected = normal + math.log(0.9) - torch.log(inner * (1 - inner))
    torch.testing.assert_close(model.log_density(x), expected.flatten(1).sum(1))


def test_the_probabilities_of_all_values_of_a_pixel_sum_to_that_of_the_data():
    """In bits: of a new flow every pixel is independent, and its 256 values share what lies between 0 and 1."""
    model = RealNVP(RealNVPConfig(**SMALL)).double()
    values = torch.arange(256, dtype=torch.float64) / 255
    pictures = values[:, None, None, None].expand(256, *model.sample_shape)
    steps = (torch.arange(32, dtype=torch.float64) + 0.5) / 32
    probability = torch.stack(
        [2 ** -model.bits_per_dimension(pictures, torch.full_like(pictures, noise)) for noise in steps.tolist()]
    ).mean(0)
    edge = torch.distributions.Normal(0.0, 1.0).cdf(torch.tensor(math.log(0.95 / 0.05)))
    assert probability.sum().item() == pytest.approx((2 * edge - 1).item(), abs=1e-4)
