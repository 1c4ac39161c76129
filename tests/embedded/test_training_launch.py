"""Real ranks: equal to one process, honest when they end, started again when one is lost."""

import ast
import contextlib
import dataclasses
import ipaddress
import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from safetensors.numpy import load_file

from touchstone import confine
from touchstone.artifacts.store import digest_bytes
from touchstone.driver import local
from touchstone.home import SHIPPED
from touchstone.training import dataset, launch, ranks
from touchstone.training.checkpoint import Checkpoint
from touchstone.training.defences import Defence
from touchstone.training.evasion import Evasion
from touchstone.training.export import with_code
from touchstone.training.load import load_spec
from touchstone.training.mitigation import Mitigation
from touchstone.training.trainer import TrainConfig

TABULAR = SHIPPED / "training" / "examples" / "tabular"
ENTRYPOINT = "model.py:Progression"


@pytest.fixture(scope="module")
def patients(tmp_path_factory):
    folder = tmp_path_factory.mktemp("patients") / "split"  # which another user may enter
    raw = load_spec(TABULAR, ENTRYPOINT).load_data("sklearn:diabetes", seed=7)
    dataset.write(folder, dataset.split(raw))
    return folder


def job(patients, folder, *, epochs):
    return launch.Job(
        source=TABULAR,
        entrypoint=ENTRYPOINT,
        dataset=patients,
        output=folder / "model",
        checkpoint=Checkpoint(path=folder / "checkpoint", training=digest_bytes(b"this one")),
        config=TrainConfig(
            epochs=epochs, seed=7, parameters={"dropout": 0.0, "learning_rate": 0.01}
        ),
    )


def start(job_file, workers):
    return subprocess.Popen(
        launch.ranks(launch.worker(job_file), workers=workers),
        env=launch.environment(),
        stdout=subprocess.PIPE,
        text=True,
    )


def run(job_file, *, workers):
    return ranks.run(launch.worker(job_file), workers=workers, env=launch.environment())


def largest_difference(left, right):
    one, two = (load_file(folder / "model" / "model.safetensors") for folder in (left, right))
    assert one.keys() == two.keys()
    return max(abs(one[name] - two[name]).max() for name in one)


@pytest.mark.long
def test_two_ranks_take_the_steps_of_one_process_with_the_whole_batch(patients, tmp_path):
    for workers in (1, 2):
        folder = tmp_path / str(workers)
        file = job(patients, folder, epochs=3).write(folder / "job.json")
        assert run(file, workers=workers) == 0
    assert largest_difference(tmp_path / "1", tmp_path / "2") < 1e-4


def ranks_of(program, *, workers=2, max_restarts=0, **env):
    return ranks.run(
        [sys.executable, "-c", "import os, signal, sys, time\n" + program],
        workers=workers,
        env={**os.environ, **env},
        max_restarts=max_restarts,
    )


KILL_ME = "os.kill(os.getpid(), signal.SIGKILL)"


@pytest.mark.parametrize(
    ("program", "code"),
    [
        ("sys.exit(77) if os.environ['RANK'] == '1' else time.sleep(60)", 77),
        ("sys.exit(143) if os.environ['RANK'] == '0' else time.sleep(60)", 143),
        (KILL_ME, 137),
        ("os.environ['RANK'] == '1' and " + KILL_ME + "; time.sleep(60)", 137),
        ("time.sleep(0.3 * int(os.environ['RANK']))", 0),
    ],
)
def test_the_code_a_rank_ended_with_is_the_launchs(program, code):
    began = time.monotonic()
    assert ranks_of(program) == code
    assert time.monotonic() - began < 20


