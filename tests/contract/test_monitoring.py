"""Is whoever watches an installation asked nothing that is not measured, and told what to do?"""

import json
import re
import shutil
import subprocess
from pathlib import Path

import promql_parser
import pytest
import yaml
from kubectl import built
from prometheus_client.parser import text_string_to_metric_families
from tekton_pods import of_kind

from touchstone.cluster.metrics import OUTCOMES, Metrics
from touchstone.cluster.records import Record
from touchstone.events import interceptor_metrics
from trust_gates.verdict import Outcome

ROOT = Path(__file__).parents[2]
TEKTON = ROOT / "tekton"
PAGE = ROOT / "docs" / "how-to" / "watch-an-installation.md"
REFERENCE = ROOT / "docs" / "reference" / "metrics.md"

OF_TEKTON = {
    "eventlistener_event_received_total": {"status"},
    "eventlistener_triggered_resources_total": {"kind"},
    **{
        f"eventlistener_http_duration_seconds_{part}": {"le"} for part in ("bucket", "sum", "count")
    },
}
"""What Tekton Triggers 0.37 documents of an EventListener, with labels."""

OF_TARGETS = {"namespace", "job", "instance", "pod"}
"""Labels that the Prometheus operator gives whatever it scrapes."""

VALUES = {
    ("touchstone_runs_total", "outcome"): set(OUTCOMES),
    ("touchstone_stage_duration_seconds", "outcome"): set(OUTCOMES),
    ("touchstone_gate_outcomes_total", "outcome"): set(Outcome),
    ("touchstone_interceptor_deliveries_total", "outcome"): set(interceptor_metrics.OUTCOMES),
    ("touchstone_recorder_errors_total", "what"): {"api", "store", "traces"},
    ("eventlistener_event_received_total", "status"): {"succeeded", "failed"},
}


def measured() -> dict[str, set[str]]:
    """The labels of every series that a recorder and an interceptor expose after one run."""
    recorder, interceptor = Metrics(), interceptor_metrics.Metrics()
    times = {"startTime": "2026-11-30T10:00:00Z", "completionTime": "2026-11-30T10:05:00Z"}
    conditions = [{"type": "Succeeded", "status": "True", "reason": "Succeeded", "message": ""}]
    status = {**times, "conditions": conditions}
    run = {
        "kind": "PipelineRun",
        "metadata": {"name": "r", "creationTimestamp": times["startTime"]},
        "status": status,
    }
    results = [{"name": "evidence", "value": "sha256:0"}, {"name": "outcome", "value": "passed"}]
    tasks = {
        name: {
            "kind": "TaskRun",
            "metadata": {"name": name, "labels": {"tekton.dev/pipelineTask": name}},
            "status": {**status, "results": results if name == "gate-quality" else []},
        }
        for name in ("gate-quality", "promote")
    }
    recorder.unfinished("n", [run])
    recorder.ended("n", Record(pipeline_run=run, task_runs=tasks))
    for metric in (recorder.log_bytes, recorder.unsaved, recorder.heard):
        metric.labels("n")
    recorder.errors.labels("n", "store")
    found = dict(OF_TEKTON)
    for text in (recorder.text(), interceptor.text()):
        for family in text_string_to_metric_families(text.decode()):
            for sample in family.samples:
                found.setdefault(sample.name, set()).update(sample.labels)
    return found


MEASURED = measured()


def selectors(expression: str):
    """Every selector of series in a query; raises where it is no PromQL."""

    def below(node):
        if isinstance(node, promql_parser.VectorSelector):
            yield node
        for name in ("lhs", "rhs", "expr", "param", "vector_selector", "vs"):
            if isinstance(child := getattr(node, name, None), promql_parser.Expr):
                yield from below(child)
        for child in getattr(node, "args", None) or []:
            yield from below(child)

    return list(below(promql_parser.parse(expression)))


