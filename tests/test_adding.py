"""Adding is adding a file: with a new method, a second one and a new recipe in the tree, every test stays green."""

from pathlib import Path

import pytest

from tests.tree import ROOT, copied, python

SIDE = '''"""A bottleneck with ReLU beside the frozen network: few images reach each of its units."""

from collections.abc import Mapping

from timm.models import VisionTransformer
from torch import Tensor, nn

from methods.base import Method, Network
from methods.settings import Count
from methods.states import POOLED, hidden_states


class Beside(Network):
    """What the backbone gives, and a bottleneck of it."""

    required_states = (POOLED,)

    def __init__(self, vit: VisionTransformer, units: int) -> None:
        super().__init__()
        self.vit = vit
        self.head = vit.get_classifier()
        self.down = nn.Sequential(nn.Linear(vit.embed_dim, units), nn.ReLU())
        self.up = nn.Linear(units, vit.embed_dim)
        nn.init.constant_(self.down[0].bias, -1.0)

    def extract(self, images: Tensor) -> Tensor:
        """The pooled state."""
        return self.features(self.hidden_states(images))

    def hidden_states(self, images: Tensor) -> dict[str, Tensor]:
        """The same by name."""
        return hidden_states(self.vit, images, self.required_states)

    def features(self, states: Mapping[str, Tensor]) -> Tensor:
        """The same."""
        return states[POOLED]

    def adapt(self, features: Tensor) -> Tensor:
        """The head on the sum."""
        return self.head(features + self.up(self.down(features)))


class Bottleneck(Method, name="new_side"):
    """A side bottleneck adds to the pooled state.

    Family: side networks
    Paper: Nobody et al., arXiv 2026
    Entangled: no

    Settings:
        units: Width of the bottleneck.
    """

    units: Count = 3

    def attach(self, vit: VisionTransformer) -> Network:
        """Put the bottleneck beside the frozen backbone."""
        return Beside(vit, self.units)
'''
RECIPE = """about = "a recipe for a test"
epochs = 3
learning_rate = 0.01

[norm_tuning]
batch_size = 16
"""
EVERYTHING = "tests/methods/test_recipe.py", "tests/methods/test_spec.py", "tests/bench/grid/test_request.py"
OF_METHODS = (
    "tests/methods/test_contract.py", "tests/methods/test_swin.py", "tests/bench/train/test_on_cuda.py",
    "tests/bench/cost/test_plan.py", "tests/bench/cost/test_record.py",
    "tests/bench/runner/test_artifacts.py", "tests/bench/features/test_reader.py",
)  # fmt: skip
LISTS = (
    "tests/methods/test_golden.py::test_every_file_of_golden_numbers_has_cases",
    "tests/methods/test_contract.py::test_who_says_so",
)
PYTEST = "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout with the method of docs/add_a_method.md and the files above in it."""
    place = copied(tmp_path_factory.mktemp("adding") / "tree")
    (example,) = [
        block for block in (ROOT / "docs" / "add_a_method.md").read_text().split("```") if block.startswith("python\n")
    ]
    (place / "methods" / "norm_tuning.py").write_text(example.removeprefix("python\n"))
    (place / "methods" / "new_side.py").write_text(SIDE)
    (place / "methods" / "recipes" / "new.toml").write_text(RECIPE)
    return place


def test_new_methods_keep_the_contract(tree: Path) -> None:
    said = python(tree, *PYTEST, "-k", "norm_tuning or new_side", *OF_METHODS)
    assert "[100%]" in said
    python(tree, *PYTEST, *LISTS)


def test_tests_of_recipes_specs_and_lists_stay_green(tree: Path) -> None:
    assert "[100%]" in python(tree, *PYTEST, *EVERYTHING)


def test_what_was_added_is_found_and_runs(tree: Path) -> None:
    words = "--methods", "norm_tuning,new_side:units=2", "--recipe", "new", "--tasks", "digits", "--epochs", "1"
    assert "2 runs done now" in python(tree, "bench.py", *words)
    assert "norm_tuning" in python(tree, "bench.py", "list", "methods")


def test_a_trainable_tensor_that_nothing_uses_is_named_with_what_to_do(tree: Path) -> None:
    method = tree / "methods" / "careless.py"
    text = SIDE.replace("new_side", "careless").replace("self.down(features)", "features[:, :3]")
    method.write_text(text)
    try:
        said = python(tree, *PYTEST, "-k", "careless and gradients", "tests/methods/test_contract.py", code=1)
    finally:
        method.unlink()
    assert "no gradient reached down.0.bias, down.0.weight in 4 batches: use them in adapt, or freeze" in said
