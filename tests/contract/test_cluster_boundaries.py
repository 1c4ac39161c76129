"""Who is a stage on a cluster, and whom may it speak to? Nobody, where no file says otherwise."""

import ast
import ipaddress
import json
from pathlib import Path

import grimp
import pytest
import yaml

from touchstone.events.interceptors.senders import SENDERS

ROOT = Path(__file__).parents[2]
TEKTON = ROOT / "tekton"
STARTED = ("triggers", "sources")

WITHOUT_NETWORK = {
    *("validate", "preprocess", "tune", "train", "verdict"),
    *("gate-quality", "gate-robustness", "gate-fairness", "gate-explainability", "gate-integrity"),
}
"""Every other task is named by a NetworkPolicy; a new task by one of the two."""

WITH_CREDENTIALS = {
    "fetch-source": "touchstone-source",
    "build-image": "touchstone-builder",
    "promote": "touchstone-promoter",
}
"""None of them loads a model's code; RUN of a Containerfile sees what the builder has."""


def documents(*folders):
    return [
        document
        for folder in folders
        for file in sorted((TEKTON / folder).rglob("*.yaml"))
        for document in yaml.safe_load_all(file.read_text())
        if not document.get("apiVersion", "kustomize.").startswith("kustomize.")
    ]


def runs():
    """The PipelineRuns of `model` that anything here starts, by the TriggerTemplate's name."""
    return {
        template["metadata"]["name"]: run["spec"]
        for template in documents(*STARTED)
        if template["kind"] == "TriggerTemplate"
        for run in template["spec"]["resourcetemplates"]
        if run["kind"] == "PipelineRun"
    }


ACCOUNTS = {
    document["metadata"]["name"]: document
    for document in documents("base", "triggers")
    if document["kind"] == "ServiceAccount"
}
RUNS = runs()
(PIPELINE,) = documents("pipelines")
TASKS = {task["name"]: task for task in [*PIPELINE["spec"]["tasks"], *PIPELINE["spec"]["finally"]]}
POLICIES = [document for document in documents("base") if document["kind"] == "NetworkPolicy"]


def selects(policy, task):
    """Whether the policy holds for that task's Pod, by the labels that Tekton gives it."""
    labels = {
        "tekton.dev/pipeline": PIPELINE["metadata"]["name"],
        "tekton.dev/pipelineRun": "a-run",
        "tekton.dev/pipelineTask": task,
        "tekton.dev/task": TASKS[task]["taskRef"]["name"],
    }

    def meets(rule):
        if rule["operator"] == "DoesNotExist":
            return rule["key"] not in labels
        assert rule["operator"] == "In"
        return labels.get(rule["key"]) in rule["values"]

    selector = policy["spec"]["podSelector"]
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        meets(rule) for rule in selector.get("matchExpressions", [])
    )


def reachable(task):
    """(address block, the ports) that the task's Pod may open connections to outside."""
    return [
        (peer["ipBlock"], {port["port"] for port in rule["ports"]})
        for policy in POLICIES
        if selects(policy, task)
        for rule in policy["spec"].get("egress", [])
        for peer in rule["to"]
        if "ipBlock" in peer
    ]


def may_reach(task, address, port):
    where = ipaddress.ip_address(address)
    return any(
        port in ports
        and where in ipaddress.ip_network(block["cidr"])
        and not any(where in ipaddress.ip_network(part) for part in block.get("except", []))
        for block, ports in reachable(task)
    )


def test_a_push_a_pull_request_and_a_remedy_are_what_starts_the_pipeline():
    assert set(RUNS) == {"model", "model-check", "remedy"}


@pytest.mark.parametrize("name", RUNS)
def test_a_task_that_nobody_named_has_no_token_and_no_credentials(name):
    assert RUNS[name]["taskRunTemplate"] == {
        "serviceAccountName": "touchstone-stage",
        "podTemplate": {
            "automountServiceAccountToken": False,
            "securityContext": {
                **{"runAsNonRoot": True, "runAsUser": 65532, "runAsGroup": 65532},
                # A volume that nobody wrote to belongs to root, and the stages are not.
                **{"fsGroup": 65532, "fsGroupChangePolicy": "OnRootMismatch"},
                "seccompProfile": {"type": "RuntimeDefault"},
            },
        },
    }
    assert "secrets" not in ACCOUNTS["touchstone-stage"]


@pytest.mark.parametrize("name", RUNS)
def test_only_who_fetches_builds_and_promotes_is_somebody_else(name):
    named = {}
    for spec in RUNS[name]["taskRunSpecs"]:
        assert spec.keys() == {
            "pipelineTaskName",
            "serviceAccountName",
        }  # no podTemplate of its own
        named[spec["pipelineTaskName"]] = spec["serviceAccountName"]
    expected = dict(WITH_CREDENTIALS)
    if name == "model-check":
        del expected["promote"]
    assert named == expected
    assert set(named) <= set(TASKS)


