"""How a training stage starts: in one process, or in MEMA_PROCESSES of them that train together.

How many processes there are belongs to the machine, so the command in dvc.yaml is the same for any number: it turns
itself into `accelerate launch` (GPUs) or torchrun (CPUs; `accelerate launch --cpu` starts one process, whatever it
is told) of the same module with the same options. Either may also be called by hand.
"""

import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence

import torch

from mema.runtime import parent, stage
from models.training import distributed

LAUNCHER = "MEMA_LAUNCHER"  # the launcher's process id, for those that it started


def start(main: Callable[..., None]) -> None:
    """Run the command line of a training stage, see `stage.start`, in as many processes as are asked for."""
    try:
        asked = num_processes(os.environ)
        if "RANK" in os.environ:
            _join(asked)
        elif asked and asked > 1:
            _become_launcher(asked)
    except ValueError as error:
        sys.exit(str(error))
    stage.start(main, processes=True)
    distributed.leave()


def num_processes(environment: Mapping[str, str]) -> int | None:
    """Return MEMA_PROCESSES, or None where it is not set; raises ValueError on what is no number of processes."""
    told = environment.get("MEMA_PROCESSES", "")
    if told and not (told.isdecimal() and int(told) > 0):
        raise ValueError(f"MEMA_PROCESSES: {told!r} is no number of processes; set 1 or more, or unset it")
    return int(told) if told else None


def command(num: int, num_gpus: int, module: str, arguments: Sequence[str]) -> list[str]:
    """Return what starts `num` processes of a module on this machine; raises ValueError on too few GPUs."""
    if not num_gpus:
        launcher = ["torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1"]
        launcher += ["--nproc-per-node", str(num)]
    elif num <= num_gpus:
        launcher = ["accelerate.commands.launch", "--multi_gpu", "--num_machines", "1"]
        launcher += ["--num_processes", str(num), "--main_process_port", "0"]
        launcher += ["--mixed_precision", "no", "--dynamo_backend", "no"]  # the stages do both themselves
    else:
        raise ValueError(f"MEMA_PROCESSES: {num} processes on {num_gpus} GPUs; set at most {num_gpus}")
    return [sys.executable, "-m", *launcher, "-m", module, *arguments]


def _become_launcher(num: int) -> None:
    """Replace this process, so that whoever ends it ends the launcher, and the launcher its processes."""
    specification = sys.modules["__main__"].__spec__
    assert specification is not None, "stages are run as modules: python -m tasks.<stage>"
    threads = max(1, (os.cpu_count() or 1) // num)
    environment = {"OMP_NUM_THREADS": str(threads), **os.environ, LAUNCHER: str(os.getpid())}
    arguments = command(num, torch.cuda.device_count(), specification.name, sys.argv[1:])
    os.execvpe(arguments[0], arguments, environment)


def _join(asked: int | None) -> None:
    """Take this process's place among those that a launcher started; raises ValueError where some are missing."""
    started = int(os.environ.get("WORLD_SIZE", "1"))
    if asked not in (None, started):
        raise ValueError(
            f"MEMA_PROCESSES: {asked} processes are asked for, and the launcher started {started}; "
            "unset it, or let the stage start its launcher itself"
        )
    # a launcher gives its processes sessions of their own, which no signal to its group reaches
    parent.end_with(int(os.environ.get(LAUNCHER, os.getppid())))
    if distributed.group().rank:
        logging.disable(logging.INFO)  # one process tells what happens
