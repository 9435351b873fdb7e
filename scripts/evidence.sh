#!/usr/bin/env bash
# Measure again what docs/findings.md and the tiny-scale tables rest on, the most important studies first.
#
#     scripts/evidence.sh [MUSIC]      MUSIC: a folder with manifest.csv, for the comparison on real music
#
# Give the same command again after an interruption: what is measured is skipped, and training goes on from its last
# checkpoint. A study that fails is named at the end and does not stop the others. Results go to my_results/; studies share
# trained weights, which lie in runs/. `bench plan STUDY` tells how long each takes; about 30 CPU-hours in all.
set -uo pipefail
cd "$(dirname "$0")/.."
music=${1:-}  # as it is given, from the repository's folder: records name it
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
bench=${BENCH:-bench} failed=()
command -v ${bench%% *} >/dev/null || { echo "evidence.sh: no command ${bench%% *}; activate the environment: . .venv/bin/activate" >&2; exit 2; }
[ -z "$music" ] || [ -d "$music" ] || { echo "evidence.sh: no folder $music; give one with manifest.csv, or none" >&2; exit 2; }

measure() { # STUDY OPTIONS...
  echo "== $(date '+%F %H:%M:%S') $*"
  $bench run "$@" || failed+=("$1")
}

measure small_cpu
measure control
measure inpainting  # from the weights of control
for study in fm_steps decoding_iterations impact_grid masked_fm_iterations guidance_scale guidance_schedule guidance_cosine reward; do
  measure "$study"  # samplers and tuning by reward, from the weights of small_cpu
done
[ -z "$music" ] || measure small_cpu --corpus "$music" --seed 0 --seed 1 --seed 2
# Each of these trains arms of its own; the arms that answer the question come first.
measure mntp_vs_ntp -p ntp -p mntp -p mntp-no-target -p ntp-dropped -p ntp-zeroed -p ar -p fm -p mar
measure pretraining
measure masked_fm
measure codec_vs_vae
measure equal_flops
measure equal_wall
measure reference_parts -p mar -p mar-all -p fm -p fm-adaln
measure skips_all_arms -p ar -p fm
for study in mntp_vs_ntp reference_parts skips_all_arms mae_split head_size mask_schedules masked_fm_spans latent_normalisation; do
  measure "$study"
done
[ ${#failed[@]} -eq 0 ] || { echo "failed: ${failed[*]}" >&2; exit 1; }
