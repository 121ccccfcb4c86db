"""Adding is adding a file: with a new method, a second one and a new recipe in the tree, every test stays green."""

import re
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
EVERYTHING = "test_recipe.py", "test_spec.py", "test_request.py"
LISTS = "test_every_file_of_golden_numbers_has_cases", "test_who_says_so"
FILES = (
    "tests/methods/test_contract.py", "tests/methods/test_golden.py", "tests/methods/test_recipe.py",
    "tests/methods/test_spec.py", "tests/methods/test_swin.py", "tests/bench/cost/test_plan.py",
    "tests/bench/cost/test_record.py", "tests/bench/features/test_reader.py", "tests/bench/grid/test_request.py",
    "tests/bench/runner/test_artifacts.py", "tests/bench/train/test_on_cuda.py",
)  # fmt: skip
PYTEST = "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist"


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


def test_tests_of_methods_and_of_lists_stay_green(tree: Path) -> None:
    """All but of one method, whose trainable tensor that nothing uses is named with what to do."""
    text = SIDE.replace("new_side", "careless").replace("self.down(features)", "features[:, :3]")
    (tree / "methods" / "careless.py").write_text(text)
    chosen = " or ".join(("norm_tuning", "new_side", "(careless and gets_gradients)", *EVERYTHING, *LISTS))
    said = python(tree, *PYTEST, "-k", chosen, *FILES, code=1)
    assert "no gradient reached down.0.bias, down.0.weight in 4 batches: use them in adapt, or freeze" in said
    assert re.search(r"^1 failed, \d+ passed", said, re.MULTILINE), said


def test_what_was_added_is_found_and_runs(tree: Path) -> None:
    words = "--methods", "norm_tuning,new_side:units=2", "--recipe", "new", "--tasks", "digits", "--epochs", "1"
    assert "2 runs done now" in python(tree, "bench.py", *words)
    assert "norm_tuning" in python(tree, "bench.py", "list", "methods")
