"""Scenes with a few small shapes on a textured ground, by day and by night."""

from __future__ import annotations

import numpy as np

CLASSES = ("circle", "square", "triangle", "cross")
LIGHTING = ("day", "night")
SIZE = 64
"""Side of a scene, pixels."""

MOST_OBJECTS = 4
_GRID = np.stack(np.meshgrid(np.arange(SIZE), np.arange(SIZE)))  # x, y of each pixel


def generate(count: int, *, night: float, generator: np.random.Generator) -> dict[str, np.ndarray]:
    """`count` scenes, a share `night` (0 to 1) of them by night; arrays as training.RawData."""
    inputs = np.empty((count, 3, SIZE, SIZE), dtype=np.float32)
    boxes = np.zeros((count, MOST_OBJECTS, 4), dtype=np.float32)
    labels = np.full((count, MOST_OBJECTS), -1, dtype=np.int64)
    lighting = np.zeros(count, dtype=np.int64)
    lighting[: round(count * night)] = 1
    generator.shuffle(lighting)
    for index in range(count):
        scene = _ground(generator)
        placed: list[tuple[float, float, float]] = []
        for slot in range(generator.integers(2, MOST_OBJECTS + 1)):
            spot = _free_spot(placed, generator)
            if spot is None:
                break
            placed.append(spot)
            labels[index, slot] = generator.integers(len(CLASSES))
            boxes[index, slot] = _draw(scene, labels[index, slot], spot, generator)
        inputs[index] = (
            _by_night(scene, generator) if lighting[index] else _by_day(scene, generator)
        )
    return {"inputs": inputs, "boxes": boxes, "box_labels": labels, "protected_lighting": lighting}


def _ground(generator: np.random.Generator) -> np.ndarray:
    """Coarse blotches, a grating and fine grain, (3, SIZE, SIZE) around a middle grey."""
    coarse = np.kron(generator.normal(0, 0.04, (3, 8, 8)), np.ones((1, SIZE // 8, SIZE // 8)))
    angle, pitch = generator.uniform(0, np.pi), generator.uniform(4, 12)
    wave = np.sin((np.cos(angle) * _GRID[0] + np.sin(angle) * _GRID[1]) * 2 * np.pi / pitch)
    base = generator.uniform(0.35, 0.5, (3, 1, 1))
    return base + coarse + 0.03 * wave + generator.normal(0, 0.02, (3, SIZE, SIZE))


def _free_spot(
    placed: list[tuple[float, float, float]], generator: np.random.Generator
) -> tuple[float, float, float] | None:
    """Centre x, y and radius of a shape that overlaps none of `placed`; None when crowded."""
    for _ in range(20):
        radius = generator.uniform(5.5, 8.5)
        x, y = generator.uniform(radius + 1, SIZE - radius - 1, 2)
        if all(max(abs(x - a), abs(y - b)) > radius + c for a, b, c in placed):
            return x, y, radius
    return None


def _draw(
    scene: np.ndarray,
    label: int,
    spot: tuple[float, float, float],
    generator: np.random.Generator,
) -> tuple[int, int, int, int]:
    """Paint the shape into `scene`; return the box around its pixels, x1 y1 x2 y2."""
    x, y, radius = spot
    across, down = _GRID[0] - x, _GRID[1] - y
    match CLASSES[label]:
        case "circle":
            mask = across**2 + down**2 <= radius**2
        case "square":
            mask = np.maximum(abs(across), abs(down)) <= radius * 0.9
        case "triangle":
            mask = (abs(across) <= (down + radius) / 2) & (down <= radius)
        case _:
            arm = radius * 0.34
            mask = (np.minimum(abs(across), abs(down)) <= arm) & (
                np.maximum(abs(across), abs(down)) <= radius
            )
    color = generator.uniform(0.6, 1.0, 3)
    color[generator.integers(3)] = generator.uniform(0.75, 1.0)
    scene[:, mask] = color[:, None] + generator.normal(0, 0.02, (3, int(mask.sum())))
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1


def _by_day(scene: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    light = generator.uniform(0.9, 1.1)
    return np.clip(scene * light + generator.normal(0, 0.01, scene.shape), 0, 1)


def _by_night(scene: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A fifth of the light, bluish, with flattened contrast, and the grain of a high gain."""
    tint = np.array([0.75, 0.85, 1.15])[:, None, None]
    light = generator.uniform(0.16, 0.26)
    return np.clip(scene * tint * light + 0.02 + generator.normal(0, 0.025, scene.shape), 0, 1)
