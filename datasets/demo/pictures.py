"""Pictures for pre-training: a figure in one colour upon a ground in two, placed, lit and disturbed at random.

The label of a picture is its recipe: category of the figure, category of the ground, colour of each.
"""

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional

from datasets.demo.formulas import Bank

COLOURS = 27  # the corners, edge centres, face centres and centre of the colour cube
UNLABELLED = -100  # what torch's cross-entropy ignores


def label_sizes(bank: Bank) -> tuple[int, int, int, int]:
    """Give the number of categories of each part of the label: figure (or none), ground (or none), two colours."""
    return bank.figure_kinds + 1, bank.ground_kinds + 1, COLOURS, COLOURS


def compose(bank: Bank, count: int, size: int, easy: float, random: Generator) -> tuple[Tensor, Tensor]:
    """Compose pictures with values in [0, 1] and their labels, one column per part, where `random` and the bank are.

    A share of `easy` pictures is white on black and undisturbed: shapes are learned from these first, or not at all.
    """
    with random.device:
        return _compose(bank, count, size, easy, random)


def _compose(bank: Bank, count: int, size: int, easy: float, random: Generator) -> tuple[Tensor, Tensor]:
    cover, figure = _place(bank.figures, count, size, (0.85, 1.6), 0.4, random)
    relief, ground = _place(bank.grounds, count, size, (0.35, 0.65), 0.35, random)
    clean, bare, plain, grey = (torch.rand(count, generator=random) < share for share in (easy, 0.1, 0.3, 0.25))
    bare, plain = bare & ~clean, plain | clean
    below, above = (
        colour.masked_fill(clean, end) for colour, end in zip(_two_colours(grey, random), (0, 26), strict=True)
    )
    depth = _uniform(count, (0.1, 0.6), random) * _per_picture(~plain)
    direction = torch.randn((count, 3, 1, 1), generator=random)
    surface = _colour(below, random) + depth * (relief - 0.5) * direction
    opaque = cover * _per_picture(~bare) * _uniform(count, (0.6, 1), random)
    pictures = surface + (_colour(above, random) - surface) * opaque
    pictures = torch.where(_per_picture(grey | clean), pictures.mean(1, keepdim=True), pictures)
    pictures = torch.where(_per_picture(clean), pictures.clamp(0, 1), _disturb(pictures, random))
    labels = (
        (figure // bank.each).masked_fill(bare, bank.figure_kinds),
        (ground // bank.each).masked_fill(plain, bank.ground_kinds),
        above.masked_fill(bare, UNLABELLED),
        below,
    )
    return pictures, torch.stack(labels, 1)


def _per_picture(values: Tensor) -> Tensor:
    return values[:, None, None, None]


def _place(
    maps: Tensor, count: int, size: int, zoom: tuple[float, float], tilt: float, random: Generator
) -> tuple[Tensor, Tensor]:
    """Pick maps at random and turn, stretch and move each; outside of a map is empty."""
    rows = torch.randint(len(maps), (count,), generator=random)
    angle = (torch.rand(count, generator=random) * 2 - 1) * tilt
    scale = torch.exp(_uniform(count, (math.log(zoom[0]), math.log(zoom[1])), random)).view(-1)
    stretch = torch.exp(torch.randn((2, count), generator=random) * 0.1) * scale
    room = (1 - scale).abs()  # keeps a small figure inside the picture and a window inside a large ground
    move = (torch.rand((2, count), generator=random) * 2 - 1) * room
    first = torch.stack([angle.cos() * stretch[0], -angle.sin() * stretch[0], move[0]], 1)
    second = torch.stack([angle.sin() * stretch[1], angle.cos() * stretch[1], move[1]], 1)
    matrix = torch.stack([first, second], 1)
    grid = functional.affine_grid(matrix, [count, 1, size, size], align_corners=False)
    chosen = maps[rows, None].float() / 255
    return functional.grid_sample(chosen, grid, align_corners=False), rows


def _two_colours(grey: Tensor, random: Generator) -> tuple[Tensor, Tensor]:
    """Pick two different colours for each picture, both on the diagonal of the cube where it is to be grey."""
    below = torch.randint(COLOURS, grey.shape, generator=random)
    above = (below + torch.randint(1, COLOURS, grey.shape, generator=random)) % COLOURS
    dark = torch.randint(3, grey.shape, generator=random)
    light = (dark + torch.randint(1, 3, grey.shape, generator=random)) % 3
    return torch.where(grey, 13 * dark, below), torch.where(grey, 13 * light, above)


def _colour(index: Tensor, random: Generator) -> Tensor:
    cube = torch.stack([index // 9, index // 3 % 3, index % 3], 1) / 2
    jitter = torch.randn(cube.shape, generator=random) * 0.1
    return (cube + jitter)[:, :, None, None]


def _uniform(count: int, span: tuple[float, float], random: Generator) -> Tensor:
    return torch.rand((count, 1, 1, 1), generator=random) * (span[1] - span[0]) + span[0]


def _disturb(pictures: Tensor, random: Generator) -> Tensor:
    """Change contrast and brightness and add the noise of a sensor."""
    count = len(pictures)
    lit = (pictures - 0.5) * _uniform(count, (0.6, 1.2), random) + 0.5 + _uniform(count, (-0.1, 0.1), random)
    noise = torch.randn(pictures.shape, generator=random) * _uniform(count, (0, 0.08), random)
    return (lit + noise).clamp(0, 1)
