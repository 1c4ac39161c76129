"""The first stages, as the pipeline starts them: a real git repository in, digests out."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from touchstone.artifacts.store import Store
from touchstone.contract.reads import STAGES
from touchstone.delivery import gitops
from touchstone.git import git
from touchstone.home import SHIPPED

YAML = """\
apiVersion: touchstone.dev/v1
kind: ModelPipeline
metadata: {name: tiny}
spec:
  entrypoint: model.py:Tiny
  data: {uri: generate}
  gates:
    quality: {checks: [{metric: accuracy, atLeast: 0.8}]}
"""


SERVE = "registry.example/serve@sha256:" + "0" * 64


def stage(name, *arguments):
    return subprocess.run(
        [sys.executable, "-P", SHIPPED / "scripts" / f"{name}.py", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        env={"PATH": "/usr/bin:/bin", "TOUCHSTONE_SERVE_IMAGE": SERVE},
    )


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "repository"
    git("init", "-q", "-b", "main", str(folder))
    git("config", "user.name", "A Person", cwd=folder)
    git("config", "user.email", "person@example.org", cwd=folder)
    (folder / "touchstone.yaml").write_text(YAML)
    (folder / "model.py").write_text("class Tiny: ...\n")
    return folder


def commit(folder):
    git("add", "-A", cwd=folder)
    git("commit", "-qm", "model", cwd=folder)
    return git("rev-parse", "HEAD", cwd=folder)


def fetch(tmp_path, folder, revision, *more):
    results = tmp_path / "results"
    return stage(
        "fetch_source",
        *more,
        f"--store=file://{tmp_path}/store",
        f"--url=file://{folder}",
        f"--revision={revision}",
        f"--result-source={results}/source",
        f"--result-commit={results}/commit",
        f"--result-model={results}/model",
        f"--result-champion={results}/champion",
        f"--result-floor={results}/floor",
    ), results


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_commit_becomes_a_tree_and_the_tree_an_image(tmp_path, repository):
    revision = commit(repository)
    process, results = fetch(tmp_path, repository, revision)
    assert process.returncode == 0, process.stderr
    assert (results / "commit").read_text() == revision
    assert (results / "model").read_text() == "tiny"
    source = (results / "source").read_text()
    tree = Store(tmp_path / "store").get(source, tmp_path / "tree")
    assert {path.name for path in tree.iterdir()} == {"touchstone.yaml", "model.py"}

    digests = set()
    for attempt in ("one", "two"):
        context = tmp_path / attempt / "context"
        process = stage(
            "build_image",
            f"--store=file://{tmp_path}/store",
            f"--source={source}",
            "--image=registry.example/tiny:1",
            f"--context={context}",
            f"--result-image-url={results}/url",
            f"--result-context={results}/context",
        )
        assert process.returncode == 0, process.stderr
        built = Store(tmp_path / "store").get((results / "context").read_text(), tmp_path / "built")
        assert contents(built) == contents(context)
        process = stage(
            "kaniko",
            f"--context=dir://{context}",
            "--dockerfile=Containerfile",
            "--destination=registry.example/tiny:1",
            f"--digest-file={results}/digest",
            "--reproducible",
        )
        assert process.returncode == 0, process.stderr
        digests.add((results / "digest").read_text())
    assert len(digests) == 1
    assert (results / "url").read_text() == "registry.example/tiny:1"
    (digest,) = digests
    layout = tmp_path / "two" / "image"
    index = json.loads((layout / "index.json").read_text())
    assert index["manifests"][0]["digest"] == digest
    manifest = json.loads((layout / "blobs/sha256" / digest.removeprefix("sha256:")).read_text())
    for blob in [manifest["config"], *manifest["layers"]]:
        path = layout / "blobs/sha256" / blob["digest"].removeprefix("sha256:")
        assert path.stat().st_size == blob["size"]


def laid_out(tmp_path, tree, *more):
    """The build context of a model repository's tree."""
    store = Store(tmp_path / "store")
    process = stage(
        "build_image",
        f"--store=file://{tmp_path}/store",
        f"--source={store.put(tree)}",
        "--image=registry.example/tiny:1",
        f"--context={tmp_path}/context",
        f"--result-image-url={tmp_path}/url",
        f"--result-context={tmp_path}/digest",
        *more,
    )
    assert process.returncode == 0, process.stderr
    return tmp_path / "context"


