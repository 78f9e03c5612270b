#!/usr/bin/env bash
# Trains with several processes on this machine: on its GPUs, or on virtual CPU devices to rehearse a larger run.
#
#   launch/local.sh PROCESSES --config FILE --workdir DIR [--config.key=value ...]
#
#   launch/local.sh 8 --config configs/my_videos.py --workdir runs/my_videos                # a process for each GPU
#   CPU_DEVICES=4 launch/local.sh 2 --config configs/my_videos.py --workdir runs/my_videos  # 2 x 4 virtual CPU devices
#
# One process already uses all GPUs of a machine: plain `motion-vit train` does. More of them decode videos in more
# Python processes, and take the way that a run on several machines takes.
#
# Edit (environment variables):
#   CPU_DEVICES    virtual CPU devices of each process; unset: the GPUs are split evenly among the processes
#   GRACE_SECONDS  how long the others may go on after one process has failed; default 90, which is longer than JAX
#                  takes to notice that a process is gone
#   MOTION_VIT     the command, if `motion-vit` is not on the PATH
# Follow: process 0 prints here; DIR/metrics.jsonl and DIR/tensorboard hold the curves.
# Stop:   Ctrl-C, or SIGTERM to this script, once. Every process saves; the same command continues. Another one, two
#         seconds later or more, ends all of them at once, without saving.
#
# Exit status: 0 done; 75 stopped, and the same command continues; otherwise that of the first process that failed: 2 a
# mistake of the user, 1 a lost peer or another error, 134 aborted by JAX.
set -euo pipefail
# Every process leads a process group of its own: Ctrl-C reaches this script alone, which passes it on exactly once.
set -m

readonly STOPPED=75
readonly GRACE_SECONDS=${GRACE_SECONDS:-90}

fail() {
  echo "local.sh: $1" >&2
  exit 2
}

