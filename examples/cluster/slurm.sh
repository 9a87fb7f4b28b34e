#!/usr/bin/env bash
# The training stages of a recipe under SLURM, on one node or more. Make the demonstrations first:
#   toolmaster demonstrate examples/cluster/paper.toml
#   sbatch --nodes 2 examples/cluster/slurm.sh examples/cluster/paper.toml
# The same command continues a training that was stopped.
#SBATCH --job-name=toolmaster
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --time=24:00:00
set -euo pipefail
export ACCELERATE_USE_FSDP=true FSDP_VERSION=2
MASTER=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
for stage in sft grpo; do
  srun torchrun --nnodes "$SLURM_JOB_NUM_NODES" --nproc-per-node 8 --rdzv-backend c10d \
    --rdzv-id "$SLURM_JOB_ID" --rdzv-endpoint "$MASTER:29500" -m toolmaster "$stage" "$@"
done