def test_an_image_is_made_from_the_one_that_serves_models_with_packages_as_a_layer(tmp_path):
    tree, packages = tmp_path / "tree", tmp_path / "packages"
    for folder in (tree, packages):
        folder.mkdir()
    (tree / "model.py").write_text("import frob\n")
    (tree / "README.md").write_text("of people\n")
    (packages / "frob.py").write_text("")
    (packages / "touchstone-packages.json").write_text('{"packages": []}')
    digest = Store(tmp_path / "store").put(packages)
    context = laid_out(tmp_path, tree, f"--packages={digest}")
    lines = (context / "Containerfile").read_text().splitlines()
    assert [line for line in lines if line[0] != "#"] == [
        f"FROM {SERVE}",
        "COPY model.packages /opt/model.packages",
        "COPY --chown=65532:65532 model /opt/model",
        "USER 65532",
        "WORKDIR /opt/model",
    ]
    files = {p.relative_to(context).as_posix() for p in context.rglob("*") if p.is_file()}
    found = {"model.packages/frob.py", "model.packages/touchstone-packages.json"}
    assert files == {"Containerfile", "model/model.py", *found}

    (tree / "Containerfile").write_text("FROM scratch\n")
    context = laid_out(tmp_path, tree, f"--packages={digest}")
    assert {path.name for path in context.iterdir()} == {path.name for path in tree.iterdir()}


def validated(tmp_path, results):
    """The stage validate on what fetch-source left."""
    return stage(
        "validate",
        f"--store=file://{tmp_path}/store",
        *(f"--{name}={(results / name).read_text()}" for name in ("source", "floor")),
        f"--result-data={results}/data",
    )


def test_what_is_wrong_with_touchstone_yaml_and_its_code_is_told_together(tmp_path, repository):
    (repository / "touchstone.yaml").write_text(YAML.replace("atLeast: 0.8", "atLeast: 80"))
    told = f"--result-reads={tmp_path}/reads"
    process, results = fetch(tmp_path, repository, commit(repository), told)
    assert process.returncode == 0, process.stderr
    read = json.loads((tmp_path / "reads").read_text())
    assert tuple(read) == STAGES  # else the stage packages, and so validate, would not run
    assert [name for name, digest in read.items() if digest] == ["packages"]
    process = validated(tmp_path, results)
    assert process.returncode == 4
    first, second = process.stderr[process.stderr.index("error: ") :].splitlines()
    assert first.startswith("error: touchstone.yaml:8:")
    assert "expected a threshold for accuracy in [0, 1]" in first
    assert second.startswith("touchstone.yaml:5:3: spec.entrypoint: ")
    assert "expected a subclass of touchstone.training.ModelSpec" in second
    assert not (results / "data").exists()


def test_a_touchstone_yaml_below_the_floor_is_told_both_values_before_any_data_are_fetched(
    tmp_path, repository
):
    url = tmp_path / "gitops.git"
    gitops.create(url)
    (repository / "touchstone.yaml").write_text(YAML.replace("atLeast: 0.8", "atLeast: 0.1"))
    process, results = fetch(tmp_path, repository, commit(repository), f"--gitops-url={url}")
    assert process.returncode == 0, process.stderr
    process = validated(tmp_path, results)
    assert process.returncode == 4
    place = "environments/production/environment.yaml"
    assert f"accuracy: touchstone.yaml asks >= 0.1, {place} asks >= 0.5 at least" in process.stderr
    assert f"robustness: touchstone.yaml has no spec.gates.robustness, {place}" in process.stderr


