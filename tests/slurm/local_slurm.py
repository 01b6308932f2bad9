"""A real Slurm on one machine, for tests: several nodes, fake GPUs, accounting off. Needs root and Debian's slurm-wlm and munge.

python tests/slurm/local_slurm.py start [--nodes 2] [--cpus 2] [--memory 8000] [--gpus 2]
python tests/slurm/local_slurm.py stop
python tests/slurm/local_slurm.py kill-node n2     SIGKILL to a node's daemon and its jobs, as when a machine dies
python tests/slurm/local_slurm.py start-node n2

`start` installs the two packages with apt-get where they are missing. All files but /etc/slurm/*.conf lie in /var/tmp/presto-slurm.
"""

import argparse
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil

HOME = Path("/var/tmp/presto-slurm")
ETC = Path("/etc/slurm")
# FILE stands for devices that exist everywhere: nothing computes on them.
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random")
CONF = """ClusterName=presto
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={home}/munge/munge.socket
CredType=cred/munge
StateSaveLocation={home}/ctld
SlurmdSpoolDir={home}/%n
SlurmctldPidFile={home}/slurmctld.pid
SlurmdPidFile={home}/%n.pid
SlurmctldLogFile={home}/slurmctld.log
SlurmdLogFile={home}/%n.log
SlurmctldPort=16817
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=2
JobAcctGatherParams=OverMemoryKill
GresTypes=gpu
AccountingStorageType=accounting_storage/none
MinJobAge=3600
KillWait=10
SlurmdTimeout=10
ReturnToService=2
SchedulerParameters=sched_interval=2,bf_interval=2
{nodes}
PartitionName=main Nodes=ALL Default=YES State=UP MaxTime=INFINITE
"""


def start(nodes: int, cpus: int, memory: int, gpus: int) -> None:
    if os.geteuid() != 0:
        sys.exit("a local Slurm needs root: its daemons start jobs for others")
    _require_ours()
    if not shutil.which("slurmctld") or not shutil.which("munged"):
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update", "-qq"], env=environment)
        subprocess.run(
            ["apt-get", "install", "-y", "-qq", "slurm-wlm", "munge"], check=True, env=environment, stdout=sys.stderr
        )
    stop()
    shutil.rmtree(HOME, ignore_errors=True)
    names = [f"n{i + 1}" for i in range(nodes)]
    for folder in ("ctld", "munge", *names):
        (HOME / folder).mkdir(parents=True)
    host = socket.gethostname().split(".")[0]
    # Each node claims what the whole machine has to give away; the machine's real cores are shared.
    sockets = [
        f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={16820 + i} CPUs={cpus} RealMemory={memory} Gres=gpu:{gpus}"
        for i, name in enumerate(names)
    ]
    ETC.mkdir(exist_ok=True)
    (ETC / "slurm.conf").write_text(CONF.format(host=host, home=HOME, nodes="\n".join(sockets)))
    files = ",".join(DEVICES[:gpus])
    (ETC / "gres.conf").write_text(f"NodeName=n[1-{nodes}] Name=gpu Count={gpus} File={files}\n" if gpus else "")
    _start_munge()
    subprocess.run(["slurmctld", "-c"], check=True)
    for name in names:
        start_node(name)
    _wait_until_idle(nodes)


def _require_ours() -> None:
    """A machine that has a Slurm of its own keeps it."""
    conf = ETC / "slurm.conf"
    if conf.exists() and "ClusterName=presto\n" not in conf.read_text():
        sys.exit(f"{conf} belongs to another Slurm: this script would overwrite it. Run it on a machine without one")


def _start_munge() -> None:
    key = HOME / "munge/munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    key.parent.chmod(0o755)
    options = ["--force", f"--key-file={key}", f"--socket={HOME}/munge/munge.socket", f"--pid-file={HOME}/munge/munged.pid"]
    logs = [f"--log-file={HOME}/munge/munged.log", f"--seed-file={HOME}/munge/munged.seed"]
    subprocess.run(["munged", *options, *logs], check=True)


def start_node(name: str) -> None:
    subprocess.run(["slurmd", "-c", "-N", name], check=True)


def kill_node(name: str) -> None:
    """SIGKILL to slurmd, to its job steps and to what they run."""
    for process in _daemons():
        if process.name() == "slurmd" and name in process.cmdline():
            process.kill()
        elif process.name() == "slurmstepd" and _node_of(process) == name:
            for child in process.children(recursive=True):
                child.kill()
            process.kill()


def _node_of(step: psutil.Process) -> str | None:
    """Name of the node that a job step runs on, from the environment of what it runs."""
    for child in step.children(recursive=True):
        try:
            return child.environ().get("SLURMD_NODENAME")
        except psutil.Error:
            continue
    return None


def stop() -> None:
    _require_ours()
    for process in _daemons():
        for child in process.children(recursive=True) if process.name() == "slurmstepd" else []:
            child.kill()
        process.kill()
    gone = time.monotonic() + 10
    while _daemons() and time.monotonic() < gone:
        time.sleep(0.1)


def _daemons() -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["name", "status"]):
        wanted = process.info["name"] in ("slurmctld", "slurmd", "slurmstepd", "munged")
        if not wanted or process.info["status"] == psutil.STATUS_ZOMBIE:
            continue
        if process.info["name"] == "munged" and not any(str(HOME) in word for word in process.cmdline()):
            continue  # somebody else's
        found.append(process)
    return found


def _wait_until_idle(nodes: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        said = subprocess.run(["sinfo", "-h", "-N", "-o", "%T"], capture_output=True, text=True)
        if said.stdout.split() == ["idle"] * nodes:
            return
        time.sleep(0.5)
    sys.exit(f"Slurm did not come up: {said.stdout}{said.stderr}; see {HOME}/*.log")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    begin = commands.add_parser("start")
    for option, default in (("nodes", 2), ("cpus", 2), ("memory", 8000), ("gpus", 2)):
        begin.add_argument(f"--{option}", type=int, default=default)
    commands.add_parser("stop")
    for command in ("kill-node", "start-node"):
        commands.add_parser(command).add_argument("name")
    arguments = parser.parse_args()
    match arguments.command:
        case "start":
            start(arguments.nodes, arguments.cpus, arguments.memory, arguments.gpus)
        case "stop":
            stop()
        case "kill-node":
            kill_node(arguments.name)
        case "start-node":
            start_node(arguments.name)
