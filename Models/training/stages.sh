#!/bin/bash
# The whole recipe: banks, then the stages of a run. Minutes are of a machine that others use too.
#   ./stages.sh runs/default [processes]
set -euo pipefail
cd "$(dirname "$0")"
run=$1 ranks=${2:-1}
export OMP_WAIT_POLICY=passive OMP_NUM_THREADS=1 MKL_NUM_THREADS=1

stage() { # NAME arguments…: the processes of one stage, each with a thread
    rm -f "$run/$1.meeting"
    for ((rank = 1; rank < ranks; rank++)); do
        python train.py --run "$run" --name "$1" --ranks "$ranks" --rank "$rank" "${@:2}" >/dev/null &
    done
    python train.py --run "$run" --name "$1" --ranks "$ranks" --rank 0 "${@:2}"
    wait
}

python bank.py --run "$run" --mixture shapes --pictures 40000
python bank.py --run "$run" --mixture collages --pictures 160000
python bank.py --run "$run" --mixture mixture --pictures 600000
python bank.py --run "$run" --mixture rows --pictures 20000
python bank.py --run "$run" --mixture backgrounds --pictures 20000
python bank.py --run "$run" --mixture mixture --pictures 4000 --chunk 4000 --seed 77 --check

stage text --stage text --minutes 4.2 --batch 128 --muon-lr 0.015 \
    --shares '{"mixture": 0.85, "shapes": 0.15}'
stage shapes --stage image --minutes 2.7 --decay 0 --batch 48 \
    --shares '{"shapes": 0.95, "mixture": 0.05}'
stage things --stage image --start shapes --minutes 10.3 --decay 0 --batch 48 --patches 32 \
    --muon-lr 0.018 --warmup 10 --shares '{"collages": 0.45, "shapes": 0.35, "mixture": 0.2}'
stage joint --stage joint --start things --start text:text --minutes 49.3 --decay 0.6 --batch 64 \
    --patches 28 --names 64 --questions 40 --muon-lr 0.015 --warmup 20 --check-minutes 2 \
    --shares '{"mixture": 0.9, "collages": 0.1}'
stage finish --stage joint --start joint --minutes 12.5 --decay 1 --rate 0.45 --batch 64 \
    --patches 32 --names 48 --questions 44 --wrong 3 --labels 0.5 --muon-lr 0.015 --warmup 4 \
    --shares '{"mixture": 0.5, "backgrounds": 0.3, "rows": 0.2}'

for part in 0 1 2; do
    python polish.py --run "$run" --start finish --part "$part/3"
done
python polish.py --run "$run" --start finish --train --steps 700 --lr 5e-4
