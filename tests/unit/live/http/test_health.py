"""Whoever looks at the service is told whether its loop runs, whether its outputs can be trusted, and why not."""

from __future__ import annotations

import io
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from beampermit.live.bypassed import Bypassed
from beampermit.live.loop import Standing
from beampermit.live.observation.journal import Journal
from beampermit.live.observation.metrics import Metrics
from beampermit.live.observation.monitoring import MonitorResults
from beampermit.live.observation.vitals import GRACE
from support.http_service import Browse, Browsed
from support.served import NOW, Serve, Served


def metric(http: Browsed, name: str, **labels: str) -> float:
    answer = http.get("/metrics")
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    (value,) = (
        sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )
    return value


@pytest.mark.slow
def test_before_the_first_cycle_the_service_is_alive_and_not_ready(browse: Browse) -> None:
    http = browse()
    http.clock[0] += 10 * GRACE
    assert (http.get("/healthz").status_code, http.get("/readyz").status_code) == (200, 503)
    assert http.get("/status").json() == {
        "name": "bpm-faults",
        "alive": True,
        "log": "",
        "version": 0,
        "status": "STARTING",
        "reason": "there was no cycle yet",
    }
    assert metric(http, "beampermit_log_lost_rows_total") == 7


def test_lines_that_the_services_log_has_lost_are_counted(browse: Browse) -> None:
    journal = Journal(io.StringIO(), "json")
    journal.lost = 3
    logging.getLogger().addHandler(journal)
    try:
        assert metric(browse(), "beampermit_service_log_lost_lines_total") == 3
    finally:
        logging.getLogger().removeHandler(journal)


@pytest.mark.slow
def test_a_loop_that_stands_is_dead_from_a_bound_on(serving: Served, browse: Browse) -> None:
    http = browse(serving)
    http.publish(serving)
    bound = serving.loop.contract.serving.timeout + GRACE
    http.clock[0] += bound
    assert (http.get("/healthz").status_code, http.get("/readyz").status_code) == (200, 200)
    http.clock[0] += 0.1
    assert (http.get("/healthz").status_code, http.get("/readyz").status_code) == (503, 503)
    assert http.get("/v2/health/live").json() == {"live": False}
    http.publish(serving)
    assert http.get("/healthz").json()["alive"]


@pytest.mark.slow
def test_ready_are_outputs_of_which_some_have_a_value(serving: Served, browse: Browse) -> None:
    http = browse(serving)
    http.publish(serving)
    assert http.get("/readyz").json() == {
        "ready": True,
        "name": "bpm-faults",
        "alive": True,
        "log": "",
        "version": 3,
        "permit": "sha256:p",
        "status": "SERVING",
        "reason": "",
        "since": NOW,
        "heartbeat": 2,
        "uptime": serving.updates[-1].health.uptime,
        "input_age": 0.0,
        "latency_p99": None,
        "dropped": 0,
        "restarts": 0,
        "shadow": "",
    }
    serving.put([0.0, np.nan, 0.0], device="B1")
    http.publish(serving)
    degraded = http.get("/readyz")
    assert (degraded.status_code, degraded.json()["status"]) == (200, "DEGRADED")
    serving.put([0.0, np.nan, 0.0])
    http.publish(serving)
    invalid = http.get("/readyz")
    assert (invalid.status_code, invalid.json()["reason"]) == (503, "B1:TBT is NaN (6 of 6 outputs)")
    assert http.get("/healthz").status_code == 200


def test_what_is_not_known_is_null(serve: Serve, browse: Browse) -> None:
    http = browse(served := serve(Standing(3, "", refused="no permit")))
    http.publish(served)
    status = http.get("/status").json()
    assert (status["input_age"], status["latency_p99"]) == (None, None)
    assert (status["status"], status["reason"]) == ("INVALID", "no permit (6 of 6 outputs)")


@pytest.mark.slow
def test_metrics_are_those_of_the_loop(serving: Served, browse: Browse) -> None:
    http = browse(serving)
    serving.put([60.0, 0.0, 0.0], device="B1")
    serving.put([20.0, 20.0, 20.0], device="B2")
    serving.model.gives = lambda answers: {**answers, "score": answers["score"] * 1.5}
    serving.model.restarts = 4
    http.publish(serving)
    http.publish(serving)
    expected = {
        ("beampermit_cycles_total", ()): 3,
        ("beampermit_dropped_samples_total", ()): 0,
        ("beampermit_model_restarts_total", ()): 4,
        ("beampermit_input_age_seconds", ()): 0,
        ("beampermit_permitted", ()): 1,
        ("beampermit_model_seconds_count", ()): 1,
        ("beampermit_status", (("status", "DEGRADED"),)): 1,
        ("beampermit_status", (("status", "SERVING"),)): 0,
        ("beampermit_served_info", (("version", "3"), ("permit", "sha256:p"))): 1,
        ("beampermit_outputs", (("output", "score"), ("severity", "INVALID"))): 1,
        ("beampermit_outputs", (("output", "score"), ("severity", "MINOR"))): 1,
        ("beampermit_outputs", (("output", "score"), ("severity", "NO_ALARM"))): 1,
        ("beampermit_outputs", (("output", "orbit"), ("severity", "NO_ALARM"))): 2,
    }
    for (name, labels), value in expected.items():
        assert metric(http, name, model="bpm-faults", **dict(labels)) == value, (name, labels)


@pytest.mark.slow
def test_a_version_that_may_not_serve_is_not_permitted(serve: Serve, browse: Browse) -> None:
    http = browse(served := serve(Standing(3, "", refused="no permit")))
    http.publish(served)
    assert metric(http, "beampermit_permitted") == 0


@pytest.mark.slow
def test_an_address_for_looking_alone_answers_no_question(serving: Served, browse: Browse) -> None:
    http = browse(serving, questions=False)
    assert http.get("/healthz").status_code == 200
    for path in ("/v2", "/outputs"):
        assert http.get(path).status_code == 404
    assert http.ask().status_code == 404
    assert len(serving.model.asked) == 1


def test_metrics_have_the_end_of_each_bypass(serving: Served) -> None:
    bypassed = Bypassed("MON001", "turns", 1_800_003_600.0, "bypassed until 2027-01-15T09:00:00Z by Ada: a study")
    serving.loop.standing = replace(serving.loop.standing, bypassed=(bypassed,))
    text = Metrics("bpm-faults", lambda: serving.loop).text()
    until = b'beampermit_bypassed_until_seconds{alarm="MON001",model="bpm-faults",subject="turns"} 1.8000036e+09'
    assert until in text


def test_metrics_of_monitoring_say_nothing_that_nobody_vouches_for(serving: Served, tmp_path: Path) -> None:
    monitor = MonitorResults(tmp_path, "bpm-faults")
    metrics = Metrics("bpm-faults", lambda: serving.loop, monitor=monitor)
    metrics.publish(serving.updates[-1])
    assert b'beampermit_monitored_severity{check="MON001",model="bpm-faults"} 3.0' in metrics.text()
    assert b'beampermit_drift_ratio{model="bpm-faults"} NaN' in metrics.text()
