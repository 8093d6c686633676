"""The fit of the rates, to times that are made up, and the files of timings."""

from __future__ import annotations

import json

import numpy as np
import pytest

from gemmconv.bench.studies import costs as study
from gemmconv.bench.studies.timings import OPS, Timing, draw_problem, load_timings, save_timings, time_ways
from gemmconv.engine import costs, rates
from gemmconv.engine.algorithms import WAYS


def made_up(number: int, op: str = "forward") -> Timing:
    """Return a drawn problem, with the present estimates as its times."""
    problem = draw_problem(np.random.default_rng(number), number)
    timing = Timing(problem, op, {}, {})
    for way in WAYS[OPS[op]](timing.geometry):
        timing.seconds[way.name] = way.nanoseconds / 1e9
        timing.layouts[way.name] = way.layout_nanoseconds / 1e9
    return timing


@pytest.fixture
def table(monkeypatch):
    """Let the test change the table of rates."""
    monkeypatch.setattr(rates, "RATES", {name: dict(terms) for name, terms in rates.RATES.items()})
    monkeypatch.setattr(costs, "RATES", rates.RATES)
    costs.forget_rates()
    yield rates.RATES
    monkeypatch.undo()
    costs.forget_rates()


def test_rates_are_found_again(table):
    timings = [made_up(number) for number in range(60)]
    for terms in table.values():
        terms.update(dict.fromkeys(terms, (1.0, 1.0, 1.0)))
    costs.forget_rates()
    model = study.Model(timings)
    np.testing.assert_allclose(model.amounts @ model.least_squares(), model.times, rtol=1e-4)
    study.install(model.fit())  # which gives up a little of that for better choices
    assert np.mean([timing.loss(prepared) < 1.05 for timing in timings for prepared in (True, False)]) > 0.95


def test_the_slope_of_the_objective():
    model = study.Model([made_up(number) for number in range(4)])
    rng = np.random.default_rng(1)
    estimates = model.times * rng.uniform(0.8, 1.25, len(model.times))
    _, slope = model.objective(estimates)
    for index in range(len(estimates)):
        step = np.zeros_like(estimates)
        step[index] = 1e-4 * estimates[index]
        difference = model.objective(estimates + step)[0] - model.objective(estimates - step)[0]
        assert slope[index] * 2 * step[index] == pytest.approx(difference, rel=1e-3, abs=1e-10)


def test_the_table_is_python(table):
    namespace = {}
    exec(study.table(), namespace)
    assert namespace["RATES"] == table


def test_a_new_kernel_gets_rates(table):
    before = {name: dict(terms) for name, terms in table.items()}
    del table["direct_pixels"], table["depthwise"]["copying"]
    table["gemm_conv"]["of old"] = (2.0, 2.0, 2.0)
    study.complete_table()
    ones = (1.0, 1.0, 1.0)
    expected = before | {"direct_pixels": dict.fromkeys(before["direct_pixels"], ones)}
    expected["depthwise"] = before["depthwise"] | {"copying": ones}
    assert table == expected
    assert list(table["depthwise"]) == list(before["depthwise"])


def test_timings_are_read_again(tmp_path):
    timings = [made_up(1), made_up(2, "weight_gradient")]
    save_timings(tmp_path / "file.json", timings)
    assert load_timings([tmp_path / "file.json"]) == timings


def test_timings_of_another_instruction_set_are_refused(tmp_path):
    path = tmp_path / "file.json"
    save_timings(path, [made_up(1)])
    saved = json.loads(path.read_text()) | {"isa": "another"}
    path.write_text(json.dumps(saved))
    with pytest.raises(ValueError, match="'isa': 'another'"):
        load_timings([path])


@pytest.mark.parametrize("op", OPS)
def test_every_way_is_timed(op):
    problem = draw_problem(np.random.default_rng(3), 3)
    timing = time_ways(problem, op, "float32", rounds=1)
    assert set(timing.seconds) == set(timing.layouts) == {way.name for way in WAYS[OPS[op]](timing.geometry)}
    assert all(seconds > 0 for seconds in timing.seconds.values())
    assert timing.loss(prepared=True) >= 1
