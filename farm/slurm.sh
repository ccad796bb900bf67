#!/bin/bash
# A task of a Slurm job array: shard I of N of a configuration, where I is the index of the task.
#
#	job=$(sbatch --parsable --array=1-100 farm/slurm.sh kas.yaml OUT 100)
#	sbatch --dependency=afterany:$job --wrap 'kas merge kas.yaml OUT'
#
# N is an argument, so that single tasks can be submitted again (--array=7,12). Slurm starts a task
# again when its node fails; the task asks for it when kas says that a later try may help.
#SBATCH --job-name=kas
#SBATCH --cpus-per-task=2
#SBATCH --mem=2G
#SBATCH --requeue
#SBATCH --open-mode=append
config=$1 out=$2 n=$3
kas run "$config" --out "$out" -j "$SLURM_CPUS_PER_TASK" --shard "$SLURM_ARRAY_TASK_ID/$n"
code=$?
if [ $code = 75 ] && [ "${SLURM_RESTART_COUNT:-0}" -lt 3 ]; then
	scontrol requeue "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID" && sleep 60 # until it is killed
fi
exit $code
