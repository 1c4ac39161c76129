"""The GitOps repository through git: clone, branch, commit, push, and try again when outrun."""

from __future__ import annotations

import math
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tenacity import (
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_random_exponential,
)

from touchstone import beneath
from touchstone.errors import PlatformError
from touchstone.git import PushRejectedError, git
from trust_gates.visible import one_line

MAIN = "main"
REVIEWS = "refs/notes/touchstone-reviews"
REJECTED = "refs/touchstone/rejected"
SUPERSEDED = "refs/touchstone/superseded"
ENVIRONMENTS = "environments"
POLICY_FILE = "environment.yaml"
PEOPLE_FILE = "people.yaml"

_LOCK_SECONDS = 2.0
"""A lock that is older is no one's if no git runs there: they are held for milliseconds."""

DEFAULT_POLICY = """\
# What must hold of a release before it is served here. Only people change this file, on main;
# docs/reference/environment.md lists every key.
approvals: 1
freeze: "" # a reason, quoted: then nothing may change here
requiredGates: [quality, robustness, explainability, integrity] # fairness: its attributes below

# The floor. A touchstone.yaml may ask for more than this, never for less. Of a list within a list
# of checks or attacks, one must be there.
gates:
  confidence: 0.9
  quality:
    checks:
      - - {metric: accuracy, atLeast: 0.5}
        - {metric: balanced_accuracy, atLeast: 0.5}
        - {metric: map50, atLeast: 0.5}
        - {metric: r2, atLeast: 0.1}
    minimumSlice: 100 # at most: smaller slices are not judged
    samples: 50 # of the test split
    margin: 0.3 # of champion, where a touchstone.yaml compares with the served version
    # champion: true # every touchstone.yaml does
  robustness:
    checks:
      - - {metric: robust_accuracy, atLeast: 0.3}
        - {metric: robust_recall, atLeast: 0.3}
        - {metric: robust_map50, atLeast: 0.3}
        - {metric: robust_within_tolerance, atLeast: 0.3}
    # tolerance: 50 # at most, in the units of what your regressions predict
    epsilon: {linf: 1/255} # under no other norm; add those that you accept
    epsilonOfRange: {linf: 1/255} # of the range of the data's inputs
    attacks: [[pgd, apgd-ce], square] # each with its own effort, unless steps or queries say more
    samples: 64
    reach: 0.5 # immutable and bounds leave an attacker this share of the inputs' range
    # immutable: [age] # no other feature may be kept from an attacker
  fairness:
    checks:
      - - {metric: statistical_parity_difference, within: [-0.5, 0.5]}
        - {metric: equal_opportunity_difference, within: [-0.5, 0.5]}
        - {metric: average_abs_odds_difference, atMost: 0.5}
        - {metric: disparate_impact, within: [0.5, 2]}
        - {metric: mean_absolute_error_ratio, within: [0.5, 2]}
        - {metric: mean_squared_error_ratio, within: [0.25, 4]}
        - {metric: prediction_distribution_distance, atMost: 0.5}
    attributes: all # whatever the data declare; or names, which every model must then be judged by
    minimumGroup: 20
  explainability:
    checks:
      - {metric: faithfulness, atLeast: 0.05}
    samples: 32
    protected: all
    proxy: 0.5
  integrity:
    checks:
      - {metric: near_duplicate_rate, atMost: 0.05}
      - {metric: leaked_test_samples, atMost: 0} # beyond chance; rows of few values coincide
      - {metric: single_feature_accuracy, atMost: 0.99}
      - {metric: single_feature_r2, atMost: 0.99}
    # poisoning: {} # search the training data for backdoors
    # pinned: true # base images by digest, packages by version
"""

_PEOPLE = """\
# Who may ask for what by a comment on a pull request, as <forge>:<login>; Bitbucket Cloud's login
# is the account_id. Nobody may unless named here.
run: [{accounts}]     # /test, /retest, /cancel
review: [{accounts}]  # /approve, /hold, /unhold, of a promotion
# Who may do so by `touchstone review`: a name, and the public key that signs. Each key counts once.
keys:{keys}
# The key by which the platform signs what an account decided by a comment.
recorder: {recorder}
# Which repositories a model may come from; unless named, the one that first promoted it.
models: {{}}
"""

_README = """\
# What should be served

One folder per environment and model; only promotions change them.
"""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a commit is by."""

    name: str
    email: str

    def __str__(self) -> str:
        return one_line(f"{self.name} <{self.email}>")

    @property
    def environment(self) -> dict[str, str]:
        """The variables that make git commit as this person."""
        roles = ("AUTHOR", "COMMITTER")
        parts = (("NAME", self.name), ("EMAIL", self.email))
        return {f"GIT_{role}_{part}": value for role in roles for part, value in parts}


@dataclass(frozen=True, slots=True, kw_only=True)
class Founders:
    """Whom the people.yaml of a new repository names."""

    reviewer: str = ""
    """The first reviewer's name; empty for nobody."""
    key: str = ""
    """Their public key, as attestation.key_text gives it."""
    recorder: str = ""
    """The public key that records what accounts decide."""
    accounts: Sequence[str] = ()
    """Who may ask for runs and approve by comments, as <forge>:<login>."""

    def people(self) -> str:
        """The file's text."""
        # In lines of their own: that is how another reviewer's is added.
        keys = f'\n  "{self.reviewer}": "{self.key}"' if self.reviewer else " {}"
        recorder = f'"{self.recorder}"' if self.recorder else "null"
        accounts = ", ".join(f'"{one}"' for one in self.accounts)
        return _PEOPLE.format(keys=keys, recorder=recorder, accounts=accounts)


