"""Every figure tells its arms apart, hides no dot under another, and shows small values beside large ones."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from matplotlib import font_manager, get_data_path
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from synthetic import TASKS, make_matrix, make_record, make_spec

from baselines import STUDY
from benchmark.evidence.analysis import analyse
from benchmark.evidence.collect import collect
from benchmark.report import canvas
from benchmark.report.answer import answer, answer_table
from benchmark.report.canvas import drawn, house_style, line_styles, modality_colours, side_by_side
from benchmark.report.curves import draw_curves, draw_scales
from benchmark.report.equal import draw_equal
from benchmark.report.figures import draw_forest, draw_matrix, draw_seeds
from benchmark.spec.contracts import Metric

PARAMETERS = {"trainable": 1000, "training": 1000, "merged": 1000}
FEW = dict(list(TASKS.items())[:2])


def two_methods(arms=("m2pt", "lora"), seeds=3):
    """Of each target a baseline, and two methods with the same auxiliary"""
    records = make_matrix(FEW, ["audio"], range(seeds), scratch=False)
    return records + [make_record(make_spec(task, arm, "audio", seed, role="method"), 51.0 + seed)
                      for task in FEW for arm in arms if arm != "m2pt" for seed in range(seeds)]


def told(figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def test_two_methods_with_one_auxiliary_are_told_apart_in_the_figure_of_seeds():
    analysis = analyse(two_methods(), [], tasks=TASKS, study=STUDY)
    figure = draw_seeds(analysis.collection, 0, "last")
    for axes in figure.axes[:2]:
        labels = [label.get_text() for label in axes.get_xticklabels()]
        assert labels == ["finetune", "lora(audio)", "m2pt(audio)"]
        marks = {round(float(line.get_xdata()[0])): line.get_marker() for line in axes.lines if line.get_linestyle() == "None"}
        assert marks[1] != marks[2]
    one = draw_seeds(analyse(two_methods(["m2pt"]), [], tasks=TASKS, study=STUDY).collection, 0, "last")
    assert [label.get_text() for label in one.axes[0].get_xticklabels()] == ["finetune", "+ audio"]


def test_variants_of_a_baseline_are_columns_of_their_own_in_the_figure_of_seeds():
    tuned = [make_record(make_spec("imagenet", "finetune", seed=seed, variant="lr=0.1", options={"lr": 0.1}), 40.0 + seed)
             for seed in range(3)]
    figure = draw_seeds(analyse([*two_methods(["m2pt"]), *tuned], [], tasks=TASKS, study=STUDY).collection, 0, "last")
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["finetune", "finetune [lr=0.1]", "m2pt(audio)"]


@pytest.mark.parametrize("count", [2, 9])
def test_methods_with_one_auxiliary_are_told_apart_in_the_curves(count):
    arms = ["m2pt", *(f"other-{place}" for place in range(count - 1))]
    analysis = analyse(two_methods(arms), [], tasks=TASKS, study=STUDY)
    figure = draw_curves(analysis.collection, 0)
    thick = [(line.get_color(), str(line.get_linestyle()), str(line._dash_pattern), line.get_marker())
             for line in figure.axes[0].lines if len(line.get_xdata()) > 2]
    assert len(thick) == len(set(thick)) == count + 1
    (legend,) = figure.legends
    named = [text.get_text() for text in legend.get_texts()]
    assert set(arms) < set(named)
    assert "baseline" in named
    alone = draw_curves(analyse(two_methods(["m2pt"]), [], tasks=TASKS, study=STUDY).collection, 0)
    assert [text.get_text() for text in alone.legends[0].get_texts()] == ["baseline", "+ audio"]


@pytest.mark.parametrize(("chance", "said"), [(45.0, "chance"), (0.5, "↓ chance 0.5"), (99.0, "↑ chance 99.0")])
def test_chance_leaves_the_curves_their_room(chance, said):
    info = {"imagenet": replace(TASKS["imagenet"], chance={"tiny": chance})}
    records = []
    for record in make_matrix(["imagenet"], ["audio"], scratch=False):
        rows = [row.model_copy(update={"value": 40.0 + row.value / 5}) for row in record.measurements if row.split != "train"]
        records.append(record.model_copy(update={"measurements": rows}))
    figure = draw_curves(analyse(records, [], tasks=info, study=STUDY).collection, 0)
    values = [row.value for record in records for row in record.measurements if row.metric == "top-1"]
    for axes in figure.axes:
        low, high = axes.get_ylim()
        assert max(values) - min(values) > 0.7 * (high - low)
        (text,) = [text for text in axes.texts if "chance" in text.get_text()]
        assert text.get_text() == said
        place = text.get_window_extent(FigureCanvasAgg(figure).get_renderer())
        assert axes.bbox.y0 <= place.y0 < place.y1 <= axes.bbox.y1
    lines = [line for line in figure.axes[0].lines if line.get_linestyle() == ":"]
    assert [line.get_ydata()[0] for line in lines] == ([chance] if said == "chance" else [])


def test_lines_of_many_arms_all_differ():
    styles = line_styles([(f"arm {place}", "") for place in range(20)], "-")
    assert len({str(style) for style in styles.values()}) == 20


def scaled(task, auxiliary, seed, factor, layers=None):
    record = make_record(make_spec(task, "m2pt", auxiliary, seed))
    kept = [layer.model_copy(update={"scale": factor * layer.scale}) for layer in record.layers
            if layers is None or layer.name in layers]
    return record.model_copy(update={"layers": kept})


def heights(figure, axes) -> list[float]:
    """Of the dots of medians, in shares of the panel"""
    drawn(figure, ["png"])
    points = [point for line in axes.lines if line.get_marker() == "o" for point in line.get_xydata()]
    return [float(axes.transAxes.inverted().transform(axes.transData.transform(point))[1]) for point in points]


def test_scales_of_very_different_sizes_are_all_to_be_seen():
    """One target's are a thousand times another's, and lay flat on the axis"""
    records = [scaled(task, "audio", seed, factor) for task, factor in (("imagenet", 1.0), ("shapenet", 1000.0))
               for seed in range(3)]
    with house_style():
        figure = draw_scales(analyse(records, [], tasks=TASKS, study=STUDY).collection, 0, "m2pt", "")
        small, large = (heights(figure, axes) for axes in figure.axes[:2])
    assert max(small) - min(small) > 0.15
    assert min(small) > 0.05
    assert max(large) <= 1
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim()
    assert "logarithmic above" in figure.axes[0].get_ylabel()
    alike = [scaled("imagenet", "audio", seed, 0.0).model_copy(update={"layers": [
        layer.model_copy(update={"scale": 0.1 + 0.01 * seed}) for layer in scaled("imagenet", "audio", seed, 1.0).layers]})
        for seed in range(3)]
    plain = draw_scales(analyse(alike, [], tasks=TASKS, study=STUDY).collection, 0, "m2pt", "")
    assert plain.axes[0].get_yscale() == "linear"


@pytest.mark.parametrize("factor", [1.0, 1e-7, 0.0])
def test_of_one_layer_the_range_of_seeds_is_to_be_seen_and_auxiliaries_stand_side_by_side(factor):
    layer = "blocks.0.attn.qkv"
    records = [scaled("imagenet", auxiliary, seed, factor * (1 + seed), {layer}) for auxiliary in ("audio", "video")
               for seed in range(3)]
    with house_style():
        figure = draw_scales(analyse(records, [], tasks=TASKS, study=STUDY).collection, 0, "m2pt", "")
        drawn(figure, ["png"])
    (axes,) = figure.axes
    ranges = [line.get_xydata() for line in axes.lines if len(line.get_xdata()) == 2]
    assert len(ranges) == 2
    assert ranges[0][0][0] != ranges[1][0][0]
    for record in records:
        assert axes.get_ylim()[0] == 0
        assert axes.get_ylim()[1] > max(abs(each.scale) for each in record.layers)
    if factor:
        assert all(np.ptp(each[:, 1]) > 0 for each in ranges)


@pytest.mark.parametrize("arm", ["m2pt", "an-arm-whose-name-is-as-long-as-names-of-arms-become"])
def test_the_title_of_a_heat_map_of_few_columns_is_whole_and_within_it(arm):
    """Two targets, each the other's auxiliary: it was cut where `bold` is explained"""
    records = [make_record(make_spec(task, name, aux, seed, role="method" if aux else "baseline"), 50.0 + seed + bool(aux))
               for task, other in (("imagenet", "audio"), ("audioset", "image")) for seed in range(2)
               for name, aux in (("finetune", None), (arm, other))]
    analysis = analyse(records, [], tasks=TASKS, study=STUDY)
    with house_style():
        figure = draw_matrix(analysis.collection, analysis.cells, analysis.effects, 0, arm, "")
        drawn(figure, ["png"])
    (title,) = (text for text in figure.texts if text.get_text().startswith(f"{arm}:"))
    assert "bold: adjusted p < 0.05" in " ".join(title.get_text().split())
    place = title.get_window_extent()
    assert figure.bbox.x0 <= place.x0
    assert place.x1 <= figure.bbox.x1