def test_a_pull_request_has_nothing_to_sign_with():
    bound = {workspace["name"]: workspace for workspace in RUNS["model-check"]["workspaces"]}
    assert bound["signing-key"] == {"name": "signing-key", "emptyDir": {}}


WITH_TOKEN = {"touchstone-requests", "touchstone-triggers", "touchstone-recorder"}
"""Who asks the Kubernetes API, and nobody else does; none of them runs a model's code."""


def test_every_account_that_a_run_names_is_defined_and_only_who_asks_the_api_gets_a_token():
    used = {
        text
        for run in RUNS.values()
        for text in [
            run["taskRunTemplate"]["serviceAccountName"],
            *(spec["serviceAccountName"] for spec in run["taskRunSpecs"]),
        ]
    }
    assert used == set(ACCOUNTS) - WITH_TOKEN - {"touchstone-interceptor"}
    for name in {*used, "touchstone-interceptor"}:
        assert ACCOUNTS[name]["automountServiceAccountToken"] is False
        assert ACCOUNTS[name].keys() <= {
            *("apiVersion", "kind", "metadata", "automountServiceAccountToken")
        }


def test_no_role_is_given_to_an_account_of_a_run():
    bound = {
        subject["name"]
        for document in documents("base", "components", *STARTED)
        if document["kind"].endswith("RoleBinding")
        for subject in document["subjects"]
    }
    assert bound == WITH_TOKEN


def test_a_secret_reaches_promote_report_track_and_fetch_data_alone():
    secret = {
        workspace["name"]
        for run in RUNS.values()
        for workspace in run["workspaces"]
        if "secret" in workspace
    }
    assert secret == {"signing-key", "forge-token", "tracker", "data-secret"}
    holders = {
        (task, workspace["workspace"])
        for task, entry in TASKS.items()
        for workspace in entry["workspaces"]
        if workspace["workspace"] in secret
    }
    assert holders == {
        ("promote", "signing-key"),
        ("report", "forge-token"),
        ("track", "tracker"),
        ("fetch-data", "data-secret"),
    }
    for task in documents("tasks"):
        for step in task["spec"]["steps"]:
            assert "secretKeyRef" not in json.dumps(step)
        assert not task["spec"].keys() & {"volumes", "sidecars"}


def test_the_keys_of_data_are_not_given_to_what_a_pull_request_starts():
    """Whoever may open one chooses what is asked for, and writes the code that is given it."""
    given = {
        name: [one["name"] for one in run["workspaces"] if one["name"] == "data-secret"]
        for name, run in RUNS.items()
    }
    assert [name for name, found in given.items() if found] == ["model", "remedy"]


