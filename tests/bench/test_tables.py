"""Published numbers and how they stand beside measured ones."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from posecli.bench.layouts import LAYOUTS
from posecli.bench.protocols import NOTHING, Totals
from posecli.bench.published import chosen, counterpart, published
from posecli.bench.result import BenchResult
from posecli.bench.scores import histogram
from posecli.bench.tables import (
    compare,
    latex,
    published_table,
    remarks,
    result_table,
    sweep_table,
    upright,
)
from posecli.datasets.h36m import ACTIONS
from posecli.errors import InputError


def test_published_rows_are_whole_and_each_once() -> None:
    rows = published("h36m")
    keys = Counter((r.label, r.keypoints, r.measure) for r in rows)
    assert set(keys.values()) == {1} and len(rows) == 37
    for row in rows:
        assert len(row.values) == len(ACTIONS) and row.source and row.measure in ("p1", "p2")
        assert abs(row.row_mean - row.printed_mean) < 0.51
    # rows whose printed mean is not theirs; methods.md 8.1
    apart = {(r.label, r.measure) for r in rows if abs(r.row_mean - r.printed_mean) > 0.2}
    assert apart == {("DiffPose, video", "p1"), ("DiffPose, video", "p2"), ("DiffuPose, N=10", "p1"),
                     ("DiffuPose, N=10", "p2")}  # fmt: skip
    assert {r.note for r in rows if (r.label, r.measure) in apart and r.keypoints == "cpn"} != {None}


def result(hypotheses: int, steps: int, p1: float = 40.0, **totals: Totals) -> BenchResult:
    one = Totals({("J-Agg", m): (v * 100, 100) for m, v in (("p1", p1), ("p2", 31.0))})
    actions = dict.fromkeys(ACTIONS, one) | totals
    return BenchResult(
        "h36m", "ddhpose", "official", "cpn", "J-Agg", actions, 17, histogram(np.zeros(0)),
        {"settings": {"hypotheses": hypotheses, "steps": steps}, "weights": "w"},
    )  # fmt: skip


def test_a_result_stands_beside_its_own_row_and_no_other() -> None:
    row = counterpart(result(20, 10), "p1")
    assert row is not None and row.printed_mean == 39.0 and row.label == "DDHPose, H=20 W=10"
    assert counterpart(result(20, 11), "p1") is None
    assert "no published row" in " ".join(remarks(result(20, 11)))
    assert {r.keypoints for r in chosen("h36m", "diffpose-official", "gt")} == {"gt"}


def test_means_are_of_actions_and_differences_are_marked() -> None:
    """Many frames of one action count as one action."""
    walking = Totals({("J-Agg", "p1"): (27.0 * 1500, 1500), ("J-Agg", "p2"): (31.0, 1)})
    made = result(20, 10, Walking=walking)
    assert made.mean("p1") == pytest.approx((14 * 40 + 27) / 15)
    published, measured, difference = result_table(made).rows[:3]
    assert published[1] == "DDHPose, H=20 W=10 (published)" and published[-2:] == ("39.0", "39.01")
    assert measured[1] == "ddhpose (measured, official, J-Agg)"
    assert difference[2] == "+3.6!" and difference[2 + 13] == "+0.0"  # Dir 40.0 - 36.4, Walk 27.0 - 27.0
    assert float(measured[-1]) - 39.01 == pytest.approx(float(difference[-1].rstrip("!")), abs=0.06)


def test_forms() -> None:
    table = result_table(result(1, 1))
    lines = latex(table).splitlines()
    assert lines[0] == r"\begin{tabular}{ll" + "r" * 17 + "}" and lines[-1] == r"\end{tabular}"
    assert all(line.count("&") == 18 for line in lines if line.endswith(r"\\"))
    down = upright(table)
    assert [row[0] for row in down.rows][:3] == ["Dir", "Disc", "Eat"] and len(down.headings) == 7
    assert down.rows[0][2] == "40.0"


def test_absent_actions_are_no_zeros() -> None:
    made = result(1, 1, Photo=NOTHING)
    assert made.mean("p1") == pytest.approx(40.0)
    assert result_table(made).rows[1][2 + 5] == "-"
    assert "nothing of: Photo" in " ".join(remarks(made))


def test_compare() -> None:
    a, b = result(1, 1).to_dict(), result(20, 10, p1=39.5).to_dict()
    table, apart = compare(a, b)
    assert table.rows[0] == ("P1", "Dir", "40.0", "39.5", "-0.5")
    assert len(table.rows) == 32 and table.rows[15][1:] == ("mean", "40.00", "39.50", "-0.5")
    assert apart == [f"settings: {a['settings']} | {b['settings']}"]
    with pytest.raises(InputError, match="no results of one data set"):
        compare(a, {"measured": {}})
    with pytest.raises(InputError, match="no result of posecli bench"):
        compare(a, {"bench": "h36m", "measured": {}})


def test_diffupose_stands_beside_its_row_only_with_all_its_steps() -> None:
    made = {"settings": {"hypotheses": 1, "steps": 100}}
    one = BenchResult("h36m", "diffupose", "official", "hr", "P-Agg", {}, 16, histogram(np.zeros(0)), made)
    row = counterpart(one, "p1")
    assert row is not None and row.label == "DiffuPose, N=1" and row.printed_mean == 50.7
    made["settings"]["steps"] = 5
    assert counterpart(one, "p1") is None


def test_rows_of_the_other_data_sets() -> None:
    """Every number as it stands in the papers: DDHPose's table 3, DiffPose's table 2, DiffuPose's table III."""
    rows = {(r.label, r.measure): r for r in published("3dhp")}
    assert [rows["DDHPose, H=1 W=1", m].printed_mean for m in ("pck", "auc", "p1")] == [98.5, 78.1, 29.2]
    assert [rows["DiffPose, video, 81 frames", m].printed_mean for m in ("pck", "auc", "p1")] == [
        98.0,
        75.9,
        29.1,
    ]
    assert all(r.source and r.row_mean is None and r.keypoints == "gt" for r in rows.values())
    (row,) = chosen("humaneva", "diffupose")[2:3]
    assert row.hypotheses == 10 and row.values == (12.6, 10.5, 15.9, 18.1, 11.8, 11.2, 17.6, 23.0, 20.7)
    assert LAYOUTS["humaneva"].columns[:4] == ("Walk S1", "Walk S2", "Walk S3", "Jog S1")
    table = published_table("humaneva", [row])
    assert table.rows[0][:4] == ("P-MPJPE", "DiffuPose, N=10 (published)", "gt", "12.6")
    assert table.rows[0][-2:] == ("-", "15.71")
    assert table.markdown().splitlines()[1] == "| --- | --- | --- |" + " ---: |" * 11