def test_a_rank_is_told_its_place_and_one_alone_is_told_of_no_others(tmp_path):
    names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", ranks.RENDEZVOUS)
    program = (
        f"open({str(tmp_path)!r} + '/' + os.environ['RANK'], 'w').write("
        f"str([os.environ.get(name) for name in {names}]))"
    )
    assert ranks_of(program, workers=1) == 0
    assert (tmp_path / "0").read_text() == "['0', '0', '1', '1', None]"
    assert ranks_of(program) == 0
    for rank in "01":
        *place, meeting = ast.literal_eval((tmp_path / rank).read_text())
        assert place == [rank, rank, "2", "2"]
        assert not Path(meeting).parent.exists()  # it is the attempt's own, and gone with it


def test_after_a_lost_rank_all_start_again_with_a_fresh_meeting_place(tmp_path, capfd):
    program = f"""
folder, rank = {str(tmp_path)!r}, os.environ["RANK"]
with open(f"{{folder}}/{{rank}}", "a") as file:
    file.write(os.environ["{ranks.RENDEZVOUS}"] + " ")
attempts = len(open(f"{{folder}}/{{rank}}").read().split())
if attempts < 3 and rank == "1":
    os.kill(os.getpid(), signal.SIGSEGV)
if attempts < 3:
    time.sleep(60)
"""
    assert ranks_of(program, max_restarts=3) == 0
    for rank in "01":
        assert len(set((tmp_path / rank).read_text().split())) == 3
    said = capfd.readouterr().err.splitlines()
    assert said == [
        f"rank 1 was lost (SIGSEGV); all 2 start again from the last checkpoint ({n} of at most 3"
        " times)"
        for n in (1, 2)
    ]


@pytest.mark.parametrize(
    ("program", "code", "attempts"),
    [
        (KILL_ME, 137, 3),  # no more than twice again
        ("sys.exit(77)", 77, 1),  # its own word: the same again would be said again
        ("os.kill(os.getpid(), signal.SIGTERM)", 143, 1),  # somebody wants it to end
    ],
)
def test_only_what_a_signal_killed_is_tried_again_and_not_for_ever(
    tmp_path, program, code, attempts
):
    noted = f"open({str(tmp_path / 'log')!r}, 'a').write('x')\n{program}"
    assert ranks_of(noted, workers=1, max_restarts=2) == code
    assert (tmp_path / "log").read_text() == "x" * attempts


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_rank_that_leaves_its_process_group_is_ended_too():
    program = "os.setpgid(0, os.getpgid(os.getppid()))\n"
    assert ranks_of(program + "os.environ['RANK'] == '1' and sys.exit(3); time.sleep(60)") == 3


@pytest.mark.parametrize("ending", ["success", "failure", "killed launcher", "deaf to SIGTERM"])
def test_no_rank_and_nothing_a_rank_started_is_left_behind(tmp_path, ending):
    program = f"""
import os, signal, subprocess, sys, time
if {ending!r} == "deaf to SIGTERM":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen(["sleep", "60"])
open({str(tmp_path)!r} + "/" + os.environ["RANK"], "w").write(f"{{os.getpid()}} {{child.pid}}\\n")
while not all(os.path.exists({str(tmp_path)!r} + "/" + rank) for rank in "01"):
    time.sleep(0.01)
if {ending!r} == "success":
    sys.exit(0)
if {ending!r} == "failure" and os.environ["RANK"] == "1":
    sys.exit(1)
time.sleep(60)
"""
    launcher = subprocess.Popen(
        [sys.executable, "-c", "import os, sys\nfrom touchstone.training import ranks\n"
         "ranks.GRACE = 1.0\n"
         "sys.exit(ranks.run(sys.argv[1:], workers=2, env=os.environ))",
         sys.executable, "-c", program],
    )  # fmt: skip
    files = [tmp_path / rank for rank in "01"]
    until(lambda: all(file.exists() and file.read_text().endswith("\n") for file in files))
    pids = [[int(pid) for pid in file.read_text().split()] for file in files]
    leaders, children = zip(*pids, strict=True)
    if ending == "killed launcher":
        launcher.kill()
    elif ending == "deaf to SIGTERM":
        launcher.terminate()
    code = launcher.wait(20)
    assert (
        code == {"success": 0, "failure": 1, "killed launcher": -9, "deaf to SIGTERM": 143}[ending]
    )
    until(lambda: not any(alive(pid) for pid in leaders))
    if ending == "killed launcher":  # what a rank started is the engine's to sweep up then
        for pid in children:
            os.kill(pid, signal.SIGKILL)
    else:
        assert not any(alive(pid) for pid in children)


