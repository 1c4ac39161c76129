"""Each image has what its programs import, at the versions tested together, all of it pinned."""

import ast
import json
import re
import shutil
import subprocess
import sys
import tomllib
from functools import cache
from importlib import metadata

import kubectl
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.images.locks import LAYERS, pins, wanted
from touchstone.contract.requirements import lines
from touchstone.home import SHIPPED

VARIANTS = ("cpu", "cuda")
LOCKS = [*LAYERS, *(f"torch-{variant}" for variant in VARIANTS)]
OWN = ("touchstone", "trust_gates")
PREFIX = "ghcr.io/touchstone-ml/touchstone"
CONTAINERFILE = (SHIPPED / "Containerfile").read_text()

OWNERS = {
    module: {canonicalize_name(name) for name in names}
    for module, names in metadata.packages_distributions().items()
}
"""The distributions that bring a module."""

STARTED = {
    "toolkit": ["worker", "load_data", "load_table", "look", "download", "host"],
    "serve": ["host"],
}
"""Programs of training/ that processes of an image start by themselves."""


def _containers(node):
    """Every container that is of ours, and its command; a patch of a component is text."""
    if isinstance(node, dict):
        if str(node.get("image", "")).startswith(PREFIX) and node.get("command"):
            yield node["image"].removeprefix(PREFIX).partition(":")[0], node["command"]
        for inner in node.values():
            yield from _containers(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from _containers(inner)
    elif isinstance(node, str) and f"image: {PREFIX}" in node:
        yield from _containers(yaml.safe_load(node))


def _programs():
    """Files that each image runs."""
    found = {name: set() for name in ("core", "serve", "toolkit")}
    for file in sorted((SHIPPED / "tekton").rglob("*.yaml")):
        for suffix, command in _containers(list(yaml.safe_load_all(file.read_text()))):
            (path,) = [word for word in command if word.startswith("/opt/touchstone/")]
            found[suffix.removeprefix("-") or "toolkit"].add(path.removeprefix("/opt/touchstone/"))
    found["serve"].add("touchstone/delivery/predictor.py")
    for image, names in STARTED.items():
        found[image] |= {f"training/{name}.py" for name in names}
    return {image: sorted(files) for image, files in found.items()}


PROGRAMS = _programs()


def _of(image):
    """The locks of an image, with what lies below."""
    variant = "torch-cpu" if image == "core" else "torch-cuda"
    return [variant if below == "torch" else below for below in (*LAYERS[image], image)]


@cache
def _having(image):
    return {name: version for lock in _of(image) for name, version in pins(lock).items()}


def _module(name):
    base = SHIPPED / name.replace(".", "/")
    return next((p for p in (base / "__init__.py", base.with_suffix(".py")) if p.is_file()), None)


@cache
def _imports(file):
    """Modules that a file imports but for type checkers, and whether inside a function."""
    found, waiting = [], [(ast.parse(file.read_text()), False)]
    while waiting:
        node, inside = waiting.pop()
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            continue
        inside = inside or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        waiting += [(child, inside) for child in ast.iter_child_nodes(node)]
        if isinstance(node, ast.Import):
            found += [(alias.name, inside) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [(name if _module(name) else node.module, inside) for name in inner]
    return found


def _reached(image):
    """Modules of others that the image's programs may import, each with a file that does."""
    found, seen = {}, set()
    waiting = [SHIPPED / file for file in PROGRAMS[image]]
    while waiting:
        file = waiting.pop()
        if file in seen:
            continue
        seen.add(file)
        for name, inside in _imports(file):
            if inside and image == "core" and _judges(file):
                continue
            top = name.partition(".")[0]
            if top in OWN:
                parts = name.split(".")
                packages = [_module(".".join(parts[: n + 1])) for n in range(len(parts))]
                waiting += [path for path in packages if path]
            elif top not in sys.stdlib_module_names:
                found[top] = file.relative_to(SHIPPED)
    return found


def _judges(file):
    """Whether functions of a file look at a model or at data, which no stage of core does."""
    path = file.relative_to(SHIPPED).as_posix()
    return path.startswith(("trust_gates/", "touchstone/training/")) and "/report/" not in path


NEIGHBOURS = {"rootfs", "kernel", "warm"}
"""Modules of programs that are run as folders."""


@pytest.mark.parametrize("image", PROGRAMS)
def test_an_image_has_what_its_programs_import_also_inside_functions(image):
    having = {"touchstone", *_having(image)}
    missing = {
        module: str(file)
        for module, file in _reached(image).items()
        if module not in NEIGHBOURS and not OWNERS.get(module, set()) & having
    }
    assert not missing, f"add them to image-{image} in pyproject.toml, then `make locks`"


STARTS = """\
import importlib.abc, json, runpy, sys
known = json.loads(sys.argv[1])
class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] not in known and not name.startswith("_"):
            raise ModuleNotFoundError(f"No module named {name!r} in the image", name=name)
sys.meta_path.insert(0, Absent())
for file in sys.argv[2:]:
    runpy.run_path(file, run_name="program")
"""


@pytest.mark.parametrize("image", PROGRAMS)
def test_the_programs_of_an_image_start_with_its_packages_alone(image):
    having = {"touchstone", *_having(image)}
    modules = [module for module, names in OWNERS.items() if names & having]
    known = [*modules, *OWN, *sys.stdlib_module_names, *NEIGHBOURS]
    files = [str(SHIPPED / file) for file in PROGRAMS[image]]
    words = [sys.executable, "-P", "-c", STARTS, json.dumps(known), *files]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_core_has_nothing_that_runs_a_model():
    heavy = {
        "torch",
        "adversarial-robustness-toolbox",
        "aif360",
        "scikit-learn",
        "kserve",
        "pandas",
    }
    assert not heavy & set(_having("core"))


def test_gates_ask_a_model_with_the_packages_that_serve_it():
    assert _having("serve").items() <= _having("toolkit").items()


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_has_the_versions_that_were_tested_together(lock):
    tested = pins("")
    others = {name: v for name, v in pins(lock).items() if tested.get(name, v) != v}
    assert not others
    unknown = set(pins(lock)) - set(tested)
    assert not {name for name in unknown if not re.match("torch$|triton$|nvidia-|cuda-", name)}


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_pins_every_package_by_the_hash_of_each_wheel(lock):
    for number, line in lines((SHIPPED / f"requirements-{lock}.lock").read_text()):
        pinned = r"[a-z0-9-]+==[^\s*]+( --hash=sha256:[0-9a-f]{64})+"
        assert re.fullmatch(pinned, re.sub(r"\s+", " ", line)), f"line {number}: {line}"


@pytest.mark.parametrize("group", LAYERS)
def test_a_lock_has_all_that_is_wanted_and_all_that_this_needs(group):
    having = _having(group)
    asked = [Requirement(one) for one in wanted(group)]
    for one in asked:
        assert one.specifier.contains(having[canonicalize_name(one.name)].partition("+")[0])
    extras = {canonicalize_name(one.name): one.extras for one in asked}
    found = {canonicalize_name(one.metadata["Name"]): one for one in metadata.distributions()}
    for name in set(having) & set(found):
        for text in found[name].requires or ():
            need = Requirement(text)
            asked_for = ("", *extras.get(name, ()))
            if need.marker and not any(need.marker.evaluate({"extra": of}) for of in asked_for):
                continue
            if re.match("nvidia|cuda|triton", need.name):
                continue  # of PyTorch's build for them, which may not be the one here
            got = having.get(canonicalize_name(need.name))
            assert got, f"{name} needs {need}, `make locks` writes it"
            assert need.specifier.contains(got.partition("+")[0], prereleases=True)


def test_both_builds_of_pytorch_are_of_the_version_that_setup_installs():
    (setup,) = re.findall(r"^TORCH +:= torch==(\S+)$", (SHIPPED / "Makefile").read_text(), re.M)
    for variant in VARIANTS:
        assert pins(f"torch-{variant}")["torch"].partition("+")[0] == setup
    assert f"torch=={setup}" in wanted("serve")


def test_the_images_are_built_from_locks_alone_and_run_as_nobody():
    assert re.findall(r"^ARG BASE=\S+@sha256:[0-9a-f]{64}$", CONTAINERFILE, re.M)
    for stage in ("core", "serve", "toolkit"):
        (body,) = re.findall(rf"^FROM \S+ AS {stage}$(.*?)(?=^FROM|\Z)", CONTAINERFILE, re.M | re.S)
        assert "USER 65532:65532" in body
    installs = re.findall(r"^RUN add-wheels (.*)$", CONTAINERFILE, re.M)
    assert installs
    for one in installs:
        assert one.startswith(("--require-hashes ", "--no-index "))


def test_a_base_image_is_named_once():
    stages = {*re.findall(r" AS (\S+)$", CONTAINERFILE, re.M)}
    taken = set(re.findall(r"^FROM (\S+)", CONTAINERFILE, re.M)) - stages
    assert taken == {"${BASE}"}


def test_the_version_is_the_same_everywhere():
    project = tomllib.loads((SHIPPED / "pyproject.toml").read_text())["project"]
    texts = [file.read_text() for file in (SHIPPED / "tekton").rglob("*.yaml")]
    tags = {tag for text in texts for tag in re.findall(rf"{PREFIX}[\w-]*:([\w.-]+)", text)}
    assert tags == {project["version"]}


def test_one_component_names_every_image_also_that_which_models_are_made_from(tmp_path):
    component = SHIPPED / "tekton" / "components" / "images"
    shutil.copytree(SHIPPED / "tekton", tmp_path / "tekton")
    shutil.copytree(component, tmp_path / "images")
    digest = "sha256:" + "0" * 64
    file = tmp_path / "images" / "kustomization.yaml"
    named = yaml.safe_load(file.read_text())
    for image in named["images"]:
        del image["newTag"]
        image["digest"] = digest
    file.write_text(yaml.safe_dump(named))
    (tmp_path / "kustomization.yaml").write_text(
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"
        "resources: [tekton/overlays/minimal]\ncomponents: [images]\n"
    )
    text = json.dumps(kubectl.built(tmp_path))
    names = {image["name"] for image in named["images"]}
    found = set(
        re.findall(r'"((?:ghcr\.io/touchstone-ml/|ghcr\.io/osscontainertools/)[^"]+)"', text)
    )
    assert found == {f"{name}@{digest}" for name in names}
