"""A model enters an environment only where it was asked for what that environment asks at least."""

import re
import textwrap

import pytest
import yaml
from delivery_platform import asked

from touchstone.contract import model_repo
from touchstone.delivery import environment, floors, gitops, review, scope
from touchstone.errors import ManifestError, TouchstoneError, UsageError
from touchstone.git import git
from touchstone.home import SHIPPED, Home

LOOSE = """\
apiVersion: touchstone.dev/v1
kind: ModelPipeline
metadata: {name: loose}
spec:
  entrypoint: model.py:Model
  data: {uri: generate}
  gates:
    confidence: 0.5000001
    quality: {checks: [{metric: accuracy, atLeast: 0}]}
    robustness:
      {epsilon: 0.000002, attacks: [vat, square], checks: [{metric: robust_accuracy, atLeast: 0}]}
    explainability: {proxy: 1.0, checks: [{metric: faithfulness, atLeast: -1}]}
  promote: {environments: [%s]}
"""
PRODUCTION = "environments/production/environment.yaml"
STAGING = "environments/staging/environment.yaml"
TINY = "environments/staging/tiny"


def pipeline(folder, environments="staging, production", **quality):
    text = LOOSE % environments
    if quality:
        document = yaml.safe_load(text)
        document["spec"]["gates"] = {"quality": {"checks": [{"metric": "accuracy", **quality}]}}
        text = yaml.safe_dump(document)
    (folder / "touchstone.yaml").write_text(text)
    return model_repo.load(folder)


def accuracy(at_least, more=""):
    text = f"gates: {{quality: {{checks: [{{metric: accuracy, atLeast: {at_least}}}]}}}}\n{more}"
    return text.encode()


def hold(store, asked, gitops_url):
    """As the stages do it: fetch-source resolves the floor, validate and those after hold to it."""
    floors.require(floors.load(store, floors.resolve(store, asked, gitops_url)), asked.spec.gates)


@pytest.fixture
def fresh(tmp_path):
    gitops.create(tmp_path / "fresh.git")
    return str(tmp_path / "fresh.git")


def test_a_touchstone_yaml_that_asks_for_nothing_is_refused_with_both_values(
    platform, fresh, tmp_path
):
    with pytest.raises(ManifestError) as error:
        hold(platform.store, pipeline(tmp_path), fresh)
    told = str(error.value)
    assert error.value.exit_code == 4
    for place in (STAGING, PRODUCTION):
        for line in (
            f"confidence: touchstone.yaml asks 0.5000001, {place} asks 0.9 at least",
            f"quality accuracy: touchstone.yaml asks >= 0, {place} asks >= 0.5 at least",
            f"robustness epsilon under linf: touchstone.yaml asks 2e-06, {place} asks 0.003921",
            f"robustness attacks: touchstone.yaml asks vat, square, {place} asks for pgd or apgd",
            f"explainability proxy: touchstone.yaml asks 1, {place} asks 0.5 at most",
        ):
            assert line in told


def test_the_strictest_of_all_environments_holds_though_the_first_alone_is_promoted_to(
    platform, tmp_path
):
    platform.change("main", STAGING, accuracy(0.6))
    platform.change("main", PRODUCTION, accuracy(0.8))
    with pytest.raises(ManifestError) as error:
        hold(platform.store, pipeline(tmp_path, atLeast=0.7), platform.gitops)
    line = f"quality accuracy: touchstone.yaml asks >= 0.7, {PRODUCTION} asks >= 0.8 at least"
    assert str(error.value) == f"touchstone.yaml: {line}"
    assert floors.resolve(
        platform.store, pipeline(tmp_path, "staging", atLeast=0.7), platform.gitops
    )


def test_the_floor_is_kept_by_its_digest_whatever_else_people_change(platform, tmp_path):
    platform.change("main", STAGING, accuracy(0.6))
    met = pipeline(tmp_path, atLeast=0.9)
    digest = floors.resolve(platform.store, met, platform.gitops)
    platform.change("main", STAGING, accuracy(0.6, "freeze: audit\napprovals: 3\n"))
    assert floors.resolve(platform.store, met, platform.gitops) == digest
    platform.change("main", STAGING, accuracy(0.65))
    assert floors.resolve(platform.store, met, platform.gitops) != digest
    kept = floors.load(platform.store, digest)
    with pytest.raises(ManifestError, match=r"asks >= 0\.5, .*/staging/.*>= 0\.6"):
        floors.require(kept, pipeline(tmp_path, atLeast=0.5).spec.gates)
    assert kept[PRODUCTION].required_gates == ("quality", "integrity")


