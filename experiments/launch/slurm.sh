#!/bin/bash
# A run under SLURM, one process for each GPU:
#
#   sbatch --nodes 4 experiments/launch/slurm.sh cheetah_vel --out /shared/runs/mine
#
# Ten minutes before its time is over, and when it is preempted, the job is sent SIGTERM: the run
# finishes its chunk of updates, saves and leaves with 75, and the job queues again, to go on from there.
# With JAX_COMPILATION_CACHE_DIR=/shared/compiled it does not compile anew.
#SBATCH --job-name=metarl
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@600
#SBATCH --requeue
#SBATCH --open-mode=append
set -u
resumable=75
code=0
srun --cpus-per-task="$SLURM_CPUS_PER_TASK" "${METARL:-metarl}" supervise -- metarl train "$@" || code=$?
if [ "$code" -eq "$resumable" ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
