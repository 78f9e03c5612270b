#!/usr/bin/env bash
# Trains on a Cloud TPU slice, spot or not: asks for it, installs motion_vit on all of its workers, trains, and when the
# slice is taken away asks for the next one and goes on from the last checkpoint, until the run is done.
#
#   launch/tpu_vm.sh run       best inside tmux on a small VM: it waits for as long as the run takes
#   launch/tpu_vm.sh logs      what worker 0 prints
#   launch/tpu_vm.sh stop      the run saves and ends; `run` continues
#   launch/tpu_vm.sh delete    gives the slice back. Nothing else does: a slice that waits is paid for
#
# Edit: the settings below, or set them in the environment. Needed: gcloud with a project and the TPU API, quota for
#       ACCELERATOR_TYPE in ZONE (spot quota for spot slices), a bucket in the same region made with
#         gcloud storage buckets create gs://BUCKET --location=REGION \
#           --uniform-bucket-level-access --enable-hierarchical-namespace
#       and the data in it. A checkpoint becomes whole by renaming a folder, which only a bucket with hierarchical
#       namespace does in one piece. It is mounted as /mnt/bucket on every worker.
# Follow: `logs`; gs://BUCKET/WORKDIR/metrics.jsonl and tensorboard/ hold the curves.
#
# Not run on Google Cloud yet: tests check the syntax and, with a stand-in for gcloud, what happens after which status.
#
# Exit status of `run`: 0 done; 75 stopped by `stop`, and `run` continues; otherwise that of the training: 2 a mistake
# of the user, 1 a lost peer or another error, 134 aborted by JAX, 255 unknown, as after a lost connection or a failed
# installation; 1 also if there is no slice to be had.
set -euo pipefail
cd "$(dirname "$0")/.."

NAME=${NAME:-motion-vit}                            # of the queued resource and of its node
ZONE=${ZONE:-us-east5-b}
ACCELERATOR_TYPE=${ACCELERATOR_TYPE:-v6e-16}        # v5litepod-16, v5p-16 (8 chips: v5p counts cores), v6e-16 ...
RUNTIME_VERSION=${RUNTIME_VERSION:-v2-alpha-tpuv6e} # v2-alpha-tpuv5-lite, v2-alpha-tpuv5, v2-alpha-tpuv6e
SPOT=${SPOT:-yes}                                   # "" for a slice that is not taken away
BUCKET=${BUCKET:-my-bucket}
CONFIG=${CONFIG:-configs/ssv1_uniformer_emim_s16.py}
WORKDIR=${WORKDIR:-runs/ssv1_s16} # in the bucket
# More fields of the recipe; paths of data in the bucket begin with /mnt/bucket.
OVERRIDES=${OVERRIDES---config.data.train=/mnt/bucket/data/ssv1 --config.data.validation=/mnt/bucket/data/ssv1}
POLL_SECONDS=${POLL_SECONDS:-60}
# Starts in a row that end with an error and leave no newer checkpoint; errors of Google Cloud until there is a slice.
MOST_FAILURES=${MOST_FAILURES:-5}

readonly STOPPED=75
readonly USER_ERROR=2

# A text as one word of a command that a shell on a worker reads.
quoted() { printf "'%s'" "${1//\'/\'\\\'\'}"; }

log() { echo "tpu_vm.sh $(date '+%F %T'): $*" >&2; }

# A field of the queued resource.
describe_resource() {
  gcloud compute tpus queued-resources describe "$NAME" --zone="$ZONE" --format="value($1)" 2>&1
}

# ACTIVE, SUSPENDED ...; MISSING if there is none, UNKNOWN if Google Cloud does not say.
resource_state() {
  local answer
  if answer=$(describe_resource state.state); then
    tail -n 1 <<<"$answer"
  elif [[ $answer == *NOT_FOUND* ]]; then
    echo MISSING
  else
    log "$answer"
    echo UNKNOWN
  fi
}

# Runs a command on workers ("all" or a number) of the slice.
on_workers() {
  gcloud compute tpus tpu-vm ssh "$NAME" --zone="$ZONE" --worker="$1" --command="$2"
}

delete_resource() {
  gcloud compute tpus queued-resources delete "$NAME" --zone="$ZONE" --force --quiet
}

create_resource() {
  log "asks for ${SPOT:+a spot }$ACCELERATOR_TYPE in $ZONE"
  gcloud compute tpus queued-resources create "$NAME" --node-id="$NAME" --zone="$ZONE" \
    --accelerator-type="$ACCELERATOR_TYPE" --runtime-version="$RUNTIME_VERSION" ${SPOT:+--spot} \
    --scopes=https://www.googleapis.com/auth/cloud-platform
}

# Returns when there is an active slice, or with status 1 after too many errors. A queued resource whose slice was taken
# away never gets another one.
wait_for_slice() {
  local state last="" refused=0
  while state=$(resource_state) && [[ $state != ACTIVE ]]; do
    [[ $state == "$last" ]] || log "state of $NAME: $state"
    last=$state
    case $state in
      MISSING) create_resource || refused=$((refused + 1)) ;;
      SUSPENDED) delete_resource || refused=$((refused + 1)) ;;
      FAILED)
        log "$(describe_resource state)" # with the reason
        refused=$((refused + 1))
        delete_resource || true
        ;;
    esac
    if ((refused >= MOST_FAILURES)); then
      log "$refused errors of Google Cloud, and no slice; see above"
      return 1
    fi
    sleep "$POLL_SECONDS"
  done
}

