"""Training images are cropped, flipped, changed and erased as the sources say, and as often."""

import copy
import dataclasses
import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision import transforms
from torchvision.transforms import InterpolationMode

from bench.data.loader import seeded
from datasets import PRESETS, Preprocessing
from datasets.transforms.augmentation import NOAH, VPT, Augmentation, transform_of
from datasets.transforms.preprocessing import HALF

SIZE = 224


def places(width: int, height: int) -> Image.Image:
    """Every pixel says where it is: its column in red and blue, its row in green."""
    column, row = np.meshgrid(np.arange(width), np.arange(height))
    return Image.fromarray(np.stack([column % 256, row, column // 256], 2).astype(np.uint8))


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def drawn(preset: Preprocessing, image: Image.Image, number: int, size: int = SIZE) -> Tensor:
    with seeded(number):
        return preset.augmented(image, size)


def resized_crop() -> Preprocessing:
    """Crops and flips alone."""
    how = Augmentation("random_resized_crop")
    return Preprocessing("test", resize="squash_crop", mean=HALF, std=HALF, augmentation=how)


def test_vpt_cuts_any_part_of_the_resized_image_and_flips_half() -> None:
    image = places(300, 256)  # the shorter side is 256 already, so that pixels stay
    lefts, tops, flips = set(), set(), 0
    for number in range(200):
        pixels = drawn(PRESETS["vpt_fgvc"], image, number).long()
        flipped = bool(pixels[0, 0, 0] + 256 * pixels[2, 0, 0] > pixels[0, 0, -1] + 256 * pixels[2, 0, -1])
        pixels = pixels.flip(2) if flipped else pixels
        left, top = int(pixels[0, 0, 0] + 256 * pixels[2, 0, 0]), int(pixels[1, 0, 0])
        whole = torch.from_numpy(np.array(image)).permute(2, 0, 1)
        assert torch.equal(pixels, whole[:, top : top + SIZE, left : left + SIZE].long())
        lefts, tops, flips = lefts | {left}, tops | {top}, flips + flipped
    assert 80 < flips < 120
    assert (min(lefts), max(lefts)) == pytest.approx((0, 76), abs=3)
    assert (min(tops), max(tops)) == (0, 32)


@pytest.mark.parametrize("shape", [(500, 375), (100, 160), (256, 256)])
def test_vpt_is_the_pipeline_of_the_source_to_the_pixel(shape: tuple[int, int]) -> None:
    steps = transforms.Resize(256, InterpolationMode.BILINEAR), transforms.RandomCrop(224)
    theirs = transforms.Compose([*steps, transforms.RandomHorizontalFlip(), transforms.PILToTensor()])
    image = noise(*shape)
    for number in range(5):
        ours = drawn(PRESETS["vpt_fgvc"], image, number)
        with seeded(number):
            assert torch.equal(ours, theirs(image))


def test_a_resized_crop_is_of_any_size_within_the_published_bounds() -> None:
    shares, ratios, flips = [], [], 0
    for number in range(300):
        columns, rows, _ = drawn(resized_crop(), places(200, 200), number, 50).float()
        width = 50 / 45 * float((columns[:, 47] - columns[:, 2]).mean())  # edges are not quite where they were
        height = 50 / 45 * float((rows[47] - rows[2]).mean())
        shares.append(abs(width) * height / 200**2)
        ratios.append(abs(width) / height)
        flips += width < 0
    assert (min(shares), max(shares)) == pytest.approx((0.08, 1.0), abs=0.04)
    assert np.mean(shares) == pytest.approx(0.5, abs=0.06)
    assert (math.log(min(ratios)), math.log(max(ratios))) == pytest.approx((math.log(3 / 4), math.log(4 / 3)), abs=0.1)
    assert 120 < flips < 180


@pytest.mark.parametrize(("name", "fill"), [("dtl_few_shot", (128, 128, 128)), ("noah_few_shot", (124, 116, 104))])
def test_rand_augment_is_that_of_the_sources(name: str, fill: tuple[int, ...]) -> None:
    preset = PRESETS[name]
    made = transform_of(preset.augmentation, preset.interpolation, preset.mean, preset.std, SIZE)  # type: ignore[arg-type]
    (crop, _), (changes,) = (part.transforms for part in made.transforms[:2])  # type: ignore[attr-defined]
    assert crop.interpolation is InterpolationMode.BICUBIC
    assert (changes.num_layers, len(changes.ops)) == (2, 15)
    for op in changes.ops:
        assert (op.prob, op.magnitude, op.magnitude_std) == (0.5, 9, 0.5)
        assert (op.kwargs["fillcolor"], op.kwargs["resample"]) == (fill, Image.Resampling.BICUBIC)
        assert op.hparams["translate_const"] == 100


@pytest.mark.parametrize("strength", [0, 5, 9, 9.99, 10])
def test_no_strength_is_too_much_for_any_change(strength: float) -> None:
    """The strength is drawn and cut off at ten; Pillow refuses to keep no bit of a pixel, which is black."""
    preset, image, black = PRESETS["dtl_few_shot"], noise(20, 20), []
    made = transform_of(preset.augmentation, preset.interpolation, preset.mean, preset.std, 20)  # type: ignore[arg-type]
    for op in copy.deepcopy(made.transforms[1].transforms[0].ops):  # type: ignore[attr-defined]
        op.prob, op.magnitude, op.magnitude_std = 1.0, strength, 0
        black += [op.name] if not np.array(op(image)).any() else []
    assert black == (["PosterizeIncreasing"] if strength == 10 else [])


def test_rand_augment_changes_most_images() -> None:
    presets, image = (PRESETS["dtl_few_shot"], resized_crop()), noise(80, 60)
    same = [torch.equal(*(drawn(preset, image, number, 32) for preset in presets)) for number in range(200)]
    assert 0.2 < np.mean(same) < 0.4  # each of two changes is made half the time, and may do nothing


def test_a_quarter_of_the_images_loses_a_rectangle_and_nothing_else() -> None:
    whole = dataclasses.replace(PRESETS["noah_few_shot"], augmentation=dataclasses.replace(NOAH, erasing=0.0))
    image, shares = noise(80, 60), []
    for number in range(300):
        before, after = (drawn(preset, image, number, 48) for preset in (whole, PRESETS["noah_few_shot"]))
        changed = (before != after).any(dim=0)
        rows, columns = changed.any(dim=1).nonzero(), changed.any(dim=0).nonzero()
        if len(rows):
            box = changed[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            assert box.float().mean() > 0.95  # noise may draw the pixel that was there
            assert after[:, changed].float().std() > 30
            shares.append(box.numel() / 48**2)
    assert 50 < len(shares) < 100
    assert min(shares) >= 0.015
    assert max(shares) <= 0.35


def test_only_what_the_cards_name_is_augmented() -> None:
    named = {name: preset.augmentation for name, preset in PRESETS.items() if preset.augmentation}
    assert set(named) == {"vpt_fgvc", "dtl_few_shot", "noah_few_shot"}
    mixed = {name: how.mixing for name, how in named.items() if how.mixing}
    assert [(how.mixup, how.cutmix, how.label_smoothing) for how in mixed.values()] == [(0.8, 1.0, 0.1)]


def test_all_that_is_done_is_said() -> None:
    assert VPT.words == "random crop, flip 0.5"
    assert NOAH.words == (
        "random resized crop, flip 0.5, RandAugment rand-m9-mstd0.5-inc1, random erasing 0.25, mixup 0.8, CutMix 1, "
        "label smoothing 0.1"
    )


@pytest.mark.parametrize(
    "other", [{"mean": None}, {"std": None}, {"resize": "squash"}, {"interpolation": "bilinear_unfiltered"}]
)
def test_what_augments_needs_its_own_statistics_and_something_to_cut_from(other: dict) -> None:
    fields = {"resize": "crop", "mean": HALF, "std": HALF, "augmentation": NOAH} | other
    with pytest.raises(ValueError, match="'test' augments, for which it needs a mean"):
        Preprocessing("test", **fields)


def test_an_unknown_crop_and_a_preset_without_augmentation_are_said() -> None:
    with pytest.raises(ValueError, match="no crop 'middle'; known: random_crop"):
        Augmentation("middle")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'dtl' does not augment"):
        PRESETS["dtl"].augmented(noise(8, 8), 8)
