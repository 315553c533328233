"""Prometheus's own tool takes the rules and what the server tells; the rules say what is wrong with which database."""

import subprocess
from pathlib import Path

import pytest
import yaml

from bench.faults.server import ROOT
from ractory.tests.served import served

SERVER, DATABASE = 'job="r",instance="a"', 'job="r",instance="a",database="default"'
CASES = {
    "rule_files": [str(ROOT / "docs/alerts.yaml")],
    "tests": [
        {
            "interval": "1m",
            "input_series": [
                {"series": f'ractory_database_info{{{DATABASE},name="ractory",host="db1"}}', "values": "1x30"},
                {"series": f"ractory_database_up{{{DATABASE}}}", "values": "1x9 0x20"},
                {"series": f'ractory_database_connections{{{DATABASE},state="idle"}}', "values": "90x30"},
                {"series": f"ractory_database_connections_max{{{DATABASE}}}", "values": "100x30"},
                {"series": f"ractory_workers_ended_total{{{SERVER}}}", "values": "0+2x30"},
            ],
            "alert_rule_test": [
                {
                    "eval_time": "20m",
                    "alertname": name,
                    "exp_alerts": [{"exp_labels": labels, "exp_annotations": {"summary": summary}}],
                }
                for name, labels, summary in (
                    (
                        "RactoryDatabaseDown",
                        {"severity": "page", "job": "r", "instance": "a", "database": "default"}
                        | {"name": "ractory", "host": "db1"},
                        "a does not reach its database ractory at db1",
                    ),
                    (
                        "RactoryConnectionsScarce",
                        {"severity": "ticket", "job": "r", "name": "ractory", "host": "db1"},
                        "90% of the connections of ractory at db1 are taken",
                    ),
                    (
                        "RactoryWorkersEnding",
                        {"severity": "ticket", "job": "r", "instance": "a"},
                        "30 workers of a have ended in a quarter of an hour",
                    ),
                )
            ],
        }
    ],
}


def promtool(*arguments: str, stdin: str | None = None) -> None:
    done = subprocess.run(["promtool", *arguments], input=stdin, capture_output=True, text=True)  # noqa: S603, S607  # our own words
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_rules_say_what_is_wrong_with_which_database(tmp_path: Path) -> None:
    promtool("check", "rules", str(ROOT / "docs/alerts.yaml"))
    (tmp_path / "cases.yaml").write_text(yaml.safe_dump(CASES))
    promtool("test", "rules", str(tmp_path / "cases.yaml"))


@pytest.mark.django_db(transaction=True)
def test_what_the_server_tells_is_in_prometheus_format(tmp_path: Path) -> None:
    with served(tmp_path / "log") as server:
        promtool("check", "metrics", stdin=server.scrape())