def until(true, seconds=20):
    limit = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < limit
        time.sleep(0.01)


class Touch:
    """Unpickled, it leaves a file."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def listening(pids):
    """Addresses and ports at which these processes listen, by the kernel's own tables."""
    mine = set()
    for pid in pids:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                mine.add(link.readlink().name)
    found = []
    for table, size in (("tcp", 4), ("tcp6", 16), ("udp", 4), ("udp6", 16)):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            state, local = fields[3], bytes.fromhex(fields[1].partition(":")[0])
            if f"socket:[{fields[9]}]" in mine and (state == "0A" or table.startswith("udp")):
                words = [local[at : at + 4][::-1] for at in range(0, size, 4)]
                port = int(fields[1].partition(":")[2], 16)
                found.append((ipaddress.ip_address(b"".join(words)), port))
    return found


def test_a_training_of_two_ranks_listens_on_loopback_alone(patients, tmp_path):
    file = job(patients, tmp_path, epochs=10_000).write(tmp_path / "job.json")
    with start(file, workers=2) as launcher:
        tree = psutil.Process(launcher.pid)
        for line in launcher.stdout:
            if line.startswith("epoch 2/"):
                break
        pids = [launcher.pid, *(child.pid for child in tree.children(recursive=True))]
        places = listening(pids)
        mark = tmp_path / "ran"
        for address, port in places:  # whoever connects is read by gloo, which unpickles nothing
            with socket.create_connection((str(address), port)) as stranger:
                stranger.sendall(pickle.dumps(Touch(mark)) * 100)
        for line in launcher.stdout:  # it does not disturb those who have found each other
            if line.startswith("epoch 20/"):
                break
        launcher.terminate()
        launcher.communicate(timeout=60)
    assert launcher.returncode == 143
    assert not mark.exists()
    assert len(pids) == 3
    assert len(places) == 2  # each rank's own, for the other
    assert all(address.is_loopback for address, _ in places)


def test_the_tables_of_the_kernel_show_a_socket_that_listens_elsewhere():
    with (
        socket.create_server(("0.0.0.0", 0)),
        socket.create_server(("::", 0), family=socket.AF_INET6),
    ):
        assert {str(address) for address, _ in listening([os.getpid()])} >= {"0.0.0.0", "::"}


def test_nothing_of_torch_elastic_is_imported_by_who_starts_ranks_nor_by_a_rank(patients, tmp_path):
    source = tmp_path / "repository"
    shutil.copytree(TABULAR, source)
    model = source / "model.py"
    model.write_text(
        model.read_text() + "\n    def augment(self, batch, generator):\n"
        "        import sys\n"
        "        print(sorted(n for n in sys.modules if n.startswith(\n"
        "            ('torch.distributed.elastic.rendezvous', 'torch.distributed.launcher',\n"
        "             'torch.distributed.elastic.agent'))))\n"
        "        return batch\n"
    )
    given = job(patients, tmp_path, epochs=1).model_copy(update={"source": source})
    with start(given.write(tmp_path / "job.json"), workers=2) as launcher:
        output = launcher.communicate(timeout=60)[0]
    assert launcher.returncode == 0
    assert "[]" in output and "[" not in output.replace("[]", "")
    imported = "import sys, touchstone.driver.local; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", imported]).returncode == 0