def test_a_modality_has_its_place_and_colour_in_reports_of_few_targets_too():
    tasks = {name: replace(info, pretrains=True) for name, info in TASKS.items()}
    of_all, of_one = (collect(make_matrix(targets, seeds=range(2)), tasks=tasks) for targets in (TASKS, ["shapenet"]))
    assert of_one.modalities == of_all.modalities == [info.modality for info in TASKS.values()]
    strange = collect(make_matrix(["shapenet"], ["audio", "speech"], range(2)), tasks=tasks)
    assert strange.modalities == ["point", "audio", "speech"]
    colours = modality_colours(strange)
    assert colours == modality_colours(of_all) | {"speech": colours["speech"]}
    assert len({*colours.values()}) == 5


def test_arms_of_equal_cost_and_gain_do_not_hide_each_other():
    records = []
    arms = [("m2pt", "audio"), *((f"control-{place}", None) for place in range(7))]
    for seed in range(3):
        seconds = {"wall": 60.0, "train": 10.0}
        records.append(make_record(make_spec(seed=seed), 40.0 + seed, seconds=seconds, parameters=PARAMETERS))
        records += [make_record(make_spec(arm=arm, auxiliary=auxiliary, seed=seed), 40.5 + seed + 0.01 * seed, seconds=seconds,
                                parameters=PARAMETERS | {"trainable": 2000}) for arm, auxiliary in arms]
    analysis = analyse(records, [], tasks=TASKS, study=STUDY)
    with house_style():
        figure = draw_equal(analysis, 0)
        drawn(figure, ["png"])
    assert len(figure.axes) == 2
    for axes in figure.axes:
        dots = [line for line in axes.lines if len(line.get_xdata()) == 1 and line.get_transform() == axes.transData]
        assert len(dots) == len(arms)
        places = [axes.transData.transform(line.get_xydata()[0]) for line in dots]
        size = dots[0].get_markersize() / 72 * figure.dpi
        assert min(float(np.hypot(*(one - other))) for one, other in combinations(places, 2)) > size
        assert all(axes.bbox.contains(*place) for place in places)
        assert len({(line.get_color(), line.get_marker()) for line in dots}) == len(arms)
    assert {"m2pt", "pathways"} & set(told(figure))
    assert any("profile tiny" in text for text in told(figure)), "a figure says of what it is"


