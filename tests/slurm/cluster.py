"""A real Slurm of one node, from Debian's packages slurm-wlm and munge, in a temporary folder; nothing is installed.

python -m tests.slurm.cluster start FOLDER     prints the line to give to a shell: export SLURM_CONF=...
python -m tests.slurm.cluster stop FOLDER
"""

import os
import platform
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

CONF = """
ClusterName=bench
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=2,batch_sched_delay=0
MinJobAge=300
KillWait=5
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=bench Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


class NoSlurm(Exception):
    """Slurm cannot be started here; the message says why."""


def start(folder: Path) -> str:
    """Start munged, slurmctld and slurmd; the path of the configuration, for SLURM_CONF. Raises NoSlurm."""
    if missing := [name for name in ("munged", "slurmctld", "slurmd", "sbatch") if _program(name) is None]:
        raise NoSlurm(f"{', '.join(missing)} not found; on Debian: apt install slurm-wlm munge")
    if os.getuid() != 0:
        raise NoSlurm("slurmd needs root")
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)  # munged refuses a folder that others may write to
    conf = folder / "slurm.conf"
    words = {"host": platform.node().split(".")[0], "user": "root", "cpus": os.cpu_count(), "ports": _ports(2)}
    conf.write_text(CONF.format(folder=folder, **words))
    _start_munge(folder)
    for daemon in ("slurmctld", "slurmd"):
        _run([_program(daemon), "-f", str(conf)], conf, f"{daemon} does not start")
    _wait_for_the_node(conf, folder)
    return str(conf)


def stop(folder: Path) -> None:
    """End the daemons by their own pid files, the jobs first."""
    for name in ("slurmd.pid", "slurmctld.pid", "munge.pid"):
        path = folder / name
        try:
            os.kill(int(path.read_text()), signal.SIGTERM)
        except (OSError, ValueError):
            continue
        until = time.monotonic() + 10
        while path.exists() and time.monotonic() < until:
            time.sleep(0.05)


def _start_munge(folder: Path) -> None:
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o600)
    words = {"key-file": "munge.key", "socket": "munge.socket", "pid-file": "munge.pid"}
    words |= {"log-file": "munge.log", "seed-file": "munge.seed"}
    options = [f"--{option}={folder / name}" for option, name in words.items()]
    _run([_program("munged"), "--force", *options], folder / "slurm.conf", "munged does not start")


def _wait_for_the_node(conf: Path, folder: Path) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        shown = subprocess.run(
            ["sinfo", "-h", "-o", "%T"], env=os.environ | {"SLURM_CONF": str(conf)}, capture_output=True, text=True
        )
        if shown.stdout.strip() == "idle":
            return
        time.sleep(0.2)
    log = folder / "slurmd.log"
    words = log.read_text()[-500:] if log.exists() else ""
    raise NoSlurm(f"the node does not become idle: {shown.stdout}{shown.stderr}{words}")


def _run(command: list[str | None], conf: Path, complaint: str) -> None:
    environment = os.environ | {"SLURM_CONF": str(conf)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)  # type: ignore[arg-type]
    if done.returncode:
        raise NoSlurm(f"{complaint}: {done.stderr.strip()[-300:]}")


def _program(name: str) -> str | None:
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def _ports(count: int) -> list[int]:
    """Ports that are free now."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def main() -> None:
    if len(sys.argv) != 3 or sys.argv[1] not in ("start", "stop"):
        sys.exit(__doc__)
    folder = Path(sys.argv[2]).resolve()
    if sys.argv[1] == "stop":
        stop(folder)
        return
    try:
        sys.stdout.write(f"export SLURM_CONF={start(folder)}\n")
    except NoSlurm as error:
        stop(folder)
        sys.exit(str(error))


if __name__ == "__main__":
    main()
