from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from automl_img.models.augment import BOUNDS, DEFAULT_SET, FLIPS, amounts, augmentation
from automl_img.models.initialization import reseed
from automl_img.trials import Params
from tests.models.networks import built, floats
from tests.pictures import picture

MOST = {**dict.fromkeys(FLIPS, 1.0), **BOUNDS}


@pytest.fixture(scope="module")
def copies() -> np.ndarray:
    """One picture without any symmetry, 24 times, as float32 in [0, 255]."""
    image = np.asarray(picture("red", 16, np.random.default_rng(0))).astype("float32")
    image[:, :8] *= 0.8
    return np.stack([image] * 24)


def layer_of(name: str, value: float, seed: int = 1) -> Any:
    layer = augmentation({name: value})
    reseed(layer.variables, seed)
    return layer


def changed(name: str, value: float, images: np.ndarray, seed: int = 1) -> np.ndarray:
    return floats(layer_of(name, value, seed)(images, training=True))


def different(images: np.ndarray) -> int:
    return len({image.round(3).tobytes() for image in images})


@pytest.mark.parametrize("name", MOST)
class TestEveryChange:
    def test_changes_images_more_with_its_amount_and_not_at_zero(
        self, name: str, copies: np.ndarray
    ) -> None:
        assert augmentation({name: 0.0}) is None
        much = np.abs(changed(name, MOST[name], copies) - copies).mean()
        assert much > 1
        if name not in FLIPS:
            little = np.abs(changed(name, MOST[name] / 8, copies) - copies).mean()
            assert 0 < little < much

    def test_treats_each_image_of_a_batch_on_its_own(self, name: str, copies: np.ndarray) -> None:
        found = changed(name, MOST[name] / 2, copies)
        # A flip or a blur is there or not; all else is drawn from a range.
        assert different(found) >= (2 if name in (*FLIPS, "blur") else 20)

    def test_stays_in_the_range_of_pixels(self, name: str, copies: np.ndarray) -> None:
        for extreme in (copies, np.zeros_like(copies), np.full_like(copies, 255)):
            found = changed(name, MOST[name], extreme)
            assert np.isfinite(found).all()
            assert found.min() >= -0.5
            assert found.max() <= 255.5

    def test_is_off_when_the_model_predicts(self, name: str, copies: np.ndarray) -> None:
        layers = layer_of(name, MOST[name])
        assert np.abs(floats(layers(copies, training=False)) - copies).max() < 1e-3

    def test_draws_anew_each_time_and_repeats_with_its_seed(
        self, name: str, copies: np.ndarray
    ) -> None:
        layers = layer_of(name, MOST[name] / 2)
        first, second = (floats(layers(copies, training=True)) for _ in range(2))
        assert not np.array_equal(first, second)
        assert np.array_equal(first, changed(name, MOST[name] / 2, copies))
        assert not np.array_equal(first, changed(name, MOST[name] / 2, copies, seed=2))


def test_each_change_is_of_its_kind(copies: np.ndarray) -> None:
    image = copies[0]
    flipped = changed("horizontal_flip", 1.0, copies)
    assert {1, 0} == {int(np.allclose(each, image[:, ::-1], atol=0.01)) for each in flipped}
    upside = changed("vertical_flip", 1.0, copies)
    assert {1, 0} == {int(np.allclose(each, image[::-1], atol=0.01)) for each in upside}
    brighter = changed("brightness", 0.4, np.full_like(copies, 100))
    assert (brighter.std(axis=(1, 2, 3)) < 0.01).all()
    assert np.abs(brighter - 100).max() <= 0.4 * 255 + 0.01
    grey = np.repeat(copies.mean(axis=-1, keepdims=True), 3, axis=-1)
    assert np.abs(changed("saturation", 0.8, grey) - grey).max() < 1
    blurred = changed("blur", 1.0, copies)
    roughness = [np.abs(np.diff(each, axis=1)).mean() for each in (blurred, copies)]
    assert roughness[0] < 0.6 * roughness[1]
    assert blurred.mean() == pytest.approx(copies.mean(), rel=0.02)