def test_side_by_side_moves_no_more_than_it_must():
    assert side_by_side([1.0, 3.0, 2.0], 0.5) == [1.0, 3.0, 2.0]
    assert side_by_side([1.0, 1.0, 5.0], 0.5) == pytest.approx([0.75, 1.25, 5.0])
    assert side_by_side([2.0, 1.0, 1.0], 1.0) == pytest.approx([7 / 3, 1 / 3, 4 / 3])
    assert side_by_side([], 1.0) == []
    random = np.random.default_rng(0).random(40).tolist()
    moved = side_by_side(random, 0.1)
    assert np.argsort(moved, kind="stable").tolist() == np.argsort(random, kind="stable").tolist()
    assert np.diff(np.sort(moved)).min() == pytest.approx(0.1)
    assert np.mean(moved) == pytest.approx(np.mean(random))


@pytest.mark.parametrize(("role", "shift"), [("control", 15.0), ("control", -15.0), ("method", 15.0)])
def test_a_control_far_out_stands_at_the_edge_with_its_numbers_and_leaves_the_others_their_room(role, shift):
    """A known solution gained 15 points where all else was within 1; what a method gains is always drawn"""
    far = [make_record(make_spec("imagenet", "self-copy", seed=seed, role=role), 45.0 + shift + seed) for seed in range(3)]
    records = [make_record(make_spec("imagenet", arm, auxiliary, seed), 45.0 + seed + gain * (seed + 1))
               for arm, auxiliary, gain in (("finetune", None, 0.0), ("m2pt", "audio", 0.1), ("random-norm", "audio", -0.1))
               for seed in range(3)]
    analysis = analyse([*records, *far], [], tasks=TASKS, study=replace(STUDY, claims=None))
    with house_style():
        figure = draw_forest(analysis.collection, analysis.effects, 0)
        drawn(figure, ["png"])
    axes = figure.axes[0]
    (low, high), beyond = axes.get_xlim(), role == "control"
    assert (high - low < 3) == beyond
    points = {(line.get_marker(), round(float(line.get_xdata()[0]), 2)) for line in axes.lines if len(line.get_xdata()) == 1}
    at_edge = (">", round(high, 2)) if shift > 0 else ("<", round(low, 2))
    assert points == {("o", 0.2), ("s", -0.2), at_edge if beyond else ("o", shift)}
    written = [text for text in axes.texts if "15.00" in text.get_text()]
    assert [text.get_text()[1:6] for text in written] == ["15.00"] * beyond
    assert all(axes.bbox.x0 <= box.x0 < box.x1 <= axes.bbox.x1 for text in written for box in [text.get_window_extent()])
    assert ("with numbers: beyond the axis" in " ".join(axes.get_xlabel().split())) == beyond


