"""What tests of delivery and requests share: a GitOps repository, and what keeps runs."""

import pytest
from control_places import ApiServer, Repository
from delivery_platform import make_platform

from touchstone.cluster.connect import Cluster
from touchstone.home import Home
from touchstone.platform.embedded import DEFINITIONS
from touchstone.requests.cluster import ClusterControl
from touchstone.requests.embedded import EmbeddedControl
from touchstone.runs.store import State


@pytest.fixture
def platform(tmp_path):
    return make_platform(tmp_path)


@pytest.fixture
def repository(tmp_path):
    return Repository(tmp_path)


@pytest.fixture
def api():
    server = ApiServer()
    yield server
    server.server.shutdown()
    server.server.server_close()


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path / "home")


@pytest.fixture
def embedded(home):
    # One file of the triggers: reading all of them takes a second.
    return EmbeddedControl(home, triggers=DEFINITIONS / "triggers" / "template.yaml")


@pytest.fixture
def cluster(api):
    from kubernetes import client

    configuration = client.Configuration(host=api.url)
    return ClusterControl(Cluster(client.ApiClient(configuration), "default"))


@pytest.fixture(params=["embedded", "cluster"])
def control(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def end(request, control):
    """Let a run of `control` end as `failed` says, as its engine would."""

    def ended(name, *, failed):
        status = {
            "startTime": "2026-11-24T10:00:00Z",
            "conditions": [
                {
                    "type": "Succeeded",
                    "status": "False" if failed else "True",
                    "reason": "Failed" if failed else "Succeeded",
                }
            ],
        }
        if isinstance(control, EmbeddedControl):
            home = request.getfixturevalue("home")
            State(home.root).save_run(name, status, done=True)
        else:
            request.getfixturevalue("api").objects["pipelineruns", name]["status"] = status

    return ended
