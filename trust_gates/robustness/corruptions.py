"""Common corruptions of images: what weather, lenses and wires do without any malice.

Hendrycks & Dietterich 2019, "Benchmarking neural network robustness to common corruptions and
perturbations", appendix B: the kinds that need no picture files. Strengths are the authors', those
of CIFAR-10-C for images of at most 64 pixels a side and those of ImageNet-C for larger ones.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.float64]
"""(N, C, H, W) within [0, 1]."""

SEVERITIES = (1, 2, 3, 4, 5)
_SMALL = 64

Generator = np.random.Generator


@dataclass(frozen=True, slots=True, kw_only=True)
class Corruption:
    """One kind, with its strength at each severity for small images and for others."""

    apply: Callable[[Images, float, Generator], Images]
    small: tuple[float, float, float, float, float]
    large: tuple[float, float, float, float, float]


def corrupt(kind: str, inputs: Images, severity: int, seed: int) -> Images:
    """The images (N, C, H, W) in [0, 1] after the corruption `kind`, in [0, 1] again.

    Raises:
        ValueError: the kind or the severity is unknown, or these are not images.
    """
    if kind not in CORRUPTIONS:
        raise ValueError(f"got the corruption {kind!r}, expected one of {list(CORRUPTIONS)}")
    if severity not in SEVERITIES:
        raise ValueError(f"got severity {severity}, expected one of {SEVERITIES}")
    if inputs.ndim != 4:
        raise ValueError(
            f"got inputs of shape {inputs.shape[1:]}, expected images (channels, height, width): "
            "common corruptions are of pictures"
        )
    corruption = CORRUPTIONS[kind]
    strengths = corruption.small if max(inputs.shape[2:]) <= _SMALL else corruption.large
    generator = np.random.default_rng([seed, list(CORRUPTIONS).index(kind), severity])
    return corruption.apply(inputs, strengths[severity - 1], generator).clip(0, 1)


def _gaussian_noise(x: Images, scale: float, generator: Generator) -> Images:
    return x + generator.normal(scale=scale, size=x.shape)


def _shot_noise(x: Images, photons: float, generator: Generator) -> Images:
    return generator.poisson(x * photons) / photons


def _impulse_noise(x: Images, share: float, generator: Generator) -> Images:
    ends = generator.integers(0, 2, size=x.shape).astype(np.float64)
    return np.where(generator.random(x.shape) < share, ends, x)


def _speckle_noise(x: Images, scale: float, generator: Generator) -> Images:
    return x + x * generator.normal(scale=scale, size=x.shape)


def _gaussian_blur(x: Images, sigma: float, generator: Generator) -> Images:
    from scipy.ndimage import gaussian_filter

    blurred: Images = gaussian_filter(x, sigma=(0, 0, sigma, sigma), mode="nearest")
    return blurred


def _defocus_blur(x: Images, radius: float, generator: Generator) -> Images:
    """A lens out of focus spreads each point over a disk; its edge covers pixels in part."""
    reach = int(np.ceil(radius))
    place = np.arange(-reach, reach + 1)
    distance = np.hypot(place[:, None], place[None, :])
    return _filtered(x, (radius + 0.5 - distance).clip(0, 1))


def _motion_blur(x: Images, length: float, generator: Generator) -> Images:
    """A camera that moves spreads each point over a line; one direction for all images."""
    reach = int(np.ceil(length / 2))
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1))
    angle = generator.uniform(-np.pi / 4, np.pi / 4)
    for place in np.linspace(-length / 2, length / 2, 8 * reach + 1):
        row, column = round(place * np.sin(angle)), round(place * np.cos(angle))
        kernel[reach + row, reach + column] += 1
    return _filtered(x, kernel)


def _zoom_blur(x: Images, most: float, generator: Generator) -> Images:
    """A camera that comes nearer: the mean over growing magnifications of the middle."""
    from scipy.ndimage import affine_transform

    factors = np.linspace(1, most, 6)
    middle = (np.array(x.shape[2:]) - 1) / 2
    total = np.zeros_like(x)
    for factor in factors:
        scale, offset = np.array([1, 1, 1 / factor, 1 / factor]), middle * (1 - 1 / factor)
        total += affine_transform(x, scale, offset=(0, 0, *offset), order=1, mode="nearest")
    return total / len(factors)


def _fog(x: Images, thickness: float, generator: Generator) -> Images:
    """Light from a cloud of self-similar shape is added, and all is scaled back."""
    side = 2 ** int(np.ceil(np.log2(max(x.shape[2:]))))
    wave = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None, :])
    wave[0, 0] = 1 / side
    phases = np.exp(2j * np.pi * generator.random((len(x), side, side)))
    cloud = np.fft.ifft2(phases / wave**1.5).real
    cloud -= cloud.min(axis=(1, 2), keepdims=True)
    cloud /= cloud.max(axis=(1, 2), keepdims=True)
    brightest = x.max(axis=(1, 2, 3), keepdims=True)
    added = x + thickness * cloud[:, None, : x.shape[2], : x.shape[3]]
    scaled: Images = added * brightest / (brightest + thickness)
    return scaled


def _brightness(x: Images, more: float, generator: Generator) -> Images:
    return x + more


def _contrast(x: Images, kept: float, generator: Generator) -> Images:
    middle: Images = x.mean(axis=(2, 3), keepdims=True)
    return (x - middle) * kept + middle


def _pixelate(x: Images, share: float, generator: Generator) -> Images:
    """Fewer and larger pixels, each the mean of what it covers."""
    height, width = x.shape[2:]
    fewer = max(round(height * share), 1), max(round(width * share), 1)
    rows, columns = _cover(height, fewer[0]), _cover(width, fewer[1])
    small = np.einsum("ih,nchw,jw->ncij", rows, x, columns)
    down = (2 * np.arange(height) + 1) * fewer[0] // (2 * height)
    across = (2 * np.arange(width) + 1) * fewer[1] // (2 * width)
    enlarged: Images = small[:, :, down][:, :, :, across]
    return enlarged


def _jpeg(x: Images, quality: float, generator: Generator) -> Images:
    """Three channels as one colour picture, others each as a grey one."""
    pixels = (x * 255).round().astype(np.uint8)
    color = x.shape[1] == 3
    pictures = [p.transpose(1, 2, 0) for p in pixels] if color else pixels.reshape(-1, *x.shape[2:])
    decoded = np.stack([_compressed(picture, int(quality)) for picture in pictures])
    shaped = decoded.transpose(0, 3, 1, 2) if color else decoded.reshape(x.shape)
    return shaped / 255.0


def _compressed(picture: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def _filtered(x: Images, kernel: NDArray[np.float64]) -> Images:
    from scipy.ndimage import convolve

    blurred: Images = convolve(x, kernel[None, None] / kernel.sum(), mode="nearest")
    return blurred


def _cover(length: int, fewer: int) -> NDArray[np.float64]:
    """(fewer, length): which part of each new pixel each old one makes up."""
    start, size = np.arange(fewer)[:, None] * length / fewer, length / fewer
    place = np.arange(length)[None, :]
    shared = np.minimum(start + size, place + 1) - np.maximum(start, place)
    return shared.clip(0, 1) / size


CORRUPTIONS: Mapping[str, Corruption] = {
    "gaussian_noise": Corruption(
        apply=_gaussian_noise,
        small=(0.04, 0.06, 0.08, 0.09, 0.10),
        large=(0.08, 0.12, 0.18, 0.26, 0.38),
    ),
    "shot_noise": Corruption(
        apply=_shot_noise, small=(500, 250, 100, 75, 50), large=(60, 25, 12, 5, 3)
    ),
    "impulse_noise": Corruption(
        apply=_impulse_noise,
        small=(0.01, 0.02, 0.03, 0.05, 0.07),
        large=(0.03, 0.06, 0.09, 0.17, 0.27),
    ),
    "speckle_noise": Corruption(
        apply=_speckle_noise,
        small=(0.06, 0.10, 0.12, 0.16, 0.20),
        large=(0.15, 0.20, 0.35, 0.45, 0.60),
    ),
    "gaussian_blur": Corruption(
        apply=_gaussian_blur, small=(0.4, 0.6, 0.7, 0.8, 1.0), large=(1, 2, 3, 4, 6)
    ),
    "defocus_blur": Corruption(
        apply=_defocus_blur, small=(0.3, 0.4, 0.5, 1.0, 1.5), large=(3, 4, 6, 8, 10)
    ),
    # The authors' are kernels of ImageMagick, whose width counts more than its length.
    "motion_blur": Corruption(
        apply=_motion_blur, small=(1.5, 2, 2.5, 3, 4), large=(6, 10, 14, 18, 22)
    ),
    "zoom_blur": Corruption(
        apply=_zoom_blur,
        small=(1.06, 1.11, 1.16, 1.21, 1.26),
        large=(1.11, 1.16, 1.21, 1.26, 1.33),
    ),
    "fog": Corruption(apply=_fog, small=(0.2, 0.5, 0.75, 1, 1.5), large=(1.5, 2, 2.5, 2.5, 3)),
    "brightness": Corruption(
        apply=_brightness, small=(0.05, 0.1, 0.15, 0.2, 0.3), large=(0.1, 0.2, 0.3, 0.4, 0.5)
    ),
    "contrast": Corruption(
        apply=_contrast, small=(0.75, 0.5, 0.4, 0.3, 0.15), large=(0.4, 0.3, 0.2, 0.1, 0.05)
    ),
    "pixelate": Corruption(
        apply=_pixelate, small=(0.95, 0.9, 0.85, 0.75, 0.65), large=(0.6, 0.5, 0.4, 0.3, 0.25)
    ),
    "jpeg": Corruption(apply=_jpeg, small=(80, 65, 58, 50, 40), large=(25, 18, 15, 10, 7)),
}
"""By name; the number of each is a standard deviation, photons, a share, pixels or a quality."""