def test_no_repository_and_no_floor_are_an_empty_digest(platform, tmp_path):
    for path in (STAGING, PRODUCTION):
        platform.change("main", path, b"approvals: 2\n")
    assert floors.resolve(platform.store, pipeline(tmp_path), "") == ""
    assert floors.resolve(platform.store, pipeline(tmp_path), platform.gitops) == ""
    assert floors.load(platform.store, "") == {}


def test_another_document_is_no_floor(platform):
    for document in ({}, [], {"kind": "Floor"}, {"kind": "Floor", "environments": {"x": {"a": 1}}}):
        with pytest.raises(UsageError, match="as the floor, expected a document"):
            floors.load(platform.store, platform.store.put_json(document))


def test_an_empty_repository_has_the_floor_that_it_will_be_given(platform, tmp_path):
    git("init", "--quiet", "--bare", str(tmp_path / "empty.git"))
    with pytest.raises(ManifestError, match=r"asks >= 0, environments/staging/.* asks >= 0\.5"):
        hold(platform.store, pipeline(tmp_path), str(tmp_path / "empty.git"))


def test_no_push_names_an_environment_that_people_have_not_laid_out(platform, tmp_path):
    asks = pipeline(tmp_path, "staging, mine", atLeast=1)
    with pytest.raises(ManifestError, match="has no environments/mine/environment.yaml"):
        floors.resolve(platform.store, asks, platform.gitops)
    refs = platform.git("show-ref")
    with pytest.raises(ManifestError, match="has no environments/mine/environment.yaml"):
        platform.promote(environments=("mine",))
    assert platform.git("show-ref") == refs


def test_a_floor_above_what_the_verdict_was_asked_keeps_the_promoter_from_pushing(platform):
    platform.change("main", STAGING, accuracy(0.8))
    refs = platform.git("show-ref")
    with pytest.raises(ManifestError, match=rf"asks >= 0\.55, {STAGING} asks >= 0\.8 at least"):
        platform.promote(platform.candidate(**asked()))
    assert platform.git("show-ref") == refs


def test_a_floor_that_was_raised_after_the_verdict_stops_the_merge(platform):
    platform.change("main", STAGING, accuracy(0.5))
    branch = platform.promote(platform.candidate(**asked())).branch
    platform.change("main", STAGING, accuracy(0.8))
    before = platform.git("rev-parse", "main")
    told = rf"accuracy: touchstone.yaml asks >= 0\.55, {STAGING} asks >= 0\.8 at least"
    with pytest.raises(TouchstoneError, match=told):
        platform.approve(branch)
    assert platform.git("rev-parse", "main") == before
    (open_one,) = review.open_reviews(platform.gitops, platform.keys.public)
    assert ">= 0.8 at least" in " ".join(open_one.obstacles)
    platform.change("main", STAGING, accuracy(0.55))
    assert "merged" in platform.approve(branch)


def test_evaluation_data_that_were_named_after_the_verdict_stop_the_merge(platform):
    judged, other = (f"sha256:{letter * 64}" for letter in "ab")
    policy = "gates: {evaluation: {uri: 'https://data.example/x.csv', digest: '%s'}}"
    alone = platform.promote(platform.candidate(**asked())).branch
    platform.change("main", STAGING, (policy % judged).encode())
    with pytest.raises(TouchstoneError, match=f"judged on no data of its own, .*asks for {judged}"):
        platform.approve(alone)
    candidate = platform.candidate(commit="f" * 40, **{**asked(), "evaluation": judged})
    branch = platform.promote(candidate).branch
    platform.change("main", STAGING, (policy % other).encode())
    with pytest.raises(TouchstoneError, match=f"judged on {judged}, .*asks for {other}"):
        platform.approve(branch)
    platform.change("main", STAGING, (policy % judged).encode())
    assert "merged" in platform.approve(branch)


def held(text, **changes):
    policy = environment.parse(textwrap.dedent(text), location="environment.yaml")
    return "\n".join(environment.below(policy, {**asked(), **changes}, environment="staging"))


def test_the_floor_of_a_new_repository_lets_the_examples_verdict_in():
    assert held(gitops.DEFAULT_POLICY) == ""


def test_what_was_asked_of_the_data_is_asked_again_on_entering():
    facts = asked()["facts"]
    more = {**facts, "protected": {"sex": ["f", "m"], "region": ["n", "s"]}}
    assert "for region too" in held("gates: {fairness: {attributes: all}}", facts=more)
    assert held("gates: {fairness: {attributes: all}}", facts=facts) == ""


