"""The launchers: their syntax, what they start, and what they do after a preemption."""

import os
import stat
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

LAUNCH = Path(__file__).resolve().parents[2] / "experiments" / "launch"
SCRIPTS = sorted(LAUNCH.glob("*.sh"))
RUN = ["cheetah_vel", "--out", "/shared/a run"]


def started(script: str, tmp_path: Path, commands: dict[str, str], **variables: str) -> Any:
    """A launcher's end, with commands in place of a cluster's; what they were given, in order."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, body in commands.items():
        command = folder / name
        command.write_text(f'#!/bin/bash\necho "{name}|$*" >> {tmp_path}/calls\n{body}\n')
        command.chmod(command.stat().st_mode | stat.S_IXUSR)
    environment = {"PATH": f"{folder}:{os.environ['PATH']}", **variables}
    done = subprocess.run(
        [LAUNCH / script, *RUN], env=environment, capture_output=True, text=True, timeout=60
    )
    calls = tmp_path / "calls"
    return done, calls.read_text().splitlines() if calls.exists() else []


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_shell(script: Path) -> None:
    shell = script.read_text().splitlines()[0].removeprefix("#!")
    checked = subprocess.run([shell, "-n", script], capture_output=True, text=True)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert os.access(script, os.X_OK)


def test_bare_machines_start_one_process_each(tmp_path: Path) -> None:
    named = {
        "METARL_COORDINATOR": "10.0.0.1:8476",
        "METARL_NUM_PROCESSES": "2",
        "METARL_PROCESS_ID": "1",
    }
    done, calls = started("bare.sh", tmp_path, {"metarl": "exit 75"}, **named)
    assert done.returncode == 75
    assert calls == ["metarl|supervise -- metarl train cheetah_vel --out /shared/a run"]


def test_a_bare_machine_without_a_name_is_refused(tmp_path: Path) -> None:
    named = {"METARL_COORDINATOR": "10.0.0.1:8476", "METARL_NUM_PROCESSES": "2"}
    done, calls = started("bare.sh", tmp_path, {"metarl": ""}, **named)
    assert done.returncode != 0
    assert "METARL_PROCESS_ID: is not set; give the number of this machine" in done.stderr
    assert calls == []


@pytest.mark.parametrize(("code", "queues"), [(0, False), (2, False), (75, True), (137, False)])
def test_slurm_queues_again_what_can_go_on(tmp_path: Path, code: int, queues: bool) -> None:
    commands = {"srun": f"exit {code}", "scontrol": "", "metarl": ""}
    variables = {"SLURM_JOB_ID": "17", "SLURM_CPUS_PER_TASK": "8"}
    done, calls = started("slurm.sh", tmp_path, commands, **variables)
    assert done.returncode == code
    run = "metarl supervise -- metarl train cheetah_vel --out /shared/a run"
    assert calls[0] == f"srun|--cpus-per-task=8 {run}"
    assert calls[1:] == ["scontrol|requeue 17"] * queues


def test_slurm_is_told_to_signal_and_to_queue_again() -> None:
    options = [x for x in (LAUNCH / "slurm.sh").read_text().splitlines() if x.startswith("#SBATCH")]
    assert "#SBATCH --requeue" in options
    assert "#SBATCH --signal=TERM@600" in options
    assert "#SBATCH --open-mode=append" in options


def test_a_slice_that_is_preempted_is_waited_for(tmp_path: Path) -> None:
    """Not ready, ready, lost; ready, stopped; ready, finished."""
    gcloud = (
        f"n=$(wc -l < {tmp_path}/calls)\n"
        'case "$4:$n" in\n'
        "  describe:1) echo PREEMPTED;;\n"
        "  describe:*) echo READY;;\n"
        "  ssh:3) exit 255;;\n"
        "  ssh:5) exit 75;;\n"
        "esac"
    )
    variables = {"TPU": "slice", "ZONE": "zone", "PAUSE": "0"}
    done, calls = started("tpu.sh", tmp_path, {"gcloud": gcloud}, **variables)
    assert done.returncode == 0, done.stderr
    assert [call.split()[3] for call in calls] == [
        *("describe", "describe", "ssh", "describe", "ssh", "describe", "ssh")
    ]
    assert "--worker=all" in calls[2]
    assert r"supervise -- metarl train cheetah_vel --out /shared/a\ run" in calls[2]


def test_a_slice_is_not_asked_again_for_bad_input(tmp_path: Path) -> None:
    gcloud = 'case "$4" in describe) echo READY;; ssh) exit 2;; esac'
    variables = {"TPU": "slice", "ZONE": "zone", "PAUSE": "0"}
    done, calls = started("tpu.sh", tmp_path, {"gcloud": gcloud}, **variables)
    assert (done.returncode, len(calls)) == (2, 2)


def fields(*required: str, **properties: Any) -> dict[str, Any]:
    """The schema of an object with these fields and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(required or properties),
        "additionalProperties": False,
    }