@pytest.mark.long
def test_a_rank_that_is_killed_costs_no_epoch_that_was_saved_and_changes_no_weight(
    patients, tmp_path
):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    files = {f: job(patients, f, epochs=60).write(f / "job.json") for f in (whole, broken)}
    assert run(files[whole], workers=2) == 0

    program = (
        "import sys\nfrom pathlib import Path\nfrom touchstone.training import launch, ranks\n"
        "command = launch.worker(Path(sys.argv[1]))\n"
        "env = launch.environment()\n"
        "sys.exit(ranks.run(command, workers=2, env=env, max_restarts=1))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, files[broken]], stdout=subprocess.PIPE, text=True
    ) as launcher:
        lines = []
        for line in launcher.stdout:
            lines.append(line)
            if line.startswith("epoch 20/") and sum("epoch 20/" in one for one in lines) == 1:
                children = psutil.Process(launcher.pid).children()
                [one] = [c for c in children if c.environ()["RANK"] == "1"]
                one.kill()
    assert launcher.returncode == 0
    assert sum(line.startswith("epoch 1/") for line in lines) == 1
    assert any(line.startswith("epoch 60/") for line in lines)
    assert largest_difference(whole, broken) < 1e-4


@pytest.mark.long
def test_sigterm_leaves_a_checkpoint_that_resumes_to_the_same_weights(patients, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    files = {f: job(patients, f, epochs=150).write(f / "job.json") for f in (whole, broken)}
    assert run(files[whole], workers=1) == 0

    interrupted = start(files[broken], workers=2)
    assert interrupted.stdout is not None
    for line in interrupted.stdout:
        if line.startswith("epoch 20/"):
            interrupted.send_signal(signal.SIGTERM)
            break
    rest = interrupted.communicate(timeout=60)[0]
    assert interrupted.returncode == 128 + signal.SIGTERM
    assert "epoch 150/150" not in rest
    assert (broken / "checkpoint").exists()
    assert not (broken / "model").exists()

    resumed = start(files[broken], workers=2)
    output = resumed.communicate(timeout=60)[0]
    assert resumed.returncode == 0
    assert "epoch 20/150" not in output
    assert largest_difference(whole, broken) < 1e-2


def test_a_repository_with_packages_called_as_our_folders_trains_and_is_exported(
    patients, tmp_path, monkeypatch
):
    source = tmp_path / "repository"
    for name, text in {
        "training/noise.py": "SIGMA = 0.01",
        "scripts/__init__.py": "",
        "scripts/rates.py": "RATE = 1.0",
        "model.py": (TABULAR / "model.py").read_text().replace(
            "\nSEX =", "\nfrom scripts.rates import RATE\nfrom training.noise import SIGMA\n\nSEX ="
        )
        + "\n    def augment(self, batch, generator):\n        print('noise', SIGMA * RATE)\n"
        "        return batch\n",
    }.items():  # fmt: skip
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(text)
    given = job(patients, tmp_path, epochs=1).model_copy(update={"source": source})
    with local.Trials(tmp_path) as trials:
        code, output = trials.run(given)
    assert code == 0, output
    assert "noise 0.01" in output
    again = given.model_copy(update={"output": tmp_path / "two", "checkpoint": None})
    assert local.train(again, tmp_path, workers=2) == (0, "")
    for module in [name for name in sys.modules if name.partition(".")[0] == "scripts"]:
        monkeypatch.delitem(sys.modules, module)  # other tests import ours of this name
    for name in ("model", "two"):
        spec = with_code(tmp_path / name)[0]
        assert spec.augment.__globals__["SIGMA"] == 0.01


@pytest.mark.long
def test_two_ranks_train_without_namespaces_and_reach_nobody_else(patients, tmp_path, monkeypatch):
    found = dataclasses.replace(confine.means(), namespaces=False, missing="not wanted here")
    monkeypatch.setattr(confine, "means", lambda: found)
    source = tmp_path / "repository"
    shutil.copytree(TABULAR, source)
    with socket.create_server(("127.0.0.1", 18081)):
        model = source / "model.py"
        model.write_text(model.read_text() + OUTWARDS)
        given = job(patients, tmp_path, epochs=2).model_copy(update={"source": source})
        assert local.train(given, tmp_path, workers=2) == (0, "")
    said = {path.read_text() for path in tmp_path.glob("reached-*")}
    assert said == {"PermissionError PermissionError"}
    assert not list(tmp_path.glob("touchstone-ranks-*"))


OUTWARDS = """
    def augment(self, batch, generator):
        import os, socket

        said = []
        for kind, port in ((socket.SOCK_STREAM, 18081), (socket.SOCK_DGRAM, 53)):
            try:
                socket.socket(socket.AF_INET, kind).connect(("127.0.0.1", port))
                said.append("reached")
            except OSError as error:
                said.append(type(error).__name__)
        with open(os.environ["TMPDIR"] + "/reached-" + os.environ["RANK"], "w") as file:
            file.write(" ".join(said))
        return batch
"""


@pytest.mark.long
def test_trials_run_one_after_the_other_in_one_process_and_each_has_its_own_end(tmp_path, patients):
    source = tmp_path / "source"
    source.mkdir()
    (source / "model.py").write_text((TABULAR / "model.py").read_text() + TROUBLED)
    given = job(patients, tmp_path, epochs=1).model_copy(
        update={"source": source, "output": None, "checkpoint": None}
    )

    def asked(**parameters):
        config = given.config.model_copy(update={"parameters": parameters})
        return given.model_copy(update={"config": config})

    with local.Trials(tmp_path / "work") as trials:
        found = [
            trials.run(asked(learning_rate=0.01, trouble=trouble))
            for trouble in ("none", "exit", "kill", "leave", "loop", "forge", "none")
        ]
        assert [code for code, _ in found] == [0, 7, 137, 1, 0, 1, 0], found
        (process,) = trials._idle

    assert all(local.metric(output, "val_accuracy") for _, output in (found[0], found[6]))
    assert found[0][1] == found[6][1]  # also the weights that are drawn at the start
    assert "no line's end" in found[1][1] and "ValueError: of its own" in found[3][1]
    assert process.returncode == 0


TROUBLED = """

plain = Progression.build


def build(self, parameters):
    import os, signal
    print("no line's end", end="", flush=True)
    match parameters["trouble"]:
        case "exit":
            os._exit(7)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "leave":
            raise ValueError("of its own")
        case "forge":
            print("\\n\\0" + "9" * 5000, flush=True)  # as many digits as int() refuses
        case "loop" if os.fork() == 0:
            signal.pause()
    return plain(self, parameters)


Progression.build = build
"""


def test_a_repository_that_imports_us_by_our_old_name_is_told_the_new_one(patients, tmp_path):
    (tmp_path / "model.py").write_text("from training import ModelSpec\n")
    given = job(patients, tmp_path, epochs=1).model_copy(update={"source": tmp_path})
    with local.Trials(tmp_path) as trials:
        code, output = trials.run(given)
    assert code == 1
    assert output == (
        "error: model.py:1: got `from training import ModelSpec`, "
        "expected `from touchstone.training import ModelSpec`: the package moved\n"
    )


def test_a_job_comes_back_as_it_was_written(patients, tmp_path):
    given = job(patients, tmp_path, epochs=2)
    config = given.config.model_copy(
        update={
            "mitigation": Mitigation(
                method="reject_option", protected="sex", privileged=("group 1",), favorable=1
            ),
            "defences": (Defence(method="trades", options={"norm": "l2", "steps": 3}),),
            "evasion": Evasion(on="inputs", epsilon="4/255"),
            "parameters": {"width": 4, "rate": 0.5, "kind": "4"},
        }
    )
    whole = given.model_copy(update={"config": config, "output": None})
    assert launch.Job.read(whole.write(tmp_path / "job.json")) == whole


def test_a_job_that_is_none_is_refused(tmp_path):
    (tmp_path / "job.json").write_text("{}")
    assert run(tmp_path / "job.json", workers=1) == 1
