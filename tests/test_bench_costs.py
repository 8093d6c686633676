"""The fit of the rates, to times that are made up, and the files of timings."""

from __future__ import annotations

import json
from math import log

import numpy as np
import pytest

from gemmconv.bench.studies import costs as study
from gemmconv.bench.studies import timings as timings_module
from gemmconv.bench.studies.timings import (
    DRAWS,
    OPS,
    Origin,
    Timing,
    bind,
    draw_problems,
    draw_usual,
    load_origin,
    load_timings,
    save_timings,
    time_in_turns,
)
from gemmconv.engine import costs, rates
from gemmconv.engine.algorithms import candidates


def made_up(number: int, op: str = "forward") -> Timing:
    """Return a drawn problem, with the present estimates as its times."""
    problem = draw_usual(np.random.default_rng(number), f"random_{number}")
    timing = Timing(problem, op, {}, {})
    for way in candidates(OPS[op], timing.geometry):
        timing.seconds[way.name] = way.nanoseconds * problem.batch / 1e9
        timing.layouts[way.name] = way.layout_nanoseconds / 1e9
    return timing


def write_file(path, timings, **changes):
    """Write a file of timings that were made here, with some changes to what they depend on."""
    save_timings(path, timings, Origin.here("float32", 1)._replace(**changes))


@pytest.mark.parametrize("kind", DRAWS)
def test_drawn_problems(kind):
    problems = draw_problems(kind, 40, seed=5)
    assert problems == draw_problems(kind, 40, seed=5)
    assert problems != draw_problems(kind, 40, seed=6)
    assert len({problem.name for problem in problems}) == 40
    ranks = {len(problem.input_size) for problem in problems}
    assert ranks == ({1, 2} if kind == "small" else {1, 2, 3})


def test_long_problems_have_many_taps_and_small_ones_little_work():
    taps = [max(problem.kernel_size) for problem in draw_problems("long", 100, seed=5)]
    assert max(taps) > 1000
    assert max(taps) <= 2000
    assert min(taps) < 10
    small = draw_problems("small", 100, seed=5)
    assert max(problem.flops / problem.batch for problem in small) <= 1e6
    assert max(problem.batch for problem in small) > 100  # so that calls take longer than their overhead


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


def test_the_fit_chooses_as_auto_does(monkeypatch):
    # other rates than those of the times, so that choices are wrong; with hard choices the losses are those of auto
    rng = np.random.default_rng(2)
    timings = []
    for number in range(40):
        timing = made_up(number, list(OPS)[number % 3])
        for seconds in (timing.seconds, timing.layouts):
            seconds.update({name: of * rng.uniform(0.5, 2) for name, of in seconds.items()})
        timings.append(timing)
    model = study.Model(timings)
    estimates = np.array([costs.nanoseconds(row.work) for row in model.rows])
    monkeypatch.setattr(study, "SOFTNESS", 1e-9)
    losses = [min(log(timing.loss(prepared)), study.MOST_LOSS) for timing in timings for prepared in (True, False)]
    assert sum(losses) > 1
    assert model.choices.mean_loss(estimates)[0] == pytest.approx(np.mean(losses))


def test_the_table_is_python(table):
    namespace = {}
    exec(study.table(), namespace)
    assert namespace["RATES"] == table


def test_the_table_is_complete(table):
    before = {name: dict(terms) for name, terms in table.items()}
    study.complete_table()
    assert table == before


def test_new_kernels_get_rates_and_old_ones_lose_them(table):
    before = {name: dict(terms) for name, terms in table.items()}
    ones = (1.0, 1.0, 1.0)
    del table["direct_pixels"], table["depthwise"]["copying"], table["turning"]["weights"], table["phases"]
    table["gemm_conv"]["of old"] = ones
    table["of old"] = {"term": ones}
    study.complete_table()
    expected = before | {name: dict.fromkeys(before[name], ones) for name in ("direct_pixels", "phases")}
    expected |= {"depthwise": before["depthwise"] | {"copying": ones}, "turning": before["turning"] | {"weights": ones}}
    assert table == expected
    assert list(table["depthwise"]) == list(before["depthwise"])


def test_timings_are_read_again(tmp_path):
    timings = [made_up(1), made_up(2, "weight_gradient")]
    write_file(tmp_path / "file.json", timings)
    assert load_timings([tmp_path / "file.json"]) == timings
    assert load_origin([tmp_path / "file.json"]) == Origin.here("float32", 1)