@pytest.fixture(scope="module")
def objects(tmp_path_factory):
    here = (
        ROOT / f".{tmp_path_factory.mktemp('monitoring').name}"
    )  # kustomize takes no absolute path
    here.mkdir()
    (here / "kustomization.yaml").write_text(
        yaml.safe_dump(
            {
                "namespace": "team-voice",
                "resources": ["../tekton/overlays/s3"],
                "components": ["../tekton/components/monitoring"],
            }
        )
    )
    try:
        return built(here)
    finally:
        shutil.rmtree(here)


RULES = yaml.safe_load((TEKTON / "components/monitoring/alerts.yaml").read_text())["spec"]
ALERTS = {rule["alert"]: rule for group in RULES["groups"] for rule in group["rules"]}
DASHBOARD = json.loads((TEKTON / "components/monitoring/dashboard.json").read_text())
PANELS = {panel["title"]: panel for panel in DASHBOARD["panels"] if panel["type"] != "row"}
QUERIES = {name: [rule["expr"]] for name, rule in ALERTS.items()} | {
    title: [target["expr"].replace("$__range", "7d") for target in panel["targets"]]
    for title, panel in PANELS.items()
}


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_asks_for_series_labels_and_values_that_exist(name):
    for expression in QUERIES[name]:
        found = selectors(expression)
        assert found
        for selector in found:
            if selector.name == "up":  # of Prometheus itself
                continue
            assert selector.name in MEASURED
            for matcher in selector.matchers.matchers:
                known = MEASURED[selector.name] | OF_TARGETS
                assert matcher.name in known, (selector.name, matcher.name)
                family = re.sub(r"_(bucket|sum|count)$", "", selector.name)
                for value in matcher.value.split("|"):
                    assert value in VALUES.get((family, matcher.name), {value}), value


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_groups_by_labels_that_its_series_have(name):
    for expression in QUERIES[name]:
        grouped = {
            label.strip()
            for labels in re.findall(r"\bby \(([^)]*)\)", expression)
            for label in labels.split(",")
        }
        there = set.union(*(MEASURED.get(s.name, set()) for s in selectors(expression)))
        assert grouped <= there | OF_TARGETS


def test_a_query_of_nothing_that_is_measured_would_be_seen():
    (selector,) = selectors("sum(rate(touchstone_nothing_total[5m])) > 1")
    assert selector.name not in MEASURED
    assert {s.name for s in selectors("a offset 1h unless max_over_time(b[1d]) > c * (d)")} == {
        *("a", "b", "c", "d")
    }
    with pytest.raises(ValueError):
        selectors("sum by (namespace")


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_what_is_wrong_and_leads_to_what_to_do(name):
    alert = ALERTS[name]
    assert alert["labels"]["severity"] in {"critical", "warning", "info"}
    told = alert["annotations"]
    assert told.keys() == {"summary", "description", "runbook_url"}
    place, _, anchor = told["runbook_url"].partition("#")
    assert place.endswith(str(PAGE.relative_to(ROOT)))
    headings = re.findall(r"^### (.*)$", PAGE.read_text(), flags=re.M)
    assert anchor in {heading.lower() for heading in headings}
    kept = set(re.findall(r"\$labels\.(\w+)", str(told)))
    by = [set(re.findall(r"\w+", text)) for text in re.findall(r"\bby \(([^)]*)\)", alert["expr"])]
    there = set.union(*(MEASURED.get(s.name, set()) for s in selectors(alert["expr"])))
    assert kept <= (set.intersection(*by) if by else there | OF_TARGETS)


def test_the_page_tells_of_these_alerts_alone():
    headings = re.findall(r"^### (Touchstone\w+)$", PAGE.read_text(), flags=re.M)
    assert headings == [*ALERTS]


def test_every_series_is_explained():
    said = set(re.findall(r"`(touchstone_\w+)`", REFERENCE.read_text()))
    families = {
        re.sub(r"_(bucket|sum|count)$", "", name)
        for name in MEASURED
        if name.startswith("touchstone_") and not name.endswith("_created")
    }
    assert said == families


