"""Transformations do what their papers say, equal ART's where it works, and have gradients."""

import numpy as np
import pytest
import torch
from art.defences.preprocessor import (
    FeatureSqueezing,
    JpegCompression,
    SpatialSmoothing,
    ThermometerEncoding,
)

from touchstone.training.defences import transforms

GENERATOR = np.random.default_rng(0)
# A quarter above 8-bit levels: ART's JPEG rounds levels down, ours to the nearest.
IMAGES = ((GENERATOR.integers(0, 255, size=(3, 3, 12, 10)) + 0.25) / 255).astype(np.float32)
ROWS = GENERATOR.random((20, 5), dtype=np.float32)
RANGE = (0.0, 1.0)


def ours(function, inputs, *options):
    return function(torch.from_numpy(inputs), *options).numpy()


@pytest.mark.parametrize("bits", [1, 3, 8])
def test_squeezing_leaves_as_many_levels_as_its_bits_say(bits):
    squeezed = ours(transforms.squeeze, GENERATOR.random((40, 500), dtype=np.float32), bits)
    assert len(np.unique(squeezed)) == 2**bits
    assert squeezed.min() == 0 and squeezed.max() == 1


@pytest.mark.parametrize("bits", [1, 4])
def test_squeezing_is_what_art_does(bits):
    reference = FeatureSqueezing(clip_values=RANGE, bit_depth=bits)(IMAGES)[0]
    assert np.allclose(ours(transforms.squeeze, IMAGES, bits), reference, atol=1e-6)


@pytest.mark.parametrize("window", [2, 3, 5])
def test_smoothing_is_what_art_does(window):
    reference = SpatialSmoothing(window_size=window, channels_first=True)(IMAGES)[0]
    assert np.array_equal(ours(transforms.smooth, IMAGES, window), reference)


def test_smoothing_removes_a_single_bad_pixel():
    image = torch.full((1, 1, 7, 7), 0.25)
    image[0, 0, 3, 3] = 1.0
    assert torch.equal(transforms.smooth(image, 3), torch.full((1, 1, 7, 7), 0.25))


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("quality", [10, 90])
def test_jpeg_is_what_art_does(channels, quality):
    images = IMAGES[:, :channels]
    reference = JpegCompression(RANGE, quality=quality, channels_first=True)(images)[0]
    assert np.allclose(ours(transforms.jpeg, images, quality), reference, atol=1e-6)


@pytest.mark.parametrize("inputs", [IMAGES, ROWS])
@pytest.mark.parametrize("levels", [2, 10])
def test_thermometer_is_what_art_does(inputs, levels):
    art = ThermometerEncoding(clip_values=RANGE, num_space=levels, channels_first=True)
    expected = art(inputs.copy())[0]
    assert np.array_equal(ours(transforms.thermometer, inputs, levels), expected)


def test_thermometer_has_the_gradient_that_art_estimates():
    art = ThermometerEncoding(clip_values=RANGE, num_space=10, channels_first=True)
    inputs = torch.from_numpy(IMAGES).requires_grad_()
    encoded = transforms.thermometer(inputs, 10)
    upstream = GENERATOR.random(encoded.shape, dtype=np.float32)
    encoded.backward(torch.from_numpy(upstream))
    assert np.allclose(inputs.grad.numpy(), art.estimate_gradient(IMAGES, upstream), atol=1e-5)


def test_a_thermometer_counts_the_levels_reached():
    encoded = transforms.thermometer(torch.tensor([[0.0, 0.3, 1.0]]), 4)
    assert encoded.reshape(3, 4).tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1]]


def variation(images):
    down, right = images.diff(dim=2), images.diff(dim=3)
    pad = torch.nn.functional.pad
    steps = pad(down, (0, 0, 0, 1)).square() + pad(right, (0, 1)).square()
    return steps.sqrt().sum()


def objective(images, noisy, weight):
    return float((images - noisy).square().sum() / 2 + weight * variation(images))


def test_variance_falls_and_the_picture_stays():
    clean = torch.zeros(1, 1, 16, 16)
    clean[..., 8:] = 1
    noisy = clean + 0.1 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    calm = transforms.minimise_variance(noisy, 0.15, 100)
    assert variation(calm) < 0.6 * variation(noisy)
    assert (calm - clean).square().mean() < 0.3 * (noisy - clean).square().mean()


def test_variance_is_at_the_minimum_of_its_objective():
    noisy = torch.from_numpy(IMAGES)
    found = transforms.minimise_variance(noisy, 0.1, 500)
    best = objective(found, noisy, 0.1)
    assert best < objective(noisy, noisy, 0.1)
    for seed in range(20):
        step = torch.randn(noisy.shape, generator=torch.Generator().manual_seed(seed))
        assert objective(found + 0.003 * step, noisy, 0.1) > best


def test_variance_knows_the_minimum_of_two_pixels():
    # |z - x|^2 / 2 + w |z1 - z2| moves both towards each other by w.
    calm = transforms.minimise_variance(torch.tensor([[[[0.2, 0.8]]]]), 0.1, 200)
    assert calm.flatten().tolist() == pytest.approx([0.3, 0.7], abs=1e-4)


@pytest.mark.parametrize(
    "defended",
    [
        lambda x: transforms.squeeze(x, 1),
        lambda x: transforms.jpeg(x, 10),
        lambda x: transforms.minimise_variance(x, 0.1, 10),
    ],
)
def test_a_step_function_passes_gradients_as_the_identity(defended):
    inputs = torch.from_numpy(IMAGES).requires_grad_()
    weights = torch.rand(IMAGES.shape)
    (defended(inputs) * weights).sum().backward()
    assert torch.allclose(inputs.grad, weights)


def test_the_stand_in_does_not_change_the_value_by_a_bit():
    inputs = torch.from_numpy(IMAGES)
    exact = transforms.squeeze(inputs, 4)
    assert torch.equal(transforms.squeeze(inputs.clone().requires_grad_(), 4), exact)