# Installs what is committed of this checkout. The TPU images have Python 3.10, so uv brings 3.11.
install_on_workers() {
  local archive
  archive=$(mktemp -d)/motion_vit.tar.gz
  git archive --format=tar.gz --output="$archive" HEAD || return
  gcloud compute tpus tpu-vm scp "$archive" "$NAME:motion_vit.tar.gz" --zone="$ZONE" --worker=all || return
  rm -r "$(dirname "$archive")"
  on_workers all "set -e
    mkdir -p motion_vit && tar -xzf motion_vit.tar.gz -C motion_vit && cd motion_vit
    command -v ~/.local/bin/uv >/dev/null || curl -LsSf https://astral.sh/uv/install.sh | sh
    ~/.local/bin/uv venv --quiet --allow-existing --python 3.11 .venv
    ~/.local/bin/uv pip install --quiet --python .venv --constraint constraints.txt '.[tpu]'
    if ! command -v gcsfuse >/dev/null; then
      key=/usr/share/keyrings/cloud.google.asc
      curl -s https://packages.cloud.google.com/apt/doc/apt-key.gpg | sudo tee \$key >/dev/null
      echo \"deb [signed-by=\$key] https://packages.cloud.google.com/apt gcsfuse-\$(lsb_release -cs) main\" |
        sudo tee /etc/apt/sources.list.d/gcsfuse.list >/dev/null
      sudo apt-get -qq update && sudo apt-get -qq install -y gcsfuse
    fi
    sudo mkdir -p /mnt/bucket && sudo chown \"\$USER\" /mnt/bucket
    mountpoint -q /mnt/bucket || gcsfuse --implicit-dirs $(quoted "$BUCKET") /mnt/bucket"
}

# The newest whole checkpoint; nothing if there is none, if the bucket is not mounted or if the worker does not answer.
latest_step() {
  on_workers 0 "ls $(quoted "/mnt/bucket/$WORKDIR/checkpoints") 2>/dev/null" |
    grep -xE '[0-9]+' | sort -n | tail -n 1 || true
}

# Trains on all workers and prints the exit status of each. The run does not depend on the connection, as it writes to
# train.log. A machine that shuts down makes the run stop as well: 75 is for the command `stop` alone. Where a run is
# still going on whose connection was lost, this waits for it: how it ended is what the next start will find out.
train() {
  on_workers all "cd motion_vit
    if pgrep --pidfile train.pid --full 'motion-vit train' >/dev/null 2>&1; then
      tail --pid=\"\$(cat train.pid)\" -f /dev/null
    else
      rm -f stop
      JAX_PLATFORMS=tpu,cpu nohup .venv/bin/motion-vit train \
        --config $(quoted "$CONFIG") --workdir $(quoted "/mnt/bucket/$WORKDIR") $OVERRIDES </dev/null >>train.log 2>&1 &
      echo \$! >train.pid
      wait \$! && status=0 || status=\$?
      test \$status != $STOPPED || test -e stop || status=255
      echo worker status \$status
    fi" | sed -n 's/.*worker status \([0-9]*\).*/\1/p'
}

# One status from those of all workers: a user's mistake before other errors, an error before a stop, a stop before
# success; 255, which is ssh's own for a lost connection, if there is none.
summarize() {
  local error
  if grep -qx "$USER_ERROR" <<<"$1"; then
    echo "$USER_ERROR"
  elif error=$(grep -vxE "0|$STOPPED|" <<<"$1"); then
    head -n 1 <<<"$error"
  elif grep -qx "$STOPPED" <<<"$1"; then
    echo "$STOPPED"
  elif [[ -n $1 ]]; then
    echo 0
  else
    echo 255
  fi
}

run() {
  local failures=0 before="" after installed status
  while true; do
    wait_for_slice || return
    log "installs"
    status=255
    installed=""
    if install_on_workers; then
      installed=yes
      # Not sooner: a new slice has not mounted the bucket.
      before=$(latest_step)
      log "trains after checkpoint ${before:-none}"
      status=$(summarize "$(train)")
    fi
    log "ended with status $status"
    # Without its slice a run has only been interrupted.
    if [[ $(resource_state) == ACTIVE ]]; then
      if ((status == 0 || status == STOPPED || status == USER_ERROR)); then
        return "$status"
      fi
      failures=$((failures + 1))
      after=$(latest_step)
      if [[ -n $installed && -n $after && $after != "$before" ]]; then
        failures=0
      fi
      if ((failures >= MOST_FAILURES)); then
        log "$failures starts in a row have failed and left no checkpoint newer than ${before:-none}; see \`logs\`"
        return "$status"
      fi
      # It takes a while until the state tells that a slice was taken away.
      sleep "$POLL_SECONDS"
    elif ((status == 0)); then
      return 0
    fi
  done
}

case ${1:-} in
  run) run ;;
  logs) on_workers 0 "tail -n 200 -F motion_vit/train.log" ;;
  stop) on_workers all "cd motion_vit && touch stop && kill -TERM \$(cat train.pid)" ;;
  delete) delete_resource ;;
  *)
    echo "usage: launch/tpu_vm.sh run | logs | stop | delete" >&2
    exit 2
    ;;
esac
