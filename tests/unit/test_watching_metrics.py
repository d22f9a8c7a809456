"""What a worker counts, read back as Prometheus reads it."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from worker.monitoring.metrics import CAUSES, OUTCOMES, SERVERS, Metrics, queue_wait


def read(metrics: Metrics) -> dict[str, float]:
    """Every sample, called as in ``warren_trials_total{library="sklearn",state="FAILED"}``."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(metrics.text().decode()):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            found[sample.name + (f"{{{labels}}}" if labels else "")] = sample.value
    return found


def trial(state: str = "COMPLETE", **fields: Any) -> dict[str, Any]:
    return {"state": state, "library": "xgboost", "fit_seconds": 0.0, "saved_seconds": 0.0, **fields}


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def test_the_page_explains_each_metric_and_names_its_unit(metrics: Metrics) -> None:
    families = {one.name: one for one in text_string_to_metric_families(metrics.text().decode())}
    ours = {name: one for name, one in families.items() if name.startswith("warren")}
    assert len(ours) == 13
    for name, family in ours.items():
        assert len(family.documentation) > 20
        assert family.documentation.endswith(".")
        if "econds" in family.documentation:
            assert "_seconds" in name
    assert "process_resident_memory_bytes" in families


def test_every_usual_series_is_there_from_the_start(metrics: Metrics) -> None:
    found = read(metrics)
    expected = [f'warren_chunks_total{{outcome="{one}"}}' for one in OUTCOMES]
    expected += [f'warren_wasted_seconds_total{{cause="{one}"}}' for one in CAUSES]
    expected += [f'warren_reconnects_total{{server="{one}"}}' for one in SERVERS]
    expected += [
        'warren_trials_total{library="catboost",state="FAILED"}',
        'warren_fit_seconds_total{library="sklearn"}',
    ]
    expected += ["warren_redeliveries_total", "warren_trainer_restarts_total", "warren_queue_wait_seconds_count"]
    assert [found[name] for name in expected] == [0.0] * len(expected)
    assert [name for name in found if name.startswith("warren_info{version=")]


def test_a_worker_says_for_how_long_it_has_its_chunk(metrics: Metrics, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(metrics)["warren_chunk_seconds"] == 0
    moments = iter([100.0, 100.0, 102.5])
    monkeypatch.setattr("worker.monitoring.metrics.time.monotonic", lambda: next(moments))
    metrics.has_chunk(True)
    assert read(metrics)["warren_chunk_seconds"] > 0, "from the first moment"
    assert read(metrics)["warren_chunk_seconds"] == 2.5
    metrics.has_chunk(False)
    assert read(metrics)["warren_chunk_seconds"] == 0


def test_trials_are_counted_by_state_and_library_with_their_seconds(metrics: Metrics) -> None:
    metrics.trials_ended([trial(fit_seconds=1.5, saved_seconds=4.0), trial(fit_seconds=0.5), trial("FAILED")])
    metrics.trials_ended([trial(library="lightgbm", fit_seconds=2.0, saved_seconds=-1e-9)])
    found = read(metrics)
    assert found['warren_trials_total{library="xgboost",state="COMPLETE"}'] == 2
    assert found['warren_trials_total{library="xgboost",state="FAILED"}'] == 1
    assert found['warren_trials_total{library="lightgbm",state="COMPLETE"}'] == 1
    assert found['warren_fit_seconds_total{library="xgboost"}'] == 2
    assert found['warren_fit_seconds_total{library="lightgbm"}'] == 2
    assert found["warren_saved_seconds_total"] == 4


def test_chunks_waste_and_outages_are_counted_by_their_kind(metrics: Metrics) -> None:
    for outcome in ("acknowledged", "acknowledged", "requeued", "dead_lettered", "dropped"):
        metrics.chunk_ended(outcome)
    metrics.wasted(1.5, "crashed")
    metrics.wasted(2.0, "crashed")
    metrics.wasted(-0.1, "abandoned")
    metrics.reconnected("database")
    found = read(metrics)
    assert [found[f'warren_chunks_total{{outcome="{one}"}}'] for one in OUTCOMES] == [2, 1, 1, 1]
    assert [found[f'warren_wasted_seconds_total{{cause="{one}"}}'] for one in CAUSES] == [0, 3.5, 0]
    assert [found[f'warren_reconnects_total{{server="{one}"}}'] for one in SERVERS] == [0, 1]


def test_only_a_first_delivery_tells_how_long_a_chunk_waited(metrics: Metrics) -> None:
    metrics.chunk_arrived(redelivered=False, waited_seconds=30.0)
    metrics.chunk_arrived(redelivered=False, waited_seconds=None)
    metrics.chunk_arrived(redelivered=True, waited_seconds=4000.0)
    found = read(metrics)
    assert found["warren_redeliveries_total"] == 1
    assert found["warren_queue_wait_seconds_count"] == 1
    assert found["warren_queue_wait_seconds_sum"] == 30
    assert found['warren_queue_wait_seconds_bucket{le="15.0"}'] == 0
    assert found['warren_queue_wait_seconds_bucket{le="60.0"}'] == 1


@pytest.mark.parametrize(
    ("published_at", "waited"),
    [(1_000_000, 12.5), (1_000_020, 0.0), (None, None), (0, None), (10**18, None)],
)
def test_a_wait_is_believed_where_it_can_be(published_at: int | None, waited: float | None) -> None:
    now = 1_000_012.5 if published_at != 0 else 1.7e9
    assert queue_wait(published_at, now) == waited


def test_the_first_training_process_is_no_restart(metrics: Metrics) -> None:
    metrics.trainer_started()
    assert read(metrics)["warren_trainer_restarts_total"] == 0
    metrics.trainer_started()
    metrics.trainer_started()
    assert read(metrics)["warren_trainer_restarts_total"] == 2


def test_gauges_say_what_is_now(metrics: Metrics) -> None:
    held: list[int | None] = [None]
    assert read(metrics)["warren_trainer_memory_bytes"] == 0
    metrics.watch_memory(lambda: held[0])
    assert read(metrics)["warren_trainer_memory_bytes"] == 0
    held[0] = 5_000_000
    metrics.results_waiting(7)
    assert read(metrics)["warren_trainer_memory_bytes"] == 5_000_000
    assert read(metrics)["warren_results_waiting"] == 7


def test_two_of_them_share_nothing(metrics: Metrics) -> None:
    metrics.chunk_ended("requeued")
    assert read(Metrics())['warren_chunks_total{outcome="requeued"}'] == 0
