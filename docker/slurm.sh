#!/usr/bin/env bash
# One search on the nodes of a SLURM job. What it costs and how it ends: docs/cluster.md#slurm.
#
#   sbatch docker/slurm.sh OUT NAME DATA [options of automl-img search]
#   sbatch docker/slurm.sh /shared/runs photos /shared/photos --budget 20h
#
# OUT lies on storage that all nodes see. automl-img[cluster] is installed in the active environment,
# which sbatch hands on, or named below: the same for every node. Whole nodes, as Ray has fixed ports.
# Five minutes before its time is over the job puts itself into the queue again, as it does when it is
# preempted or loses a node, and then goes on with the run; a run that has come to its end ends the job.
#
#SBATCH --job-name=automl-img
#SBATCH --nodes=3
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --exclusive
#SBATCH --gpus-per-node=1
#SBATCH --time=12:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:USR1@300

set -euo pipefail
if (($# < 3)); then
  echo "error: usage: sbatch slurm.sh OUT NAME DATA [options of automl-img search]" >&2
  exit 2
fi

trap 'scontrol requeue "$SLURM_JOB_ID"' USR1

# Of this checkout: SLURM runs a copy of this file elsewhere.
here=${AUTOML_IMG_DOCKER:-${SLURM_SUBMIT_DIR:?is set by sbatch}/docker}
mapfile -t hosts < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${hosts[0]}
port=6379
# srun hands the environment on, so the token is in no command line and in no file.
RAY_AUTH_TOKEN=$(python3 -c 'import secrets; print(secrets.token_hex(32))')
export RAY_AUTH_TOKEN RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0
# The disk of each node, where there is one; images are prepared there once a node.
export AUTOML_IMG_CACHE=${AUTOML_IMG_CACHE:-${SLURM_TMPDIR:-/tmp}/automl-img}

# Since SLURM 22.05 srun does not take the CPUs of a task over from sbatch.
step=(srun --overlap --cpus-per-task="$SLURM_CPUS_PER_TASK")
start=(ray start --block --num-cpus="$SLURM_CPUS_PER_TASK")
# A folder of this job alone: /tmp/ray may be another user's.
"${step[@]}" --nodes=1 --ntasks=1 --nodelist="$head" \
  "${start[@]}" --head --port="$port" --dashboard-host=127.0.0.1 --temp-dir="/tmp/ray-$SLURM_JOB_ID" &
# A worker that comes before the head tries for some time.
if ((SLURM_NNODES > 1)); then
  "${step[@]}" --nodes=$((SLURM_NNODES - 1)) --ntasks=$((SLURM_NNODES - 1)) --exclude="$head" \
    "${start[@]}" --address="$head:$port" &
fi

# Threads of a trial follow from the nodes that are there when it begins.
python3 - "$head:$port" "$SLURM_NNODES" <<'PYTHON'
import sys, time
import ray

address, wanted, end = sys.argv[1], int(sys.argv[2]), time.monotonic() + 600
alive = 0
while alive < wanted:
    try:
        ray.init(address=address, log_to_driver=False, logging_level="error")
        alive = sum(node["Alive"] for node in ray.nodes())
        ray.shutdown()
    except ConnectionError:
        pass
    if alive < wanted and time.monotonic() > end:
        sys.exit(f"error: {alive} of {wanted} nodes joined within ten minutes; see the output of ray start above")
    time.sleep(1)
PYTHON

"$here/search-or-resume" "$@" --address "$head:$port" &
search=$!
# wait returns for the signal of the trap too, with 128 and its number.
again=$((128 + $(kill -l USR1)))
code=$again
while ((code == again)); do
  wait "$search" && code=0 || code=$?
done
exit "$code"
