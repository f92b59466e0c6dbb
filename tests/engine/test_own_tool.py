"""A user's own tool: one class, one YAML."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from engine_helpers import ganvas
from PIL import Image

import ganvas as library
from ganvas.errors import ConfigError, GanvasWarning, RunError

PAGE = (Path(__file__).parents[2] / "docs" / "latent.md").read_text(encoding="utf-8")
SHORTEST = PAGE.split("```python\n# my_tools.py\n")[1].split("```")[0]
"""The tool that the page shows."""

STRIPES = """
import torch

from ganvas.latent.sheet import Sheet
from ganvas.latent.tool import Drawing, Tool


class Stripes(Tool):
    def __init__(self, *, value):
        self.value = value

    def draw(self, scene):
        panel = torch.full((1, 8, 8), float(self.value))
        sheet = Sheet("Stripes", [[panel, panel]])
        values = {"number": torch.tensor(3.5), "text": "abc", "none": None}
        frames = [sheet] * 2 if self.value == 1 else ()
        return Drawing(sheet, values=values, tensors={"panel": panel}, frames=frames)
"""

TRUST = "trust=[users_tools]"


@pytest.fixture
def own(place: Path, fresh_modules: None) -> Path:
    """A folder with two tools, whose module lies in the working folder."""
    (place / "users_tools.py").write_text(SHORTEST + STRIPES)
    folder = place / "own" / "tool"
    folder.mkdir(parents=True)
    nodes: dict[str, dict[str, Any]] = {"Shrink": {"factors": [1, 0.5, 0]}, "Stripes": {"value": 1}}
    for name, options in nodes.items():
        node = {"_target_": f"users_tools.{name}", **options}
        (folder / f"{name.lower()}.yaml").write_text(yaml.safe_dump(node))
    return folder.parent


@pytest.fixture
def run(vae_copy: Path) -> library.Run:
    return library.load_run(vae_copy, trust=["users_tools"])


def text_of(path: Path) -> dict[str, Any]:
    return dict(yaml.safe_load(path.with_suffix(".yaml").read_text()))


def test_the_shortest(run: library.Run, own: Path) -> None:
    made = run.latent.draw("shrink", config_dir=own, images=[0, 7], factors=[1, 0.0])
    whole, nothing = made.tensors["images"]
    assert whole.shape == (2, 1, 8, 8)
    torch.testing.assert_close(nothing[0], nothing[1])
    assert not torch.allclose(whole[0], whole[1])
    assert len(text_of(made.path)["inputs"]) == 2
    random = run.latent.draw("shrink", config_dir=own, images="random")
    assert random.tensors["images"].shape[:2] == (3, 4)


def test_on_the_command_line(run: library.Run, own: Path) -> None:
    typed = ("latent", str(run.path), "tool=stripes", "tool.value=0.5", f"--config-dir={own}")
    said = ganvas(*typed, TRUST)
    assert said.code == 0, said.err
    assert said.out.splitlines()[:3] == ["number  3.5", "text    abc", "none    None"]
    path = Path(said.out.splitlines()[-1])
    assert run.latent.draw("stripes", config_dir=own, value=0.5).path == path
    text = text_of(path)
    assert text["values"] == {"number": 3.5, "text": "abc", "none": None}
    assert text["checkpoint"] is None  # the model was not asked for
    again = ganvas(*shlex.split(text["command"])[1:])
    assert again.out.splitlines()[-1] == str(path)
    untrusted = ganvas(*typed)
    assert untrusted.code == 2
    assert TRUST in untrusted.message


def test_animations_lie_beside(run: library.Run, own: Path, place: Path) -> None:
    made = run.latent.draw("stripes", config_dir=own, out="x.png")
    assert made.animation == Path("x.gif")
    assert {f"x.{kind}" for kind in ("png", "gif", "yaml")} <= {p.name for p in place.iterdir()}
    with Image.open(made.animation) as animation:
        assert (animation.info["loop"], animation.size) == (0, made.pixels.shape[1::-1])


def test_a_drawing_of_nan_is_refused(run: library.Run, own: Path) -> None:
    with pytest.raises(RunError, match=r"tool=stripes: the panel in row 1, column 1 holds NaN"):
        run.latent.draw("stripes", config_dir=own, value=float("nan"))
    assert not (run.path / "latent").exists()


def test_weights_that_are_not_read(run: library.Run, own: Path) -> None:
    with pytest.warns(GanvasWarning, match="checkpoint: left aside, since tool=stripes reads no"):
        run.latent.draw("stripes", config_dir=own, checkpoint="last")


def test_a_node_in_the_place_of_a_number(run: library.Run) -> None:
    node = {"_target_": "torch.nn.Linear", "in_features": 2, "out_features": 3}
    with pytest.raises(ConfigError, match=r"tool.steps: takes int, got 'torch.nn.Linear'"):
        run.latent.interpolate(steps=node)


def test_settings_reach_the_tool(run: library.Run, own: Path, place: Path) -> None:
    Image.new("L", (8, 8), 60).save(place / "dark.png")
    pairs: list[list[dict[str, Any]]] = [
        [{"images": ["dark.png"], "invert": swapped} for swapped in (False, True)],
        [{"images": "random", "seed": seed} for seed in (0, 1)],
    ]
    for pair in pairs:
        one, other = (run.latent.draw("shrink", config_dir=own, **given) for given in pair)
        assert not torch.equal(one.tensors["images"], other.tensors["images"])