def test_an_entrypoint_that_is_not_there_is_refused(tmp_path, repository):
    (repository / "model.py").unlink()
    process, results = fetch(tmp_path, repository, commit(repository))
    assert process.returncode == 0, process.stderr
    process = validated(tmp_path, results)
    assert process.returncode == 4
    assert "touchstone.yaml:5:3: spec.entrypoint: " in process.stderr
    assert "the repository has no file model.py" in process.stderr


@pytest.mark.parametrize("revision", ["main", "--upload-pack=touch", "", "abc"])
def test_a_revision_that_could_move_is_refused(tmp_path, repository, revision):
    commit(repository)
    process, _ = fetch(tmp_path, repository, revision)
    assert process.returncode == 2
    assert "expected a full commit id" in process.stderr


def test_an_unknown_commit_is_an_environment_error(tmp_path, repository):
    commit(repository)
    process, _ = fetch(tmp_path, repository, "0" * 40)
    assert process.returncode == 3
    assert "git fetch" in process.stderr


def test_a_pushed_requirements_txt_that_is_a_link_is_refused(tmp_path, repository):
    (repository / "other.txt").write_text("")
    (repository / "requirements.txt").symlink_to("other.txt")
    process, results = fetch(tmp_path, repository, commit(repository))
    assert process.returncode == 4
    assert "requirements.txt: got a symbolic link, expected a regular file" in process.stderr
    assert not results.exists()


@pytest.mark.parametrize("target", ["../../../../../../etc/passwd", "/etc/passwd", "other.yaml"])
def test_a_pushed_touchstone_yaml_that_is_a_link_is_refused_unread(tmp_path, repository, target):
    (repository / "touchstone.yaml").rename(repository / "other.yaml")
    (repository / "touchstone.yaml").symlink_to(target)
    process, results = fetch(tmp_path, repository, commit(repository))
    assert process.returncode == 4
    assert "touchstone.yaml: got a symbolic link, expected a regular file" in process.stderr
    assert "root:" not in process.stdout + process.stderr
    assert not results.exists()


def test_a_pushed_link_out_of_the_repository_is_refused(tmp_path, repository):
    (repository / "data").symlink_to("/etc")
    process, results = fetch(tmp_path, repository, commit(repository))
    assert process.returncode == 2
    assert "is a symbolic link that leaves" in process.stderr
    assert not results.exists()


@pytest.mark.parametrize("leave", ["link", "fifo"])
def test_what_was_planted_in_a_build_context_is_in_no_image(tmp_path, leave):
    context = tmp_path / "contexts" / "one"
    context.mkdir(parents=True)
    (context / "Containerfile").write_text("FROM scratch\n")
    if leave == "link":
        (context / "x").symlink_to("/etc/passwd")
    else:
        os.mkfifo(context / "x")
    process = stage(
        "kaniko",
        f"--context=dir://{context}",
        "--dockerfile=Containerfile",
        "--destination=registry.example/tiny:1",
        f"--digest-file={tmp_path}/digest",
    )
    assert process.returncode == 3
    assert "x: got a" in process.stderr and "expected a regular file" in process.stderr
    assert not (tmp_path / "digest").exists()


def test_a_build_context_is_laid_through_no_link(tmp_path, repository):
    process, results = fetch(tmp_path, repository, commit(repository))
    (tmp_path / "outside").mkdir()
    (tmp_path / "context").symlink_to("outside")
    process = stage(
        "build_image",
        f"--store=file://{tmp_path}/store",
        f"--source={(results / 'source').read_text()}",
        "--image=registry.example/tiny:1",
        f"--context={tmp_path / 'context'}",
        f"--result-image-url={results}/url",
        f"--result-context={results}/context",
    )
    assert process.returncode == 3
    assert "got a symbolic link at context" in process.stderr
    assert not list((tmp_path / "outside").iterdir())