def test_ways_that_are_gone_are_not_read(tmp_path):
    timing = made_up(1)
    more = timing._replace(seconds=timing.seconds | {"old-way": 1e-9}, layouts=timing.layouts | {"old-way": 0.0})
    write_file(tmp_path / "file.json", [more])
    assert load_timings([tmp_path / "file.json"]) == [timing]


def test_a_file_without_a_way_is_refused(tmp_path, monkeypatch):
    timing = made_up(1)
    name = timing.auto(prepared=True)
    del timing.seconds[name]
    monkeypatch.setattr("sys.argv", ["algorithms.py", "--random", "2", "--save", "a file"])
    write_file(tmp_path / "file.json", [timing])
    command = "python -m gemmconv.bench.studies.algorithms --random 2 --save 'a file'"
    with pytest.raises(
        ValueError, match=rf"file.json has no time of {name} for 'random_1 .*; make it again: {command}"
    ):
        load_timings([tmp_path / "file.json"])


def test_timings_of_another_instruction_set_are_refused(tmp_path):
    write_file(tmp_path / "file.json", [made_up(1)], isa="another")
    with pytest.raises(ValueError, match="'isa': 'another'"):
        load_timings([tmp_path / "file.json"])


def test_timings_of_an_older_version_are_refused(tmp_path):
    (tmp_path / "file.json").write_text(json.dumps({"isa": "avx2", "gemm_path": "small", "timings": []}))
    with pytest.raises(ValueError, match="is of an older version, make it again"):
        load_timings([tmp_path / "file.json"])


def test_timings_of_two_machines_are_refused(tmp_path):
    for cpu in ("one", "two"):
        write_file(tmp_path / f"{cpu}.json", [], cpu=cpu)
    with pytest.raises(ValueError, match=r"one.json and .*two.json do not belong together"):
        load_origin([tmp_path / "one.json", tmp_path / "two.json"])


@pytest.mark.parametrize("isa", rates.COLUMNS)
def test_rates_may_be_written_beside_their_blas_only(isa):
    origin = Origin("a processor", isa, "small", rates.BLAS_CORES[isa][0], "float32", 1)
    study.check_origin(origin)
    for others in (cores for column, cores in rates.BLAS_CORES.items() if column != isa):
        with pytest.raises(ValueError, match=f"time again with OPENBLAS_CORETYPE={origin.blas}"):
            study.check_origin(origin._replace(blas=others[0]))
    for other in (origin._replace(threads=2), origin._replace(dtype="float64")):
        with pytest.raises(ValueError, match="rates are for float32 on 1 thread"):
            study.check_origin(other)


def test_a_table_is_not_written_from_other_timings(tmp_path, table, monkeypatch):
    written = []
    monkeypatch.setattr(study, "write_table", lambda: written.append(1))
    write_file(tmp_path / "file.json", [made_up(1)], blas="another")
    with pytest.raises(ValueError, match="these timings are beside one for another"):
        study.run([tmp_path / "file.json"], [], write=True)
    assert not written


@pytest.mark.parametrize("op", OPS)
def test_every_way_is_bound(op):
    problem = draw_usual(np.random.default_rng(3), "random_3")
    calls, layouts = bind(problem, op, "float32")
    names = {way.name for way in candidates(OPS[op], Timing(problem, op, {}, {}).geometry)}
    assert set(calls) == names
    assert set(layouts) == (set() if op == "weight_gradient" else names)
    for call in (*calls.values(), *layouts.values()):
        call()


def test_ways_far_behind_are_timed_in_few_rounds(monkeypatch):
    # a clock that only calls move on
    now = 0.0
    count = {"fast": 0, "slow": 0}

    def call(name, seconds):
        nonlocal now
        now += seconds / (1 + count[name] // 2)  # later rounds are faster
        count[name] += 1

    monkeypatch.setattr(timings_module.time, "perf_counter", lambda: now)
    calls = {"fast": lambda: call("fast", 1.0), "slow": lambda: call("slow", 100.0)}
    assert time_in_turns(calls, 6) == {"fast": 1 / 4, "slow": 100 / 2}
    assert count == {"fast": 8, "slow": 4}
