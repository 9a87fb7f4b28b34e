#!/usr/bin/env bash
# The training stages of a recipe with plain torchrun, weights shared by all GPUs (FSDP2).
#   toolmaster demonstrate examples/cluster/paper.toml
#   examples/cluster/torchrun.sh examples/cluster/paper.toml
#   toolmaster run examples/cluster/paper.toml                  # evaluation and report
# On two nodes that share the folder of the run, on each one with its own NODE_RANK:
#   NODES=2 NODE_RANK=0 MASTER=node1:29500 examples/cluster/torchrun.sh examples/cluster/paper.toml
# The same command continues a training that was stopped.
set -euo pipefail
export ACCELERATE_USE_FSDP=true FSDP_VERSION=2
for stage in sft grpo; do
  torchrun --nnodes "${NODES:-1}" --node-rank "${NODE_RANK:-0}" --nproc-per-node "${GPUS:-8}" \
    --rdzv-backend c10d --rdzv-id toolmaster --rdzv-endpoint "${MASTER:-localhost:29500}" \
    -m toolmaster "$stage" "$@"
done
