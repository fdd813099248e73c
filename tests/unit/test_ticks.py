"""Light ticks say what matplotlib's own would say, where those would stand."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from offloadbench.report.plots import light_ticks, style


def _axes(top: float = 7.3) -> Axes:
    with style.drawing():
        figure = style.new_figure(400, 300)
        axes = style.place(figure, 60, 20, 10, 240)
        axes.set_xlim(-0.2, top)
        axes.locator_params(axis="x", nbins=4)
        style.name_rows(axes, ["tso", "", "none"])
        style.clean(axes, "x")
    return axes


def _figure(axes: Axes) -> Figure:
    figure = axes.get_figure()
    assert isinstance(figure, Figure)
    return figure


def _lightened(axes: Axes) -> dict[str, tuple[float, float]]:
    """Word -> where it stands."""
    with style.drawing():
        light_ticks.lighten(_figure(axes))
    return {text.get_text(): text.get_position() for text in axes.texts}


def test_labels_are_those_of_the_locator_inside_the_axes() -> None:
    axes = _axes()
    placed = _lightened(axes)
    assert {word: x for word, (x, y) in placed.items() if y < 0} == {"0": 0.0, "2": 2.0, "4": 4.0, "6": 6.0}
    assert {word: y for word, (x, y) in placed.items() if x < 0} == {"tso": 0.0, "none": 2.0}
    assert not axes.xaxis.get_visible() and not axes.yaxis.get_visible()


def test_the_grid_is_one_line_through_the_ticks() -> None:
    axes = _axes()
    before = set(axes.get_children())
    _lightened(axes)
    (line,) = [child for child in axes.get_children() if child not in before and isinstance(child, Line2D)]
    x, y = (np.asarray(values) for values in line.get_data())
    assert list(x[::3]) == [0.0, 2.0, 4.0, 6.0]
    assert list(y[:2]) == [0.0, 1.0]


def test_a_row_outside_the_axes_leaves_the_others_their_names() -> None:
    axes = _axes()
    axes.set_ylim(2.5, 0.5)
    assert "tso" not in (placed := _lightened(axes))
    assert placed["none"] == pytest.approx((-3.5 / 330, 2.0))


def test_labels_that_are_switched_off_are_not_drawn() -> None:
    axes = _axes()
    axes.tick_params(labelleft=False)
    assert set(_lightened(axes)) == {"0", "2", "4", "6"}


@pytest.mark.parametrize("reason", ["a common factor", "a label", "minor ticks"])
def test_an_axis_that_needs_more_is_left_to_matplotlib(reason: str) -> None:
    axes = _axes(top=4e7 if reason == "a common factor" else 7.3)
    if reason == "a label":
        axes.set_xlabel("RTT, ms")
    if reason == "minor ticks":
        axes.minorticks_on()
    _lightened(axes)
    assert axes.xaxis.get_visible()


def _pixels(axes: Axes) -> np.ndarray:
    buffer = io.BytesIO()
    with style.drawing():
        _figure(axes).savefig(buffer, format="rgba")
    return np.frombuffer(buffer.getvalue(), dtype=np.uint8).reshape(300, 400, 4).astype(int)


def test_a_figure_looks_as_it_did() -> None:
    axes = _axes()
    before = _pixels(axes)
    _lightened(axes)
    changed = (np.abs(_pixels(axes) - before).max(axis=2) > 128).mean()
    drawn = (before[:, :, 3] > 0).mean()
    assert drawn > 0.01
    # a letter may stand a fraction of a pixel elsewhere
    assert changed < 0.05 * drawn
