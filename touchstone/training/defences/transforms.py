"""Transformations of inputs, each exact forward and with a gradient that an attack can follow.

Quantisation has no useful gradient, and a model behind it looks robust to every attack that needs
one (Athalye, Carlini and Wagner 2018, "Obfuscated gradients"). Backward each transformation is
therefore its smooth stand-in (BPDA): the identity, or what the paper names. The gates attack
through that, so that masking is not taken for robustness.
"""

from __future__ import annotations

from io import BytesIO

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (PyTorch's own name for it)

_STEP = 0.248
"""Of the dual ascent: below 1/4 it converges (Chambolle 2004, theorem 3.1, remark on practice)."""


def stand_in(exact: Tensor, smooth: Tensor) -> Tensor:
    """`exact` forward, bit by bit; the gradient of `smooth` backward."""
    return exact.detach() + (smooth - smooth.detach())


def squeeze(inputs: Tensor, bits: int) -> Tensor:
    """Values in [0, 1] rounded to 2^bits evenly spaced ones."""
    top = 2**bits - 1
    return stand_in((inputs * top).round() / top, inputs)


def smooth(images: Tensor, window: int) -> Tensor:
    """The median of each `window` x `window` neighbourhood, mirrored at the border.

    Of an even number of values the larger middle one, with its centre at the lower right, as
    scipy's and ART's filter. The median is one of the values: its gradient is that value's.
    """
    before, after = window // 2, (window - 1) // 2
    rows, columns = (
        torch.from_numpy(np.pad(np.arange(size), (before, after), mode="symmetric"))
        for size in images.shape[2:]
    )
    padded = images[:, :, rows.to(images.device)][..., columns.to(images.device)]
    patches = padded.unfold(2, window, 1).unfold(3, window, 1).flatten(4)
    return patches.sort(dim=-1).values[..., window * window // 2]


def jpeg(images: Tensor, quality: int) -> Tensor:
    """Images in [0, 1] through JPEG; three channels as RGB, any other number one by one as grey."""
    colored = images.shape[1] == 3
    levels = (images.detach().clamp(0, 1) * 255).round().to(torch.uint8).cpu()
    pictures = levels.permute(0, 2, 3, 1) if colored else levels.flatten(0, 1)
    packed = np.stack([_through_jpeg(one, quality) for one in pictures.contiguous().numpy()])
    back = torch.from_numpy(packed).to(images.device, images.dtype) / 255
    back = back.permute(0, 3, 1, 2) if colored else back.reshape(images.shape)
    return stand_in(back, images)


def _through_jpeg(pixels: np.ndarray, quality: int) -> np.ndarray:
    from PIL import Image

    file = BytesIO()
    Image.fromarray(pixels).save(file, format="jpeg", quality=quality)
    return np.asarray(Image.open(file))


def minimise_variance(images: Tensor, weight: float, steps: int) -> Tensor:
    """The images z that minimise |z - x|^2 / 2 + weight * total variation of z, channel by channel.

    By Chambolle's dual projection ("An algorithm for total variation minimization", 2004). Guo et
    al. drop random pixels first, which a served model, asked twice, should not do.
    """
    with torch.no_grad():
        dual = torch.zeros(2, *images.shape, dtype=images.dtype, device=images.device)
        for _ in range(steps):
            slope = _gradient(_divergence(dual) - images / weight)
            length = slope.square().sum(dim=0).sqrt()
            dual = (dual + _STEP * slope) / (1 + _STEP * length)
        calm = images - weight * _divergence(dual)
    return stand_in(calm, images)


def _gradient(images: Tensor) -> Tensor:
    """(2, N, C, H, W): differences to the next row and column, 0 at the end."""
    down = F.pad(images.diff(dim=2), (0, 0, 0, 1))
    right = F.pad(images.diff(dim=3), (0, 1))
    return torch.stack([down, right])


def _divergence(field: Tensor) -> Tensor:
    """The negative adjoint of `_gradient`."""
    down, right = F.pad(field[0, :, :, :-1], (0, 0, 1, 1)), F.pad(field[1, ..., :-1], (1, 1))
    return down.diff(dim=2) + right.diff(dim=3)


def thermometer(inputs: Tensor, levels: int) -> Tensor:
    """Each value in [0, 1] as `levels` values: the k-th is 1 where the value exceeds k / levels.

    Backward min(max(x - k / levels, 0), 1), as Athalye et al. attack it (their section 5.2.2).

    Returns:
        (N, C * levels, ...), a channel's levels side by side.
    """
    marks = torch.arange(levels, device=inputs.device, dtype=inputs.dtype) / levels
    over = inputs.unsqueeze(2) - marks.reshape(levels, *[1] * (inputs.ndim - 2))
    # The first level says nothing but keeps its gradient, also at 0.
    reached = (over > 0).to(inputs.dtype)
    reached[:, :, 0] = 1
    return stand_in(reached, over.clamp(0, 1)).flatten(1, 2)
