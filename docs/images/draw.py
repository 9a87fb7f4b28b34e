"""Draw the pictures of the README: `python docs/images/draw.py`.

The bars are drawn from measured figures, the terminal by running `toolmaster demo`. Needs
matplotlib, which nothing else here does.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")

from matplotlib import pyplot as plt
from rich.console import Console

from toolmaster.commands.demo import demo

HERE = Path(__file__).parent
FIGURES = HERE.parent / "results" / "trial_against_direct.toml"
COLOURS = {"light": ("#57606a", "#0969da", "#1f2328"), "dark": ("#8b949e", "#58a6ff", "#e6edf3")}


def draw(theme: str) -> None:
    """Write `trial_against_direct_THEME.svg`."""
    measured = tomllib.loads(FIGURES.read_text(encoding="utf-8"))
    direct, trial, text = COLOURS[theme]
    mpl.rcParams.update(
        {"font.family": "sans-serif", "text.color": text, "svg.fonttype": "none", "font.size": 11}
    )
    mpl.rcParams["svg.hashsalt"] = "toolmaster"
    families = measured["families"]
    figure, axes = plt.subplots(figsize=(8, 3.4))
    for place, family in enumerate(reversed(families)):
        for offset, key, colour in ((0.19, "direct", direct), (-0.19, "trial", trial)):
            value = family[key]
            axes.barh(place + offset, value, height=0.34, color=colour)
            axes.text(value + 1, place + offset, f"{value:.0f}%", va="center", color=text)
    axes.set_yticks(range(len(families)), [f["words"] for f in reversed(families)], color=text)
    axes.set_xlim(0, 108)
    axes.set_xticks([])
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    for height, label, colour in ((1.10, "calls directly", direct), (1.02, "tries first", trial)):
        axes.text(0, height, f"■ {label}", transform=axes.transAxes, color=colour, weight="bold")
    axes.text(0.26, 1.10, measured["caption"][0], transform=axes.transAxes, color=text)
    axes.text(0.26, 1.02, measured["caption"][1], transform=axes.transAxes, color=text)
    figure.savefig(
        HERE / f"trial_against_direct_{theme}.svg",
        transparent=True,
        bbox_inches="tight",
        metadata={"Date": None},
    )
    plt.close(figure)


def terminal() -> None:
    """Write `demo.svg`."""
    console = Console(record=True, width=88, force_terminal=True)
    demo(console, pause_s=0)
    console.save_svg(str(HERE / "demo.svg"), title="toolmaster demo", unique_id="demo")


if __name__ == "__main__":
    for theme in COLOURS:
        draw(theme)
    terminal()
