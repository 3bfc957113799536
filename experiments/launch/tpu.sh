#!/bin/bash
# A run on all workers of a TPU VM slice, started from a machine with gcloud. On the workers there is
# a checkout with its environment at ~/metarl_jax, and a folder that all of them mount:
#
#   TPU=my-slice ZONE=us-central2-b experiments/launch/tpu.sh cheetah_vel --out /shared/runs/mine
#
# When the slice is preempted or repaired, this waits until it is ready again, or made anew under the
# same name, and the run goes on.
# Where only the connection broke, the lock makes the new start wait until the old one has ended.
set -u
: "${TPU:?is not set; give the name of the slice}"
: "${ZONE:?is not set; give the zone of the slice}"
pause=${PAUSE:-60}
lost=255 # what ssh says of a connection that broke; the run's own codes are lower
resumable=75
train="flock /tmp/metarl.lock .venv/bin/metarl supervise -- metarl train$(printf ' %q' "$@")"

ready() {
    state=$(gcloud compute tpus tpu-vm describe "$TPU" --zone "$ZONE" --format='value(state)') &&
        [ "$state" = READY ]
}

while true; do
    until ready; do sleep "$pause"; done
    code=0
    gcloud compute tpus tpu-vm ssh "$TPU" --zone "$ZONE" --worker=all --command "cd metarl_jax && $train" || code=$?
    if [ "$code" -ne "$lost" ] && [ "$code" -ne "$resumable" ]; then
        exit "$code"
    fi
    sleep "$pause"
done