def test_a_confidence_that_a_remedy_split_counts_as_what_it_was_before():
    """Each of two models at 97.5 % is 95 % for both together."""
    gates = {**asked()["gates"], "confidence": 0.975}
    found = held("gates: {confidence: 0.97}", gates=gates, confidence=0.95)
    assert f"confidence: touchstone.yaml asks 0.95, {STAGING} asks 0.97 at least" in found


def test_a_verdict_that_does_not_say_what_was_asked_enters_no_environment_with_a_floor():
    document = asked()
    del document["gates"]
    policy = environment.parse("gates: {confidence: 0.9}", location="environment.yaml")
    (why,) = environment.below(policy, document, environment="staging")
    assert "what its verdict says of policy and data lacks 'gates'" in why
    assert "does not fit" in held("gates: {confidence: 0.9}", gates={"charm": 1})
    assert held("approvals: 1", gates={"charm": 1}) == ""


@pytest.mark.parametrize(
    "inputs",
    [{}, {"low": 1, "high": 1}, {"low": 0, "high": 1, "bounds": {"age": 5}}, {"low": float("nan")}],
)
def test_data_described_in_no_such_way_enter_no_environment_with_a_floor(inputs):
    facts = {**asked()["facts"], "inputs": inputs}
    assert "of policy and data does not fit" in held("gates: {confidence: 0.9}", facts=facts)
    policy = environment.parse("gates: {confidence: 0.9}", location="environment.yaml")
    gates = model_repo.load(SHIPPED / "training" / "examples" / "tabular").spec.gates
    with pytest.raises(ManifestError, match="the data's description does not fit"):
        floors.require({STAGING: policy}, gates, facts)


def test_one_broken_policy_keeps_no_other_promotion_from_being_listed(platform):
    platform.promote()
    platform.change("main", STAGING, b"gates: {confidence: 2}\n")
    (one,) = review.open_reviews(platform.gitops, platform.keys.public)
    assert "gates.confidence: got 2, expected less than 1" in " ".join(one.obstacles)


def by_hand(platform, branch, *commands, data=b"approvals: 1\n"):
    """Git's own commands on a branch, as someone with push rights could give them."""
    with gitops.clone(platform.gitops) as checkout:
        checkout.git("checkout", "--quiet", "-B", "work", f"origin/{branch}")
        blob = checkout.git("hash-object", "-w", "--stdin", stdin=data.decode())
        for command in commands:
            checkout.git(*(part.replace("BLOB", blob) for part in command))
        checkout.git("commit", "--quiet", "--message=Meddle")
        checkout.push(f"+HEAD:refs/heads/{branch}")


def cacheinfo(mode, path):
    return ("update-index", "--add", "--cacheinfo", f"{mode},BLOB,{path}")


@pytest.mark.parametrize(
    "commands",
    [
        [("mv", STAGING, f"{TINY}/moved.yaml")],
        [("mv", "people.yaml", f"{TINY}/people.yaml")],
        [("rm", "--quiet", STAGING)],
        [cacheinfo("100644", "environments/Staging/environment.yaml")],
        [cacheinfo("100644", "Environments/staging/tiny/release.json")],
        [cacheinfo("100644", "environments/staging/Tiny/release.json")],
        [cacheinfo("100644", "environments/stag\ning/tiny/release.json")],
        [cacheinfo("120000", "environments/staging/link")],
        [("rm", "-r", "--quiet", TINY), cacheinfo("120000", TINY)],
        [("rm", "-r", "--quiet", TINY), cacheinfo("100644", TINY)],
        [cacheinfo("100644", ".gitmodules")],
        [cacheinfo("100644", ".gitattributes")],
        [("mv", TINY, "environments/production/tiny"), cacheinfo("100644", f"{TINY}/more")],
    ],
)
def test_a_promotion_that_touches_more_than_its_models_folder_is_shown_and_not_merged(
    platform, commands
):
    branch = platform.promote().branch
    by_hand(platform, branch, *commands)
    before = platform.git("rev-parse", "main")
    (one,) = review.open_reviews(platform.gitops, platform.keys.public)
    assert "expected only files of one" in " ".join(one.obstacles)
    with pytest.raises(TouchstoneError, match="expected only files of one"):
        platform.approve(branch)
    assert platform.git("rev-parse", "main") == before


@pytest.mark.parametrize("mode", ["120000", "160000"])
def test_a_link_or_a_submodule_within_the_folder_is_not_merged(platform, mode):
    branch = platform.promote().branch
    commit = platform.git("rev-parse", "main")
    path = f"{TINY}/verdict.json"
    change = ("update-index", "--add", "--cacheinfo", f"{mode},{commit},{path}")
    by_hand(platform, branch, cacheinfo(mode, path) if mode == "120000" else change)
    with pytest.raises(TouchstoneError, match=rf"is no plain file \(mode {mode}\)"):
        platform.approve(branch)


