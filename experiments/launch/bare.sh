#!/bin/sh
# One process of a run on several machines that nothing else manages. On every machine, with one
# folder that all of them mount, numbered from 0:
#
#   METARL_COORDINATOR=10.0.0.1:8476 METARL_NUM_PROCESSES=4 METARL_PROCESS_ID=0 \
#       experiments/launch/bare.sh cheetah_vel --out /shared/runs/mine
#
# A machine that restarts runs the same line again: the run goes on from its last checkpoint, on GPUs
# without compiling anew where JAX_COMPILATION_CACHE_DIR=/shared/compiled is set.
set -eu
: "${METARL_COORDINATOR:?is not set; give HOST:PORT of the first machine, which all can reach}"
: "${METARL_NUM_PROCESSES:?is not set; give the number of machines}"
: "${METARL_PROCESS_ID:?is not set; give the number of this machine, from 0}"
exec "${METARL:-metarl}" supervise -- metarl train "$@"