def result_3dhp(hypotheses: int, steps: int, error: float) -> BenchResult:
    one = Totals({("J-Agg", "pck"): (98.0, 1), ("J-Agg", "auc"): (77.0, 1), ("J-Agg", "p1"): (error, 1)})
    made = {"hypotheses": hypotheses, "steps": steps, "truth": "annot3", "truth_looks_like": "annot3"}
    return BenchResult(
        "3dhp", "ddhpose", "official", "gt", "J-Agg", dict.fromkeys(LAYOUTS["3dhp"].columns, one), 17,
        histogram(np.zeros(0)), {"settings": made},
    )  # fmt: skip


def test_a_published_mean_without_a_row() -> None:
    table = result_table(result_3dhp(1, 1, 30.0))
    assert [row[0] for row in table.rows] == ["PCK"] * 3 + ["AUC"] * 3 + ["MPJPE"] * 3
    assert table.rows[0][2:] == ("-",) * 6 + ("98.5", "-")
    assert table.rows[1][2:] == ("98.0",) * 6 + ("", "98.00")
    assert table.rows[8][2:] == ("-",) * 6 + ("+0.8!", "-")
    assert "truth annot3; rows of the other truth cannot be compared" in remarks(result_3dhp(1, 1, 30.0))
    table = sweep_table([result_3dhp(1, 1, 30.0), result_3dhp(5, 1, 29.5)])
    assert table.rows[0] == ("1", "1", "J-Agg", "98.00", "98.5", "77.00", "78.1", "30.00", "29.2")
    assert table.rows[1][-2:] == ("29.50", "-")


def test_a_row_of_the_other_truth_is_no_counterpart() -> None:
    made = result_3dhp(1, 1, 30.0)
    assert counterpart(made, "p1") is not None
    made.settings["truth"] = "univ_annot3"
    assert counterpart(made, "p1") is None


def test_results_of_two_data_sets_are_not_compared() -> None:
    with pytest.raises(InputError, match="no results of one data set"):
        compare(result(1, 1).to_dict(), result_3dhp(1, 1, 30.0).to_dict())