@pytest.mark.parametrize("name", ["..", ".", "", "A", "x" * 64])
def test_a_folder_that_is_no_label_is_no_models(name):
    with pytest.raises(TouchstoneError, match="expected only files of one"):
        scope.environment([f"environments/staging/{name}/release.json"], name)


@pytest.mark.parametrize("name", ["environment.yaml", "people.yaml"])
def test_no_model_is_called_as_a_file_of_people(platform, name):
    path = f"environments/mine/{name}/release.json"
    with gitops.clone(platform.gitops) as checkout:
        checkout.write(path, b"{}")
        checkout.commit("Promote", {})
        checkout.push(f"HEAD:refs/heads/promote/{name}/1")
    with pytest.raises(TouchstoneError, match="expected only files of one"):
        platform.approve(f"promote/{name}/1")


def test_a_release_in_an_environment_that_nobody_laid_out_is_not_merged(platform):
    branch = platform.promote().branch
    with gitops.clone(platform.gitops) as checkout:
        checkout.git("checkout", "--quiet", "-B", "work", f"origin/{branch}")
        (checkout.path / "environments/mine").mkdir()
        (checkout.path / TINY).rename(checkout.path / "environments/mine/tiny")
        checkout.commit("Move", {})
        checkout.push(f"+HEAD:refs/heads/{branch}")
    before = platform.git("rev-parse", "main")
    with pytest.raises(TouchstoneError, match="has no environments/mine/environment.yaml"):
        platform.approve(branch)
    assert platform.git("rev-parse", "main") == before


def test_a_branch_without_a_common_past_is_shown_and_not_merged(platform):
    branch = platform.promote().branch
    with gitops.clone(platform.gitops) as checkout:
        checkout.git("checkout", "--quiet", "--orphan", "alone", f"origin/{branch}")
        checkout.git("commit", "--quiet", "--message=Alone")
        checkout.push(f"+HEAD:refs/heads/{branch}")
    (one,) = review.open_reviews(platform.gitops, platform.keys.public)
    assert one.obstacles
    with pytest.raises(TouchstoneError, match="cannot be merged"):
        platform.approve(branch)


def test_what_a_merge_would_write_elsewhere_counts_where_main_moved_the_folder(platform):
    """Git follows renames: a change of one folder may end in another."""
    first = platform.promote().branch
    platform.approve(first)
    second = platform.promote(platform.candidate(commit="f" * 40, weights=b"newer")).branch
    by_hand(platform, "main", ("mv", TINY, "environments/production/tiny"))
    before = platform.git("rev-parse", "main")
    with pytest.raises(TouchstoneError, match="cannot be merged"):
        platform.approve(second)
    assert platform.git("rev-parse", "main") == before


def test_validate_holds_a_repository_to_a_floor_before_it_is_pushed(tmp_path, capsys):
    from touchstone.commands.validate import validate

    file = tmp_path / "environment.yaml"
    file.write_text(gitops.DEFAULT_POLICY)
    validate([SHIPPED / "training" / "examples" / "tabular"], floor=[file])
    assert "diabetes-progression asks for no less than" in capsys.readouterr().out
    pipeline(tmp_path)
    with pytest.raises(ManifestError, match=r"got \d+ problems, expected none"):
        validate([tmp_path], floor=[file])
    told = capsys.readouterr().out
    assert re.search(r"accuracy: touchstone.yaml asks >= 0, .*asks >= 0\.5", told)
    assert "the repository has no file model.py" in told  # and all the rest with it


def test_validate_holds_a_repository_to_the_floor_of_the_platform_that_is_here(
    tmp_path, capsys, monkeypatch
):
    from touchstone.commands.validate import validate

    home = Home(tmp_path / "home")
    monkeypatch.setenv("TOUCHSTONE_HOME", str(home.root))
    home.prepare()
    gitops.create(home.gitops_repository)
    pipeline(tmp_path, environments="production")
    with pytest.raises(ManifestError):
        validate([tmp_path])
    wanted = rf"accuracy: touchstone.yaml asks >= 0, {PRODUCTION} asks >= 0\.5"
    assert re.search(wanted, capsys.readouterr().out)
    pipeline(tmp_path, environments="mine")
    with pytest.raises(ManifestError, match="has no environments/mine/environment.yaml"):
        validate([tmp_path])