def test_the_geometry_is_what_its_names_say(copies: np.ndarray) -> None:
    """Compared with the transform of the same numbers, one change at a time, by its inverse."""
    pixel = np.zeros((64, 17, 17, 1), np.float32)
    pixel[:, 8, 8] = 255
    rows, columns = np.meshgrid(np.arange(17), np.arange(17), indexing="ij")

    def centres(name: str, value: float) -> np.ndarray:
        found = changed(name, value, pixel)[..., 0]
        total = found.sum(axis=(1, 2))
        assert (total > 0).all()
        sums = [(found * places).sum(axis=(1, 2)) / total for places in (rows, columns)]
        return np.stack(sums, axis=1) - 8

    # What lies in the middle stays there but for a shift, which goes as far as it says.
    for name in ("rotation", "zoom", "shear"):
        assert np.abs(centres(name, 0.3)).max() < 0.2
    moves = np.abs(centres("shift", 0.25))
    assert 0.25 * 17 * 0.8 < moves.max() <= 0.25 * 17 + 0.01
    assert np.abs(np.corrcoef(centres("shift", 0.25).T)[0, 1]) < 0.4
    # A crop shows a part of the image, enlarged, and nothing from beyond its border.
    ramp = np.tile(np.linspace(0, 255, 32, dtype=np.float32)[None, None, :, None], (64, 32, 1, 1))
    cropped = changed("crop", 0.5, ramp)[:, 16, :, 0]
    slopes = np.diff(cropped, axis=1)
    assert (slopes >= -0.01).all()
    assert slopes.mean(axis=1).min() >= 0.45 * 255 / 31


@pytest.mark.parametrize("side", [0.25, 0.8])
def test_cut_out_makes_one_grey_hole_in_every_image(copies: np.ndarray, side: float) -> None:
    found = changed("cutout", side, copies)
    holes = np.abs(found - copies).max(axis=-1) > 1
    assert np.allclose(found[holes], 127.5)
    assert holes.any(axis=(1, 2)).mean() > 0.8
    widest = max(holes.any(axis=1).sum(axis=1).max(), holes.any(axis=2).sum(axis=1).max())
    assert side * 16 / 2 < widest <= side * 16 + 1


def test_the_share_of_blurred_images_is_what_was_asked_for(copies: np.ndarray) -> None:
    many = np.concatenate([copies] * 20)
    share = (np.abs(changed("blur", 0.25, many) - many).max(axis=(1, 2, 3)) > 1).mean()
    assert share == pytest.approx(0.25, abs=0.08)


def params(strength: float = 0.5, **own: float | bool) -> Params:
    return {"augment.strength": strength, **{f"augment.{name}": own[name] for name in own}}


def test_strength_scales_the_default_set_and_nothing_else() -> None:
    half = amounts(params(0.5), flips=True, channels=3)
    assert {name: half[name] for name in DEFAULT_SET} == pytest.approx(
        {name: value / 2 for name, value in DEFAULT_SET.items()}
    )
    assert half["horizontal_flip"] == 1.0
    others = half.keys() - DEFAULT_SET.keys() - {"horizontal_flip"}
    assert not any(half[name] for name in others)
    assert not any(amounts(params(0.0), flips=True, channels=3).values())
    assert half.keys() == MOST.keys()


def test_images_that_change_their_class_when_mirrored_are_not_mirrored() -> None:
    digits = amounts(params(1.0), flips=False, channels=1)
    assert digits["horizontal_flip"] == digits["vertical_flip"] == 0.0
    # Who asks for it gets it.
    asked = amounts(params(1.0, horizontal_flip=True, vertical_flip=True), flips=False, channels=1)
    assert asked["horizontal_flip"] == asked["vertical_flip"] == 1.0
    assert amounts(params(1.0, horizontal_flip=False), True, 3)["horizontal_flip"] == 0.0


def test_a_single_amount_goes_before_the_strength() -> None:
    found = amounts(params(1.0, rotation=0.0, noise=0.2, saturation=0.3), flips=True, channels=3)
    assert (found["rotation"], found["noise"], found["saturation"]) == (0.0, 0.2, 0.3)
    assert amounts(params(1.0, saturation=0.3), flips=True, channels=1)["saturation"] == 0.0


@pytest.mark.parametrize("channels", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_all_changes_together_train_a_network(channels: int) -> None:
    fix = {f"augment__{name}": str(value / 4) for name, value in BOUNDS.items()}
    fix |= {f"augment__{name}": "true" for name in FLIPS}
    model: Any = built(16, channels, **fix)
    images = np.random.default_rng(0).integers(0, 256, (32, 16, 16, channels), dtype=np.uint8)
    labels = np.arange(32) % 3
    before = floats(model(images, training=False))
    history = model.fit(images, labels, batch_size=16, epochs=1, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert not np.array_equal(before, floats(model(images, training=False)))


def test_the_loss_of_a_label_is_computed_on_its_own_augmented_image() -> None:
    # Black is class 0, white class 1, whatever is done to them: the labels keep their place.
    model: Any = built(
        16,
        classes=2,
        augment__strength="0.5",
        augment__horizontal_flip="true",
        augment__shift="0.3",
        optimizer__learning_rate="0.02",
    )
    labels = np.random.default_rng(0).integers(0, 2, 256)
    images = np.repeat(labels * 255, 16 * 16 * 3).reshape(256, 16, 16, 3).astype(np.uint8)
    history = model.fit(images, labels, batch_size=16, epochs=3, verbose=0, shuffle=False).history
    assert history["accuracy"][-1] > 0.95
