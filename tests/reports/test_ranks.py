"""Ranks over tasks, held to published tables, to the printed quantiles of Demsar (2006) and to scikit-posthocs."""

import math

import numpy as np
import pandas as pd
import pytest
import scikit_posthocs
from scipy import stats

from reports import Table, find
from reports.views.ranks import ranking
from results import frame
from tests.reports.from_print import BACKBONE, vtab

QUANTILES = {3: 2.343, 5: 2.728, 9: 3.102, 10: 3.164}  # Demsar, JMLR 2006, table 5(a), 5 %


def published() -> pd.DataFrame:
    """Nine methods on VTAB-1k as VPT and NOAH printed them: a row a task."""
    runs = frame([*vtab("VPT", "per-task table", BACKBONE), *vtab("NOAH", "Table 1", BACKBONE)])
    return runs.pivot_table(index="task", columns="method", values="test_accuracy", sort=False)


def test_ranks_and_tests_of_a_published_table_are_those_of_scipy_and_scikit_posthocs() -> None:
    scores = published()
    assert scores.shape == (19, 9)
    found = ranking(scores)
    by_hand = np.mean([stats.rankdata(-row) for row in scores.to_numpy()], axis=0)
    assert found.ranks.to_dict() == pytest.approx(dict(zip(scores, by_hand, strict=True)))
    assert list(found.ranks) == sorted(found.ranks)
    assert found.p_value == pytest.approx(stats.friedmanchisquare(*scores.to_numpy().T).pvalue)
    expected = scikit_posthocs.posthoc_nemenyi_friedman(scores.to_numpy()).to_numpy()
    assert np.allclose(found.pairs.loc[list(scores), list(scores)], expected)


@pytest.mark.parametrize(("methods", "quantile"), QUANTILES.items())
def test_the_critical_difference_is_demsar_s(methods: int, quantile: float) -> None:
    drawn = np.random.default_rng(0).random((19, methods))
    found = ranking(pd.DataFrame(drawn).rename(columns=str))
    assert found.critical_difference == pytest.approx(
        quantile * math.sqrt(methods * (methods + 1) / (6 * 19)), rel=1e-3
    )


def test_a_pair_is_told_apart_where_its_ranks_differ_by_the_critical_difference() -> None:
    found = ranking(published())
    for one in found.ranks.index:
        for other in found.ranks.index:
            apart = abs(found.ranks[one] - found.ranks[other]) > found.critical_difference
            assert apart == (found.pairs.loc[one, other] < 0.05)


def test_the_report_ranks_methods_and_says_how_many_tasks_and_seeds() -> None:
    figure, table = find("ranks")(frame(vtab("SynQT", "appendix Table 2", BACKBONE)))
    assert isinstance(table, Table)
    assert "19 tasks, 1 seed: p below 0.001, critical difference" in table.caption
    place = next(place for place, column in enumerate(table.columns) if column.key == "rank all methods")
    ranks = [row[place].value or 0.0 for row in table.rows]
    assert ranks == sorted(ranks)
    assert table.rows[0][-1].word == ""
    assert figure.name.startswith("ranks-vtab")


def test_few_tasks_are_refused_with_the_reason() -> None:
    records = [record for record in vtab("SynQT", "appendix Table 2", BACKBONE) if record.group == "specialized"]
    assert find("ranks")(frame(records)) == []
    from reports.discovery import why_nothing

    assert "need 5 tasks" in (why_nothing("ranks") or "")