def test_an_axis_speaks_of_hollow_markers_only_where_there_are_any():
    analysis = analyse(two_methods(), [], tasks=TASKS, study=replace(STUDY, claims=None))
    assert "hollow" not in draw_forest(analysis.collection, analysis.effects, 0).axes[0].get_xlabel()
    one = analyse(two_methods(seeds=1), [], tasks=TASKS, study=replace(STUDY, claims=None))
    assert "hollow: no interval" in " ".join(draw_forest(one.collection, one.effects, 0).axes[0].get_xlabel().split())


def of_metrics(*metrics: Metric):
    """A section of one target for each metric, in whose unit one auxiliary gains 1 % of the level and another loses as much"""
    tasks = {task: replace(TASKS[task], metrics=(metric,), shortcuts={}, chance={})
             for task, metric in zip(TASKS, metrics, strict=False)}
    gains = {"image": 0.0, "point": 0.0, "video": 1.0, "audio": -1.0}
    records = make_matrix(tasks, ["video", "audio"], range(4), {(task, name): gains[name] for task in tasks for name in gains},
                          scratch=False)
    named = []
    for record in records:
        (metric,), size = tasks[record.spec.task].metrics, 1 if tasks[record.spec.task].metrics[0].unit == "%" else 0.01
        rows = [row.model_copy(update={"metric": metric.name, "value": size * row.value}) for row in record.measurements
                if row.metric in (TASKS[record.spec.task].metrics[0].name, "loss")]
        named.append(record.model_copy(update={"measurements": rows}))
    return analyse(named, [], tasks=tasks, study=STUDY)


@pytest.mark.parametrize("metrics", [
    [Metric("top-1")],
    [Metric("R squared", unit="")],
    [Metric("mean error of the place", unit="px", higher_is_better=False)],
    [Metric("top-1"), Metric("mean error of the place", unit="px", higher_is_better=False)]])
def test_what_differs_has_a_colour_in_the_heat_map_whatever_its_unit(metrics):
    """A hundredth of a pixel is a gain where errors are such; where units differ, each has a scale of its own."""
    analysis = of_metrics(*metrics)
    figure = draw_matrix(analysis.collection, analysis.cells, analysis.effects, 0, "m2pt", "")
    (image,) = figure.axes[0].images
    colours = image.to_rgba(image.get_array())[..., :3]
    columns = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    for row, metric in zip(colours, metrics, strict=True):
        video, audio = (row[columns.index(name)] for name in ("+ video", "+ audio"))
        gain, loss = (video, audio) if metric.higher_is_better else (audio, video)
        assert gain[2] - gain[0] > 0.2, "blue"
        assert loss[0] - loss[2] > 0.2, "red"
    shown = " ".join(" ".join(told(figure)).split())
    assert ("gain over the largest of its unit" in shown) is (len(metrics) > 1)
    figure.draw_without_rendering()
    label = figure.axes[1].yaxis.label.get_window_extent()
    assert min(label.x0, label.y0) >= 0, "whole, in a low figure, too"
    assert figure.bbox.x1 >= label.x1
    assert figure.bbox.y1 >= label.y1


