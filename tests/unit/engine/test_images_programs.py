"""A program that cannot exist without a container has a stand-in, and nothing else is replaced."""

from touchstone.engine.pod.images import stand_in_for
from touchstone.home import SHIPPED


def test_kaniko_is_built_by_our_stand_in():
    kaniko = stand_in_for("ghcr.io/osscontainertools/kaniko:v1.28.3@sha256:0")
    assert kaniko.known
    command = kaniko.command(["/kaniko/executor", "--reproducible"])
    assert command == ["python", "-P", str(SHIPPED / "scripts" / "kaniko.py"), "--reproducible"]


def test_what_our_image_holds_is_what_came_with_touchstone():
    command = ["python", "-P", "/opt/touchstone/scripts/train.py", "--store=/opt/touchstones"]
    ours = stand_in_for("ghcr.io/touchstone-ml/touchstone:0.1.0").command(command)
    assert ours == [
        "python",
        "-P",
        str(SHIPPED / "scripts" / "train.py"),
        "--store=/opt/touchstones",
    ]
    assert stand_in_for("python:3.12").shipped, "an image that our environment stands for"
    assert stand_in_for("bash:5").command(command) == command


def test_the_command_of_another_image_stays_as_it_is():
    assert stand_in_for("bash:5").command(["/kaniko/executor", "x"]) == ["/kaniko/executor", "x"]
