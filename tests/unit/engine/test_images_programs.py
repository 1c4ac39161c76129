"""A program that cannot exist without a container has a stand-in, and nothing else is replaced."""

from touchstone.engine.pod.images import stand_for


def test_kaniko_is_built_by_our_stand_in():
    kaniko = stand_for("ghcr.io/osscontainertools/kaniko:v1.28.3@sha256:0")
    assert kaniko.known
    command = kaniko.command(["/kaniko/executor", "--reproducible"])
    assert command == ["python", "-m", "scripts.kaniko", "--reproducible"]


def test_the_command_of_another_image_stays_as_it_is():
    assert stand_for("bash:5").command(["/kaniko/executor", "x"]) == ["/kaniko/executor", "x"]