def test_long_numbers_of_neighbours_do_not_lie_on_each_other_in_the_heat_map():
    analysis = of_metrics(Metric("mean error of the place", unit="px", higher_is_better=False))
    figure = draw_matrix(analysis.collection, analysis.cells, analysis.effects, 0, "m2pt", "")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    boxes = [text.get_window_extent(canvas.get_renderer()) for text in figure.axes[0].texts if "[" in text.get_text()]
    assert len(boxes) == 2
    assert boxes[0].x1 < boxes[1].x0


def test_a_long_name_of_a_metric_does_not_hide_that_lower_is_better():
    analysis = of_metrics(Metric("mean error of the place", unit="px", higher_is_better=False))
    for figure in (draw_matrix(analysis.collection, analysis.cells, analysis.effects, 0, "m2pt", ""),
                   draw_curves(analysis.collection, 0)):
        assert any("mean error of the place\n(px, lower is better)" in text for text in told(figure))


def test_what_pairs_are_found_from_is_told_in_the_unit_of_their_target():
    """Thousandths of a pixel are not rounded to nothing, and are not mixed with points."""
    analysis = of_metrics(Metric("top-1"), Metric("mean error of the place", unit="px", higher_is_better=False))
    ends = {task: column["found_from"] for task, column in analysis.effects.groupby("task")}
    (sentence,) = answer(analysis)
    points, pixels = max(ends["imagenet"]), max(ends["shapenet"])
    assert pixels < 0.05 < points
    assert f" {points:.{1 if points >= 1 else 2}f}, " in sentence
    assert f" {pixels:.2g} px)." in sentence
    cell = answer_table(analysis).rows[0][-1][0].text
    least = min(ends["imagenet"]), min(ends["shapenet"])
    assert cell == (f"{least[0]:.{1 if least[0] >= 1 else 2}f} to {points:.{1 if points >= 1 else 2}f}, "
                    f"{least[1]:.2g} to {pixels:.2g} px")


@pytest.mark.filterwarnings("error")
def test_a_letter_that_the_first_font_lacks_is_another_s_where_one_is_installed(monkeypatch):
    """DejaVu Serif comes with matplotlib and has a letter of phonetics that DejaVu Sans lacks; what that one has is its own."""
    def draw(letters: str, *fonts: str) -> bytes:
        monkeypatch.setattr(canvas, "FONTS", ("DejaVu Sans", *fonts))
        with house_style():
            figure = Figure(figsize=(2, 1))
            figure.suptitle(letters)
            return drawn(figure, ["png"])["png"]

    assert draw("cat", "No such font", "DejaVu Serif") == draw("cat")
    assert draw("\u02ef") == draw("\u02f0"), "boxes are alike"
    assert draw("\u02ef", "DejaVu Serif") not in (draw("\u02ef"), draw("\u02f0", "DejaVu Serif"))


def test_letters_are_of_the_font_that_comes_with_matplotlib_whatever_the_list_of_fonts_has(monkeypatch):
    """The list is kept for all environments of a user: one that was made without those fonts has the machine's alone."""
    def draw() -> bytes:
        with house_style():
            figure = Figure(figsize=(2, 1))
            figure.suptitle("cat")
            return drawn(figure, ["svg"])["svg"]

    before, fonts = draw(), font_manager.fontManager
    other = replace(next(font for font in fonts.ttflist if font.name == "DejaVu Serif"), name="DejaVu Sans", style="normal",
                    weight=400, stretch="normal")
    monkeypatch.setattr(fonts, "ttflist", [other, *(font for font in fonts.ttflist if get_data_path() not in font.fname)])
    fonts.addfont(other.fname)  # so that it looks at its list again
    assert draw() == before


@pytest.mark.filterwarnings("error")
def test_a_letter_that_the_font_lacks_stops_no_figure_and_warns_nobody():
    figure = Figure(figsize=(2, 1))
    figure.suptitle("猫 $x_{")
    with house_style():
        files = drawn(figure, ["png", "svg", "pdf"])
    assert files.keys() == {"png", "svg", "pdf"}
    with pytest.warns(UserWarning, match="Glyph 29483"):  # what matplotlib says of it outside
        FigureCanvasAgg(figure).draw()