def listed(item: Any) -> dict[str, Any]:
    return {"type": "array", "items": item, "minItems": 1}


TEXT, COUNT = {"type": "string"}, {"type": "integer", "minimum": 1}
CONTAINER = fields(
    name=TEXT,
    image=TEXT,
    resources=fields(limits={"type": "object", "additionalProperties": COUNT}),
    ports=listed(fields(containerPort=COUNT)),
    env=listed(
        fields(
            "name",
            name=TEXT,
            value=TEXT,
            valueFrom=fields(fieldRef=fields(fieldPath=TEXT)),
        )
    ),
    volumeMounts=listed(fields(name=TEXT, mountPath=TEXT)),
    command=listed(TEXT),
    args=listed(TEXT),
)
ON_EXIT = fields(
    containerName=TEXT, operator={"enum": ["In", "NotIn"]}, values=listed({"type": "integer"})
)
POD = fields(
    restartPolicy={"enum": ["Never", "OnFailure"]},
    terminationGracePeriodSeconds=COUNT,
    containers=listed(CONTAINER),
    volumes=listed(fields(name=TEXT, persistentVolumeClaim=fields(claimName=TEXT))),
)
JOB = fields(
    parallelism=COUNT,
    completions=COUNT,
    completionMode={"enum": ["Indexed"]},
    backoffLimit={"type": "integer", "minimum": 0},
    podFailurePolicy=fields(
        rules=listed(fields(action={"enum": ["FailJob", "Ignore"]}, onExitCodes=ON_EXIT))
    ),
    template=fields(spec=POD),
)
JOB_SET = fields(
    apiVersion={"const": "jobset.x-k8s.io/v1alpha2"},
    kind={"const": "JobSet"},
    metadata=fields(name=TEXT),
    spec=fields(
        failurePolicy=fields(
            maxRestarts=COUNT,
            rules=listed(
                fields(
                    name=TEXT,
                    action={"enum": ["FailJobSet", "RestartJobSet"]},
                    onJobFailureReasons=listed(
                        {"enum": ["PodFailurePolicy", "BackoffLimitExceeded", "DeadlineExceeded"]}
                    ),
                )
            ),
        ),
        replicatedJobs=listed(fields(name=TEXT, replicas=COUNT, template=fields(spec=JOB))),
    ),
)
"""Of the fields that we use, as JobSet v1alpha2, Job v1 and Pod v1 have them: a name misspelt is
none of them."""


def job_set() -> Any:
    return yaml.safe_load((LAUNCH / "jobset.yaml").read_text())


def test_the_job_set_has_the_fields_of_one() -> None:
    jsonschema.validate(job_set(), JOB_SET)


def test_the_job_set_numbers_its_processes_as_they_are() -> None:
    made = job_set()
    name, (group,) = made["metadata"]["name"], made["spec"]["replicatedJobs"]
    job = group["template"]["spec"]
    (container,) = job["template"]["spec"]["containers"]
    variables = {entry["name"]: entry.get("value") for entry in container["env"]}
    port = container["ports"][0]["containerPort"]
    assert variables["METARL_COORDINATOR"] == f"{name}-{group['name']}-0-0.{name}:{port}"
    assert variables["METARL_NUM_PROCESSES"] == str(job["parallelism"]) == str(job["completions"])
    assert container["command"] == ["metarl", "supervise", "--", "metarl", "train"]
    assert job["podFailurePolicy"]["rules"][0]["onExitCodes"]["containerName"] == container["name"]
    (shared,) = (mount["mountPath"] for mount in container["volumeMounts"])
    out = container["args"][container["args"].index("--out") + 1]
    assert {Path(place).parent for place in (out, variables["JAX_COMPILATION_CACHE_DIR"])} == {
        Path(shared)
    }
    mounts = {mount["name"] for mount in container["volumeMounts"]}
    assert mounts == {volume["name"] for volume in job["template"]["spec"]["volumes"]}