def test_grafana_finds_the_dashboard(objects):
    config = of_kind(objects, "ConfigMap")["touchstone-dashboard"]
    assert config["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(config["data"]["touchstone.json"]) == DASHBOARD
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    variables = {item["name"]: item for item in DASHBOARD["templating"]["list"]}
    asked = set(re.findall(r"\$\{?(\w+)", json.dumps(DASHBOARD["panels"])))
    assert asked <= {*variables, "__range"}
    for query in (item["definition"] for item in variables.values() if "definition" in item):
        series, label = re.fullmatch(r"label_values\((.*), (\w+)\)", query).groups()
        (selector,) = selectors(series)
        assert label in MEASURED[selector.name]


def test_what_is_scraped_has_a_service_a_port_and_is_let_in_to(objects):
    services = of_kind(objects, "Service") | {
        "el-touchstone": {  # as Triggers makes it of an EventListener
            "metadata": {"labels": {"eventlistener": "touchstone"}},
            "spec": {
                "selector": {"eventlistener": "touchstone"},
                "ports": [{"name": "http-metrics", "targetPort": 9000}],
            },
        }
    }
    scraped = set()
    for monitor in of_kind(objects, "ServiceMonitor").values():
        (chosen,) = [
            name
            for name, service in services.items()
            if _selects(monitor["spec"]["selector"], service["metadata"]["labels"])
        ]
        scraped.add(chosen)
        (endpoint,) = monitor["spec"]["endpoints"]
        service = services[chosen]["spec"]
        (port,) = [port for port in service["ports"] if port["name"] == endpoint["port"]]
        number = {"http": 8080}.get(port["targetPort"], port["targetPort"])
        assert any(
            _selects(policy["spec"]["podSelector"], service["selector"])
            and {"protocol": "TCP", "port": number} in rule["ports"]
            and "touchstone.dev/telemetry" in json.dumps(rule["from"])
            for policy in of_kind(objects, "NetworkPolicy").values()
            for rule in policy["spec"].get("ingress", [])
        ), chosen
    assert scraped == {"touchstone-recorder", "touchstone-interceptor", "el-touchstone"}


def _selects(selector, labels):
    return all(
        labels.get(key) == value for key, value in selector.get("matchLabels", {}).items()
    ) and all(
        labels.get(rule["key"]) in rule["values"] for rule in selector.get("matchExpressions", [])
    )


RUN, DELIVERY = "touchstone_runs_total", "touchstone_interceptor_deliveries_total"
STAGE = "touchstone_stage_duration_seconds_count"
RECEIVED = "eventlistener_event_received_total"
GATE, ERRORS = "touchstone_gate_outcomes_total", "touchstone_recorder_errors_total"
JOB = 'up{namespace="n", job="touchstone'
CASES = {
    "TouchstoneRunsFail": {
        # One breaks twice; so does another, whose third run a gate refuses; a third is well.
        f'{RUN}{{namespace="n", model="broken", outcome="failed"}}': "0x30 1x30 2x60",
        f'{RUN}{{namespace="n", model="judged", outcome="failed"}}': "0x30 1x30 2x60",
        f'{RUN}{{namespace="n", model="judged", outcome="refused"}}': "0x80 1x40",
        f'{RUN}{{namespace="n", model="well", outcome="succeeded"}}': "0x30 1x90",
    },
    "TouchstoneRunNeverEnds": {
        'touchstone_run_oldest_unfinished_seconds{namespace="n"}': "20000+60x120",
        'touchstone_run_oldest_unfinished_seconds{namespace="m"}': "0x120",
    },
    "TouchstonePromotionFails": {
        f'{STAGE}{{namespace="n", stage="promote", outcome="failed"}}': "0x90 1x30",
        f'{STAGE}{{namespace="m", stage="train", outcome="failed"}}': "0x90 1x30",
    },
    "TouchstoneGateRefusesEverything": {
        f'{GATE}{{namespace="n", model="a", gate="gate-quality", outcome="failed"}}': "0+1x120",
        f'{GATE}{{namespace="n", model="a", gate="gate-fairness", outcome="failed"}}': "0+1x120",
        f'{GATE}{{namespace="n", model="b", gate="gate-fairness", outcome="passed"}}': "0x20 1x100",
    },
    "TouchstoneDeliveriesRefused": {
        f'{DELIVERY}{{namespace="n", forge="gitlab", outcome="refused"}}': "0x100 1x20",
        f'{DELIVERY}{{namespace="n", forge="github", outcome="elsewhere"}}': "0+3x120",
    },
    "TouchstoneDeliveriesStartNothing": {
        f'{DELIVERY}{{namespace="n", forge="gitlab", outcome="started"}}': "0x100 1x20",
        f'{DELIVERY}{{namespace="m", forge="gitlab", outcome="started"}}': "0x100 1x20",
        # Of the first object that a listener creates there is no increase.
        'eventlistener_triggered_resources_total{namespace="m", kind="PipelineRun"}': "_x100 1x20",
    },
    "TouchstoneListenerFails": {
        f'{RECEIVED}{{namespace="n", job="el-touchstone", status="failed"}}': "0+1x120",
    },
    "TouchstoneDown": {
        f'{JOB}-recorder", pod="a"}}': "1x60 0x60",
        f'{JOB}-interceptor", pod="a"}}': "1x60 _x60",
        'up{namespace="n", job="el-touchstone", pod="a"}': "1x60 0x60",
        'up{namespace="n", job="el-touchstone", pod="b"}': "_x60 1x60",
    },
    "TouchstoneRecorderBehind": {'touchstone_recorder_unsaved_runs{namespace="n"}': "0x60 2x60"},
    "TouchstoneRecorderHearsNothing": {
        'touchstone_recorder_last_contact_timestamp_seconds{namespace="n"}': "0+60x60 3600x60",
    },
    "TouchstoneStoreUnreachable": {
        f'{ERRORS}{{namespace="n", what="store"}}': "0x60 0+1x60",
        f'{ERRORS}{{namespace="n", what="api"}}': "0x60 0+1x60",
    },
    "TouchstoneTracesLost": {f'{ERRORS}{{namespace="n", what="traces"}}': "0x60 0+1x60"},
}
"""Two hours of series, and below which alerts fire at their end."""

FIRING = {
    "TouchstoneRunsFail": {'namespace="n", model="broken"'},
    "TouchstoneGateRefusesEverything": {'namespace="n", gate="gate-quality"'},
    "TouchstoneDeliveriesRefused": {'namespace="n", forge="gitlab"'},
    "TouchstoneListenerFails": {'namespace="n", job="el-touchstone"'},
    "TouchstoneDown": {
        *('namespace="n", job="touchstone-recorder"', 'namespace="n", job="touchstone-interceptor"')
    },
    "TouchstoneStoreUnreachable": {'namespace="n", what="store"'},
    "TouchstoneTracesLost": {'namespace="n", what="traces"'},
}


def test_alerts_fire_when_they_are_meant_to(tmp_path):
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("got no promtool: it comes with Prometheus")
    assert CASES.keys() == ALERTS.keys()
    tests = []
    for name, series in CASES.items():
        severity = ALERTS[name]["labels"]["severity"]
        own = f'alertname="{name}", alertstate="firing", severity="{severity}"'
        samples = [
            {"labels": f"ALERTS{{{own}, {labels}}}", "value": 1}
            for labels in FIRING.get(name, {'namespace="n"'})
        ]
        question = {
            "expr": 'ALERTS{alertstate="firing"}',
            "eval_time": "118m",
            "exp_samples": samples,
        }
        given = [{"series": key, "values": values} for key, values in series.items()]
        tests.append({"interval": "1m", "input_series": given, "promql_expr_test": [question]})
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(RULES))
    (tmp_path / "tests.yaml").write_text(
        yaml.safe_dump({"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": tests})
    )
    ran = subprocess.run(
        [promtool, "test", "rules", "tests.yaml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