(($# >= 1)) && [[ $1 =~ ^[1-9][0-9]*$ ]] ||
  fail "give the number of processes first: launch/local.sh 2 --config FILE --workdir DIR."
readonly PROCESSES=$1
shift
read -r -a command <<<"${MOTION_VIT:-motion-vit}"
command -v "${command[0]}" >/dev/null ||
  fail "there is no command ${command[0]}. Activate the environment that motion_vit is installed in, or set MOTION_VIT."

# A port of 127.0.0.1 that nothing listens on, below those that the system hands out by itself.
free_port() {
  local port
  for _ in {1..100}; do
    port=$((20000 + RANDOM % 10000))
    if ! (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
      echo "$port"
      return
    fi
  done
  fail "found no free port between 20000 and 30000."
}

# The GPUs that processes may use, counted as CUDA will count them.
count_gpus() {
  if [[ -n ${CUDA_VISIBLE_DEVICES+set} ]]; then
    tr ',' '\n' <<<"$CUDA_VISIBLE_DEVICES" | grep -c . || true
  elif command -v nvidia-smi >/dev/null; then
    nvidia-smi --list-gpus | grep -c '^GPU' || true
  else
    echo 0
  fi
}

if [[ -n ${CPU_DEVICES:-} ]]; then
  [[ $CPU_DEVICES =~ ^[1-9][0-9]*$ ]] || fail "CPU_DEVICES is '$CPU_DEVICES', but must be a positive number."
  export JAX_PLATFORMS=cpu
  export XLA_FLAGS="${XLA_FLAGS:-} --xla_force_host_platform_device_count=$CPU_DEVICES"
  # XLA's threads: a collective on CPU keeps one of each device waiting, and several may be under way.
  export NPROC=${NPROC:-$((4 * CPU_DEVICES))}
else
  gpus=$(count_gpus)
  ((gpus > 0)) || fail "there is no GPU here. Set CPU_DEVICES to the number of virtual CPU devices of each process."
  ((gpus % PROCESSES == 0)) || fail "$gpus GPUs cannot be split evenly among $PROCESSES processes."
  readonly GPUS_EACH=$((gpus / PROCESSES))
fi

JAX_COORDINATOR_ADDRESS="127.0.0.1:$(free_port)"
export JAX_COORDINATOR_ADDRESS JAX_NUM_PROCESSES=$PROCESSES

declare -a pids statuses

start() {
  local process=$1
  export JAX_PROCESS_ID=$process
  if [[ -n ${GPUS_EACH:-} ]]; then
    JAX_LOCAL_DEVICE_IDS=$(seq -s, $((process * GPUS_EACH)) $(((process + 1) * GPUS_EACH - 1)))
    export JAX_LOCAL_DEVICE_IDS
  fi
  # A background process that reads the terminal would be stopped.
  "${command[@]}" train "${arguments[@]}" </dev/null &
  pids[process]=$!
  statuses[process]=""
}

is_running() {
  [[ -z ${statuses[$1]} ]] && jobs -pr | grep -qx "${pids[$1]}"
}

# Sends a signal to the processes that are left; KILL also to the processes that they have started.
signal_all() {
  local process
  for ((process = 0; process < PROCESSES; process++)); do
    if [[ -n ${pids[process]:-} ]] && is_running "$process"; then
      if [[ $1 == KILL ]]; then
        kill -s KILL -- "-${pids[process]}" 2>/dev/null || true
      else
        kill -s "$1" "${pids[process]}" 2>/dev/null || true
      fi
    fi
  done
}

stopping="" # since when, in seconds
killed=""
# The second signal cannot be another SIGTERM: of several processes that one belongs to JAX, which only notes it. One
# of the same moment is not a second one: `timeout` and a terminal that closes may send it twice.
stop() {
  if [[ -z $stopping ]]; then
    stopping=$SECONDS
    signal_all TERM
  elif ((SECONDS - stopping >= 2)); then
    killed=yes
    signal_all KILL
  fi
}
trap stop INT TERM HUP
# Whatever ends this script, nothing is left behind.
trap 'signal_all KILL' EXIT

describe() {
  if (($1 == 128 + 9)); then
    echo "was ended by SIGKILL, as the system does when memory is short"
  elif (($1 > 128)); then
    echo "was ended by SIG$(kill -l "$1")"
  else
    echo "ended with status $1; its message is above"
  fi
}

# Whether a status means that the process was stopped, as everyone was asked to, and did not fail.
was_stopped() {
  (($1 == STOPPED)) ||
    { [[ -n $stopping ]] && (($1 == 128 + 15 || $1 == 128 + 2)); } ||
    { [[ -n $killed ]] && (($1 == 128 + 9)); }
}

failed_process=""
first_end=""
left=$PROCESSES

# Takes the status of every process that has ended since the last time.
collect() {
  local process
  for ((process = 0; process < PROCESSES; process++)); do
    if [[ -n ${statuses[process]} ]] || is_running "$process"; then
      continue
    fi
    statuses[process]=0
    # Bash's own line about a job that a signal ended goes with standard error.
    wait "${pids[process]}" 2>/dev/null || statuses[process]=$?
    left=$((left - 1))
    if ((statuses[process] != 0)) && [[ -z $first_end ]]; then
      first_end=$SECONDS
    fi
    if ((statuses[process] != 0)) && [[ -z $failed_process ]] && ! was_stopped "${statuses[process]}"; then
      failed_process=$process
      echo "local.sh: process $process $(describe "${statuses[process]}")." \
        "The others have $GRACE_SECONDS s to end by themselves." >&2
    fi
  done
}

readonly arguments=("$@")
for ((process = 0; process < PROCESSES; process++)); do
  start "$process"
done

asked=""
while ((left > 0)); do
  collect
  if [[ -n $first_end ]] && ((left > 0)); then
    if ((SECONDS - first_end >= GRACE_SECONDS * 3 / 2)); then
      echo "local.sh: ends the $left processes that are left with SIGKILL." >&2
      signal_all KILL
    elif ((SECONDS - first_end >= GRACE_SECONDS)) && [[ -z $asked ]]; then
      asked=yes
      signal_all TERM
    fi
  fi
  # Signals interrupt a wait, not a sleep in the foreground.
  if ((left > 0)); then
    sleep 0.3 &
    wait $! || true
  fi
done

if [[ -n $failed_process ]]; then
  exit "${statuses[failed_process]}"
fi
for ((process = 0; process < PROCESSES; process++)); do
  if ((statuses[process] != 0)); then
    echo "local.sh: stopped; the same command continues." >&2
    exit "$STOPPED"
  fi
done