TOUCHSTONE = Identity("touchstone", "touchstone@localhost")
NOBODY = Founders()


def outrun() -> Retrying:
    """Ten attempts, a random pause between them, for work that ends in a push."""
    return Retrying(
        retry=retry_if_exception_type(PushRejectedError),
        stop=stop_after_attempt(10),
        wait=wait_random_exponential(multiplier=0.05, max=2),
        reraise=True,
    )


@dataclass(slots=True)
class Checkout:
    """A throw-away clone, on `main` or on nothing where the repository is still empty.

    It holds no link: where the repository has one, a file stands in its place.
    """

    path: Path
    identity: Identity = field(default=TOUCHSTONE)

    def git(self, *arguments: str, stdin: str | None = None) -> str:
        """Run git as `identity`; see touchstone.git for what it raises."""
        return git(*arguments, cwd=self.path, env=self.identity.environment, data=stdin)

    def commit_of(self, reference: str) -> str | None:
        """The commit a reference names, or None where there is no such reference."""
        try:
            return self.git("rev-parse", "--verify", "--quiet", f"{reference}^{{commit}}")
        except PlatformError:
            return None

    def read(self, reference: str, path: str) -> bytes | None:
        """A file's bytes at `reference`, or None where it does not exist there.

        Raises:
            PlatformError: something is there that cannot be read, or is no file: no policy is taken
                for absent that a failing git did not show.
        """
        done = subprocess.run(
            ["git", "cat-file", "blob", f"{reference}:{path}"], cwd=self.path, capture_output=True
        )
        if done.returncode == 0:
            return done.stdout
        if self.commit_of(reference) and self.holds(reference, path):
            said = done.stderr.decode(errors="replace").strip()
            raise PlatformError(f"{path} cannot be read: {said}")
        return None

    def holds(self, reference: str, path: str) -> bool:
        """Whether `path`, a file or a folder, exists at `reference`."""
        return bool(self.git("ls-tree", "--name-only", reference, "--", path))

    @contextmanager
    def files(self, reference: str, path: str) -> Iterator[Path]:
        """The folder `path` of `reference` as plain files, for the length of a `with` block.

        Raises:
            PlatformError: it holds something else than plain files, such as a link or a folder.
        """
        with tempfile.TemporaryDirectory(prefix="touchstone-files-") as scratch:
            folder = Path(scratch) / path
            folder.mkdir(parents=True)
            for line in filter(None, self.git("ls-tree", "-z", f"{reference}:{path}").split("\0")):
                kind, name = line.split(" ")[0], line.partition("\t")[2]
                if not kind.startswith("100"):
                    raise PlatformError(f"{path}/{name} is no plain file (mode {kind})")
                # Only fsck keeps a name such as ../x out of a tree.
                data = self.read(reference, f"{path}/{name}") or b""
                beneath.write(folder, name, data)
            yield folder

    def changed(self, base: str, tip: str) -> list[str]:
        """Paths that merging `tip` into `base` changes; of a file that it renames, both.

        Where they conflict, what `tip` changed since the two parted.
        """
        try:
            old, new = base, self.git("merge-tree", "--write-tree", base, tip)
        except PlatformError:
            old, new = self._parted(base, tip), tip
        output = self.git("diff", "--name-only", "--no-renames", "-z", old, new)
        return [path for path in output.split("\0") if path]

    def _parted(self, base: str, tip: str) -> str:
        try:
            return self.git("merge-base", base, tip)
        except PlatformError:
            return base  # nothing is common to the two: all of `tip` is a change

    def lacks(self, tip: str, commit: str) -> bool:
        """Whether `commit` is not in the history of `tip`."""
        return bool(self.git("rev-list", "-1", commit, f"^{tip}"))

    def merges_cleanly(self, base: str, tip: str) -> bool:
        """Whether `tip` could be merged into `base` without a conflict."""
        try:
            self.git("merge-tree", "--write-tree", base, tip)
        except PlatformError:
            return False
        return True

    def commit(self, message: str, trailers: Mapping[str, str]) -> str:
        """Commit everything in the work tree, whatever a .gitignore says; return the commit."""
        self.git("add", "--all", "--force")
        lines = [f"{name}: {one_line(value)}" for name, value in trailers.items()]
        text = message.rstrip() + "\n\n" + "\n".join(lines)
        self.git("commit", "--quiet", "--file=-", stdin=text + "\n")
        return self.git("rev-parse", "HEAD")

    def write(self, path: str, data: bytes) -> None:
        """Put a file into the work tree. Raises NotPlainError where no folder leads there."""
        beneath.write(self.path, path, data)

    def replace_folder(self, path: str, files: Mapping[str, bytes]) -> None:
        """Let the folder hold these files alone. Raises NotPlainError where it is no folder."""
        beneath.make_folder(self.path, path, mode=0o755)
        self.git("rm", "-r", "--force", "--quiet", "--ignore-unmatch", "--", path)
        for name, data in files.items():
            self.write(f"{path}/{name}", data)

    def push(self, *refspecs: str, force_with_lease: str = "") -> None:
        """Push all of `refspecs` or none of them."""
        lease = [f"--force-with-lease={force_with_lease}"] if force_with_lease else []
        try:
            self.git("push", "--quiet", "--atomic", *lease, "origin", *refspecs)
        except PushRejectedError as error:
            place = Path(self.git("remote", "get-url", "origin").removeprefix("file://"))
            if "File exists" in str(error) and place.is_dir():
                unlock(place)  # for the next attempt
            raise


