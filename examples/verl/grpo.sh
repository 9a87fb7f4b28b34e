#!/usr/bin/env bash
# GRPO with verl on toolmaster's tasks: FSDP2, vLLM, any number of nodes (Ray).
#   python -m venv verl-env && verl-env/bin/pip install -r constraints-verl.txt vllm
#   verl-env/bin/pip install --no-deps toolmaster      # the core's requirements are in that file
#   RECIPE=cpu MODEL=runs/cpu/sft/model GPUS=8 NODES=1 bash examples/verl/grpo.sh
# The model is a checkpoint of `toolmaster sft`: its tokenizer has the chat template and the tags.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python "$here/data.py" "${RECIPE:-cpu}" "${DATA:=data/verl}" "${TASKS:-1000}"
python -m verl.trainer.main_ppo \
  algorithm.adv_estimator=grpo \
  data.train_files="$DATA/train.parquet" data.val_files="$DATA/test.parquet" \
  data.train_batch_size="${GROUPS_PER_STEP:-32}" data.return_raw_chat=true \
  data.max_prompt_length=1500 data.max_response_length=2500 data.filter_overlong_prompts=true \
  actor_rollout_ref.model.path="$MODEL" \
  actor_rollout_ref.actor.strategy=fsdp2 actor_rollout_ref.actor.optim.lr=1e-6 \
  actor_rollout_ref.actor.ppo_mini_batch_size="${GROUPS_PER_STEP:-32}" \
  actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=4 \
  actor_rollout_ref.actor.use_kl_loss=false \
  actor_rollout_ref.rollout.name=vllm actor_rollout_ref.rollout.mode=async \
  actor_rollout_ref.rollout.n="${GROUP:-8}" actor_rollout_ref.rollout.calculate_log_probs=true \
  actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=8 \
  actor_rollout_ref.rollout.agent.agent_loop_config_path="$here/agent_loop.yaml" \
  trainer.n_gpus_per_node="${GPUS:-8}" trainer.nnodes="${NODES:-1}" \
  trainer.logger='["console"]' trainer.project_name=toolmaster trainer.total_epochs=1 "$@"