def test_no_script_that_starts_a_models_code_runs_where_there_is_a_token_or_a_secret():
    graph = grimp.build_graph("touchstone", "trust_gates")
    starters = set()
    for script in (ROOT / "scripts").glob("*.py"):
        for node in ast.walk(ast.parse(script.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "touchstone":
                for name in (f"{node.module}.{alias.name}" for alias in node.names):
                    module = name if name in graph.modules else node.module
                    if "touchstone.confine" in {module, *graph.find_upstream_modules(module)}:
                        starters.add(script.stem.replace("_", "-"))
    assert starters == {"fetch-data", "gate", "packages", "train", "tune", "validate"}
    trusted = {*WITH_CREDENTIALS, "report", "track", "start-run", "pull-request-command"}
    assert not starters & {TASKS[t]["taskRef"]["name"] if t in TASKS else t for t in trusted}


def test_all_pods_of_the_namespace_lose_every_connection_that_no_policy_gives_back():
    deny, *others = POLICIES
    assert deny["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for policy in others:
        for kind in policy["spec"]["policyTypes"]:
            way, ends = {"Egress": ("egress", "to"), "Ingress": ("ingress", "from")}[kind]
            for rule in policy["spec"][way]:
                assert rule[ends]  # an absent list is everybody
                assert rule["ports"]


def test_of_every_task_it_is_decided_whether_it_has_a_network():
    given = {task for task in TASKS if any(selects(policy, task) for policy in POLICIES[1:])}
    assert given | WITHOUT_NETWORK == set(TASKS)
    assert not given & WITHOUT_NETWORK
    named = {
        task
        for policy in POLICIES
        for rule in policy["spec"]["podSelector"].get("matchExpressions", [])
        if rule["key"] == "tekton.dev/pipelineTask"
        for task in rule["values"]
    }
    assert named <= set(TASKS)


def test_the_api_is_reached_by_those_with_a_token_and_by_no_task_of_a_run():
    (policy,) = [p for p in POLICIES if p["metadata"]["name"] == "touchstone-api"]
    ((key, value),) = policy["spec"]["podSelector"]["matchLabels"].items()
    labelled = set()
    for document in documents("base", *STARTED):
        spec = document.get("spec", {})
        if document["kind"] == "EventListener":
            labels, account = document["metadata"]["labels"], spec["serviceAccountName"]
        elif document["kind"] == "Deployment":
            pod = spec["template"]
            labels, account = pod["metadata"]["labels"], pod["spec"]["serviceAccountName"]
        elif document["kind"] == "TriggerTemplate":
            (made,) = spec["resourcetemplates"]
            labels = made["metadata"]["labels"]
            account = made["spec"].get("serviceAccountName", "a run's")
        else:
            continue
        if labels.get(key) == value:
            labelled.add(account)
        else:
            assert account not in WITH_TOKEN
    assert labelled == WITH_TOKEN


@pytest.mark.parametrize("port", [22, 80, 443])
@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",  # metadata of AWS, GCP, Azure, Oracle
        "169.254.170.2",  # credentials of ECS
        "168.63.129.16",  # Azure's WireServer, at a public address
        "100.100.100.200",  # metadata of Alibaba Cloud
        "10.96.0.1",  # kubernetes.default
        "172.16.0.1",
        "192.168.0.1",
        "fd00:ec2::254",  # metadata of AWS by IPv6
        "fe80::1",
        "64:ff9b::a9fe:a9fe",  # 169.254.169.254 through NAT64
        "::ffff:169.254.169.254",
    ],
)
def test_no_task_reaches_metadata_or_the_cluster(address, port):
    assert not [task for task in TASKS if may_reach(task, address, port)]


def test_what_loads_the_models_code_reaches_the_web_to_fetch_data_and_nothing_else():
    assert may_reach("fetch-data", "140.82.121.3", 443)
    assert may_reach("fetch-data", "2606:50c0:8000::153", 443)
    assert not may_reach("fetch-data", "140.82.121.3", 22)
    assert not may_reach("fetch-data", "140.82.121.3", 25)
    assert {task for task in TASKS if may_reach(task, "140.82.121.3", 22)} == {
        "fetch-source",
        "promote",
    }


def test_every_folder_names_all_of_its_files():
    for file in TEKTON.rglob("kustomization.yaml"):
        (kustomization,) = yaml.safe_load_all(file.read_text())
        named = [*kustomization.get("resources", []), *kustomization.get("configurations", [])]
        listed = [name for name in named if name.endswith(".yaml")]
        assert len(listed) == len(set(listed))
        assert {*listed, file.name} == {one.name for one in file.parent.glob("*.yaml")}, file


SERVED = {
    document["kind"]: document
    for document in yaml.safe_load_all((TEKTON / "triggers" / "interceptor.yaml").read_text())
}


def test_the_interceptors_pod_is_nobody_and_may_run_under_pod_security_restricted():
    pod = SERVED["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["serviceAccountName"] == "touchstone-interceptor"
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"].keys() == {"requests", "limits"}
    started = [part for part in container["command"] if part.startswith("/opt/touchstone/")]
    assert (ROOT / started[0].removeprefix("/opt/touchstone/")).is_file()


def test_the_interceptor_reads_the_webhooks_secrets_and_no_other_each_where_it_looks():
    pod = SERVED["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert {
        mounted[volume["name"]]: volume["secret"]["secretName"] for volume in pod["volumes"]
    } == {f"/etc/touchstone/webhooks/{sender.held_in}": sender.held_in for sender in SENDERS}
    assert "--secrets=/etc/touchstone/webhooks" in container["args"]
    # A forge that is not connected has no Secret.
    assert all(volume["secret"]["optional"] for volume in pod["volumes"])


def test_the_interceptor_is_asked_by_the_eventlistener_alone_and_asks_nobody():
    policy = SERVED["NetworkPolicy"]["spec"]
    labels = SERVED["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    assert policy["policyTypes"] == ["Ingress", "Egress"] and "egress" not in policy
    (listener,) = [d for d in documents("triggers") if d["kind"] == "EventListener"]
    (rule,) = policy["ingress"]
    name = listener["metadata"]["name"]
    assert rule["from"] == [{"podSelector": {"matchLabels": {"eventlistener": name}}}]
    assert SERVED["Service"]["spec"]["selector"].items() <= labels.items()
    url = SERVED["Interceptor"]["spec"]["clientConfig"]["url"]
    assert url == f"http://{SERVED['Service']['metadata']['name']}"  # no namespace, port 80
    assert [port["port"] for port in SERVED["Service"]["spec"]["ports"]] == [80]
