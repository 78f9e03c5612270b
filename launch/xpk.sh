#!/usr/bin/env bash
# Trains on a TPU slice of a cluster that xpk made; the cluster starts the run again after preemption and node failure.
#
#   pip install xpk        (flags as of xpk 1.16)
#   launch/xpk.sh
#
# Edit: the settings below, or set them in the environment. Needed: a cluster of `xpk cluster create`, the image of
#       launch/tpu.Dockerfile in a registry, and storage that every host sees, attached once as /bucket:
#         xpk storage attach NAME --cluster=CLUSTER --project=PROJECT --zone=ZONE --type=gcsfuse --bucket=BUCKET \
#           --mount-point=/bucket --auto-mount=true --readonly=false
#       A bucket must have hierarchical namespace: a checkpoint becomes whole by renaming a folder.
# Follow: xpk workload list --cluster=CLUSTER --filter-by-job=WORKLOAD
#         kubectl logs -f -l jobset.sigs.k8s.io/jobset-name=WORKLOAD,batch.kubernetes.io/job-completion-index=0
# Stop:   xpk workload delete --workload=WORKLOAD --cluster=CLUSTER --project=PROJECT --zone=ZONE. Every host saves.
#         Started again, this script continues.
#
# Not run on a cluster yet: tests check the syntax and, with a stand-in for xpk, the command.
set -euo pipefail

PROJECT=${PROJECT:-my-project}
ZONE=${ZONE:-us-east5-b}
CLUSTER=${CLUSTER:-my-cluster}
WORKLOAD=${WORKLOAD:-motion-vit}
TPU_TYPE=${TPU_TYPE:-v6e-16}
IMAGE=${IMAGE:-us-docker.pkg.dev/$PROJECT/motion-vit/motion_vit-tpu:latest}
CONFIG=${CONFIG:-configs/ssv1_uniformer_emim_s16.py}
WORKDIR=${WORKDIR:-/bucket/runs/ssv1_s16}
OVERRIDES=${OVERRIDES---config.data.train=/bucket/data/ssv1 --config.data.validation=/bucket/data/ssv1}
MAX_RESTARTS=${MAX_RESTARTS:-50} # of all kinds; xpk does not count preemptions apart

# A text as one word of the command that the cluster's shell reads.
quoted() { printf "'%s'" "${1//\'/\'\\\'\'}"; }

# 75: stopped after saving; 1: lost a peer, or another error. xpk itself adds 127 to 255, and so 134, aborted by JAX.
# Status 2, a mistake in the recipe or the data, is not started again.
xpk workload create \
  --project="$PROJECT" --zone="$ZONE" --cluster="$CLUSTER" \
  --workload="$WORKLOAD" --tpu-type="$TPU_TYPE" --num-slices=1 \
  --docker-image="$IMAGE" \
  --command="motion-vit train --config $(quoted "$CONFIG") --workdir $(quoted "$WORKDIR") $OVERRIDES" \
  --max-restarts="$MAX_RESTARTS" --restart-on-exit-codes=1,75 \
  --termination-grace-period-seconds=300