@contextmanager
def clone(url: str, *, identity: Identity = TOUCHSTONE) -> Iterator[Checkout]:
    """A fresh clone with reviews and rejections; removed on leaving."""
    with tempfile.TemporaryDirectory(prefix="touchstone-gitops-") as folder:
        path = Path(folder)
        known = (f"{REVIEWS}*", f"{REJECTED}/*", f"{SUPERSEDED}/*")
        options = ["core.symlinks=false", *(f"remote.origin.fetch=+{ref}:{ref}" for ref in known)]
        git(
            *("clone", "--quiet", "--no-checkout", "--template="),
            *(f"--config={option}" for option in options),
            *("--", url, "clone"),
            cwd=path,
        )
        checkout = Checkout(path / "clone", identity)
        if checkout.commit_of(f"origin/{MAIN}"):
            checkout.git("checkout", "--quiet", "-B", MAIN, f"origin/{MAIN}")
        yield checkout


def ensure_main(
    checkout: Checkout, environments: Sequence[str], founders: Founders = NOBODY
) -> None:
    """Give an empty repository its `main`, and each new environment its policy file."""
    content = first_content(environments, founders)
    if checkout.commit_of(f"origin/{MAIN}") is None:
        checkout.git("checkout", "--quiet", "--orphan", MAIN)
        for path, text in content.items():
            checkout.write(path, text.encode())
    for policy in map(policy_of, environments):
        if not (checkout.path / policy).exists():
            checkout.write(policy, content[policy].encode())
    if checkout.git("status", "--porcelain"):
        checkout.commit("Lay out the environments: " + ", ".join(environments), {})
        checkout.push(f"HEAD:refs/heads/{MAIN}")
        checkout.git("fetch", "--quiet", "origin")


def first_content(environments: Sequence[str], founders: Founders = NOBODY) -> dict[str, str]:
    """The files of a new repository's `main`, by their path."""
    policies = {policy_of(name): DEFAULT_POLICY for name in environments}
    return {"README.md": _README, PEOPLE_FILE: founders.people(), **policies}


def create(
    path: Path,
    *,
    environments: Sequence[str] = ("staging", "production"),
    founders: Founders = NOBODY,
) -> None:
    """Make the bare GitOps repository at `path`, with its environments; existing ones are kept."""
    if not (path / "HEAD").exists():
        path.mkdir(parents=True, exist_ok=True)
        git("init", "--quiet", "--bare", f"--initial-branch={MAIN}", ".", cwd=path)
    for attempt in outrun():
        with attempt, clone(str(path.resolve())) as checkout:
            ensure_main(checkout, environments, founders)


def policy_of(environment: str) -> str:
    """Where what an environment asks of a release is said."""
    return f"{ENVIRONMENTS}/{environment}/{POLICY_FILE}"


def folder_of(environment: str, model: str) -> str:
    """Where the release of a model in an environment lies."""
    return f"{ENVIRONMENTS}/{environment}/{model}"


def unlock(repository: Path) -> None:
    """Remove the locks of references that killed gits left in a bare repository of this machine.

    Git never does, and no push gets past them. While a git runs there, all stay.
    """
    import psutil

    locks = [*repository.glob("*.lock"), *(repository / "refs").rglob("*.lock")]
    stale = [lock for lock in locks if time.time() - _changed(lock) > _LOCK_SECONDS]
    if not stale:
        return
    here = str(repository.resolve())
    for process in psutil.process_iter(["cwd"]):
        if (process.info["cwd"] or "").startswith(here):
            return
    for lock in stale:
        lock.unlink(missing_ok=True)


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return math.inf  # its git has done what it was there for


def slug(name: str) -> str:
    """A person's name as people.yaml may have it: `Rita Reviewer` as `rita-reviewer`."""
    return re.sub(r"\W+", "-", name.lower()).strip("-") or "reviewer"


def caller() -> Identity | None:
    """The person at the terminal, as `git config` knows them; None where it does not."""
    values = []
    for key in ("user.name", "user.email"):
        try:
            values.append(git("config", "--get", key))
        except PlatformError:
            return None
    return Identity(*values) if all(values) else None
