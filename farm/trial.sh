#!/bin/bash
# Shards on a farm that fails, on this machine and as root. make farm-test runs it.
#
#	farm/trial.sh KAS DIR [KERNEL]
#
# KERNEL is a folder with a kernel's package of debugging information, unpacked. Prints a line for
# each thing that happened, with the seconds since the begin. Each node has a mount of its own of
# the one output folder, as machines have: locks do not reach from one to another.
set -u
farm=$(dirname "$(realpath "$0")")
KAS=$(realpath "$1") kernel=${3:+$(realpath "$3")/usr/lib/debug}
mkdir -p "$2" && cd "$2" || exit
D=$PWD t0=$(date +%s%N)
export XDG_CACHE_HOME=$D/cache SLURM_CONF=$D/slurm.conf
failed=0 mounted=() own=()

say() { printf '%6.1f %s\n' "$((($(date +%s%N) - t0) / 100000000))e-1" "$*"; }
fail() { say "FAILED: $*"; failed=1; }
want() { # want CODE WHAT COMMAND...
	local code=$1 what=$2
	shift 2
	"$@" >"$D/last.log" 2>&1
	local got=$?
	[ $got = "$code" ] && return
	fail "$what: exit $got, not $code"
	tail -n 5 "$D/last.log"
}
await() { # await SECONDS WHAT COMMAND...: until the command succeeds
	local end=$((SECONDS + $1)) what=$2
	shift 2
	until "$@" >/dev/null 2>&1; do
		if [ $SECONDS -ge $end ]; then
			fail "no $what"
			return 1
		fi
		sleep 0.05
	done
}
twin() { # twin FOLDER AT [OPTION]: another mount of a folder
	mkdir -p "$1" "$2" && bindfs "${@:3}" "$1" "$2" && mounted+=("$2")
}
tree() { for p in "$@"; do
	echo "$p"
	# shellcheck disable=SC2046
	tree $(pgrep -P "$p")
done; }
cleanup() {
	[ ${#own[@]} = 0 ] || kill -9 "${own[@]}" 2>/dev/null
	# shellcheck disable=SC2046
	kill $(cat "$D"/slurmd.*.pid "$D/ctld.pid" "$D/munged.pid" 2>/dev/null) 2>/dev/null
	sleep 0.5
	for m in "${mounted[@]}"; do umount -l "$m" 2>/dev/null; done
}
trap cleanup EXIT

# Each configuration names its files in full, since mounts and folders of output differ in depth.
"$KAS" demo demo >/dev/null 2>&1 || exit
list() { # list N: a configuration with N builds of the demo's kernels
	local all=(x86_64-gcc x86_64-clang x86_64-clang-lto arm64-gcc s390x-gcc) k
	echo "version: 1"
	echo "builds:"
	for k in $(seq "$1"); do
		local m=$D/demo/matrix/${all[$((k % 5))]}
		echo "  - {name: b$k, vmlinux: $m/vmlinux, modules: $m/modules}"
	done
}

# Two nodes work on the same builds, 50 times, and begin at the same time.
twins() {
	twin "$D/twins" "$D/twin1" && twin "$D/twins" "$D/twin2" || return
	list 2 >twins.yaml
	want 0 "one machine" "$KAS" run twins.yaml --out twins.one
	local k second=0 differ=0
	for k in $(seq 50); do
		"$KAS" run twins.yaml --out twin1/$k -j1 --shard 1/1 >/dev/null 2>twin1.log &
		local other=$!
		"$KAS" run twins.yaml --out twin2/$k -j1 --shard 1/1 >/dev/null 2>twin2.log ||
			{ fail "twin 2, round $k: $?"; grep -v done twin2.log; }
		wait $other || { fail "twin 1, round $k: $?"; grep -v done twin1.log; }
		second=$((second + $(cat twin1.log twin2.log | grep -c 'there already')))
		want 0 "merge, round $k" "$KAS" merge twins.yaml twins/$k
		diff -r twins.one twins/$k >/dev/null || differ=$((differ + 1))
	done
	say "twins: 50 rounds of 2 builds; a twin found a build there $second times; $differ differ"
	[ $differ = 0 ] && [ $second -gt 0 ] || fail "twins"
}

# The inputs are on a mount that goes away while a run reads them: the mount is slow.
outage() {
	twin "$D/demo/matrix/arm64-gcc" "$D/inputs" --read-rate=150k || return
	printf 'version: 1\nbuilds: [{name: k, vmlinux: %s, modules: %s}]\n' \
		"$D/inputs/vmlinux" "$D/inputs/modules" >outage.yaml
	local how
	for how in "" "--shard 1/1"; do
		rm -rf outage.out
		# shellcheck disable=SC2086
		"$KAS" run outage.yaml --out outage.out $how >outage.log 2>&1 &
		local run=$!
		await 20 "begin of the run" test -e outage.out
		sleep 0.3
		umount -l inputs
		wait $run
		local code=$?
		say "outage in ${how:-a plain run}: exit $code," \
			"left $(find outage.out -name '*.json' | wc -l) files that say finished," \
			"$(find outage.out -maxdepth 1 -name '.k.*' | wc -l) private folders"
		[ $code = 75 ] && [ -z "$(find outage.out -name '*.json' -o -name '.k.*')" ] || {
			fail outage
			tail -n 3 outage.log
		}
		twin "$D/demo/matrix/arm64-gcc" "$D/inputs"
		# shellcheck disable=SC2086
		want 0 "the run after the outage" "$KAS" run outage.yaml --out outage.out $how
		umount -l inputs
		twin "$D/demo/matrix/arm64-gcc" "$D/inputs" --read-rate=150k
	done
	umount -l inputs
	want 2 "inputs that are not there" "$KAS" run outage.yaml --out outage.none --shard 1/1
}

# The disk is full, and then it is not.
full() {
	mkdir -p small && mount -t tmpfs -o size=250k tmpfs small && mounted+=("$D/small") || return
	list 5 >full.yaml
	want 75 "a full disk" "$KAS" run full.yaml --out small/out --shard 1/1
	say "full disk: exit 75, $(find small/out -name build.json | wc -l) of 5 builds are there," \
		"$(find small/out -maxdepth 1 -name '.*.*' | wc -l) private folders"
	[ -z "$(find small/out -maxdepth 1 -name '.*.*')" ] || fail "full disk"
	mount -o remount,size=50m small
	want 0 "after a full disk" "$KAS" run full.yaml --out small/out --shard 1/1
	want 0 "merge" "$KAS" merge full.yaml small/out
	want 0 "verify" "$KAS" verify small/out
}

# A shard of a configuration of 1,000 builds looks for the files of its own alone.
thousand() {
	list 1000 >thousand.yaml
	"$KAS" run thousand.yaml --out thousand --shard 7/1000 >/dev/null 2>&1
	local begin end
	begin=$(date +%s%N)
	want 0 "1,000 builds" "$KAS" run thousand.yaml --out thousand --shard 7/1000
	end=$(date +%s%N)
	say "1,000 builds: a shard whose build is there takes $(((end - begin) / 1000000)) ms"
}

# The cost of a task: 100 builds by one process, and by 100 of them and a merge.
hundred() {
	list 100 >hundred.yaml
	local begin one shards merge k
	begin=$(date +%s%N)
	want 0 "100 builds" "$KAS" run hundred.yaml --out hundred.one -j1
	one=$(($(date +%s%N) - begin)) begin=$(date +%s%N)
	for k in $(seq 100); do
		want 0 "shard $k" "$KAS" run hundred.yaml --out hundred -j1 --shard $k/100
	done
	shards=$(($(date +%s%N) - begin)) begin=$(date +%s%N)
	want 0 "merge" "$KAS" merge hundred.yaml hundred
	merge=$(($(date +%s%N) - begin))
	say "100 builds: one process $((one / 1000000)) ms, 100 tasks $((shards / 1000000)) ms, merge" \
		"$((merge / 1000000)) ms; $((((shards - one) / 100000000))) ms more for each task"
	diff -r hundred.one hundred >/dev/null || fail "100 builds differ"
}

# Three nodes on loopback, without namespaces, systemd and cgroups.
start_slurm() {
	local host node
	host=$(hostname -s)
	mkdir -p state
	cat >slurm.conf <<-C
		ClusterName=kas
		SlurmctldHost=$host(127.0.0.1)
		SlurmctldPort=16817
		SlurmUser=root
		SlurmdUser=root
		AuthType=auth/munge
		AuthInfo=socket=$D/munge.socket,cred_expire=5
		StateSaveLocation=$D/state
		SlurmdSpoolDir=$D/spool.%n
		SlurmctldPidFile=$D/ctld.pid
		SlurmdPidFile=$D/slurmd.%n.pid
		SlurmctldLogFile=$D/ctld.log
		SlurmdLogFile=$D/slurmd.%n.log
		ProctrackType=proctrack/linuxproc
		TaskPlugin=task/none
		SelectType=select/cons_tres
		SelectTypeParameters=CR_Core
		MpiDefault=none
		ReturnToService=2
		JobRequeue=1
		SlurmdTimeout=5
		MessageTimeout=3
		TCPTimeout=1
		KillWait=2
		JobCompType=jobcomp/none
		JobAcctGatherType=jobacct_gather/none
		SchedulerParameters=batch_sched_delay=0,sched_min_interval=10000,requeue_delay=0,sched_interval=1
		NodeName=n[1-3] NodeHostname=$host NodeAddr=127.0.0.1 Port=[16821-16823] CPUs=2 RealMemory=4000
		PartitionName=build Nodes=ALL Default=YES MaxTime=INFINITE State=UP
	C
	head -c 128 /dev/urandom >munge.key && chmod 400 munge.key
	munged --force --key-file "$D/munge.key" --socket "$D/munge.socket" --pid-file "$D/munged.pid" \
		--log-file "$D/munged.log" --seed-file "$D/munged.seed" || return
	slurmctld -f "$SLURM_CONF" || return
	for node in n1 n2 n3; do slurmd -f "$SLURM_CONF" -N $node || return; done
	await 30 "Slurm" sh -c '[ "$(sinfo -h -o %D%T)" = 3idle ]' && say "Slurm has three nodes"
}

# The task calls this kas: with the node's mount of the output, and a line for its end.
node_kas() {
	mkdir -p bin
	cat >bin/kas <<-C
		#!/bin/bash
		begin=\$(date +%s%N) log=$D/task.\$SLURM_ARRAY_TASK_ID.\$\$.log
		$KAS "\${@//@NODE@/$D/node.\$SLURMD_NODENAME}" 2>\$log
		code=\$? end=\$(date +%s%N) try=\$((\${SLURM_RESTART_COUNT:-0} + 1))
		text="task \$SLURM_ARRAY_TASK_ID on \$SLURMD_NODENAME, try \$try: exit \$code"
		text="\$text after \$(((end - begin) / 1000000)) ms"
		grep -q 'there already' \$log && text="\$text, was there already"
		echo "\$end \$text" >>$D/events
		exit \$code
	C
	chmod +x bin/kas
}

slurm() {
	local n=30 node job big merge
	list $n >slurm.yaml
	if [ -n "$kernel" ]; then
		printf '  - {name: kernel, vmlinux: %s, modules: %s}\n' \
			"$kernel/boot/vmlinux-*" "$kernel/lib/modules/*/kernel" >>slurm.yaml
		n=31
	fi
	want 0 "one machine" "$KAS" run slurm.yaml --out slurm.one
	say "one machine has run $n builds"
	start_slurm || { fail "Slurm does not start"; return; }
	# Slow enough that tasks are killed while they write.
	twin "$D/share" "$D/node.n1" --write-rate=200k
	twin "$D/share" "$D/node.n2" --write-rate=40k
	twin "$D/share" "$D/node.n3" --write-rate=5k
	node_kas
	export PATH=$D/bin:$PATH
	local task=$farm/slurm.sh
	job=$(sbatch --parsable --array=1-30 --cpus-per-task=1 --mem=100 -o "$D/slurm-%a.out" \
		"$task" slurm.yaml @NODE@/out $n) || { fail sbatch; return; }
	merge=afterany:$job
	if [ $n = 31 ]; then # on the folder itself: 750 MB
		big=$(sbatch --parsable --array=31 --cpus-per-task=1 --mem=1000 -o "$D/slurm-%a.out" \
			-w n1 "$task" slurm.yaml "$D/share/out" $n)
		merge=$merge:$big
	fi
	merge=$(sbatch --parsable -o "$D/merge.out" -d "$merge" --mem=100 \
		--wrap "$KAS merge slurm.yaml $D/share/out")
	# With all that runs on it, while both of its tasks write.
	await 30 "two tasks on n2" sh -c "[ \$(squeue -h -t R -w n2 | wc -l) = 2 ]"
	await 30 "two tasks on n3" sh -c "[ \$(squeue -h -t R -w n3 | wc -l) = 2 ]"
	sleep 1
	local jobs steps
	jobs=$(squeue -h -r -w n2 -t R -o %A)
	steps=$(for j in $jobs; do pgrep -f "^slurmstepd: \\[$j\\."; done)
	# shellcheck disable=SC2046,SC2086
	kill -9 $(cat slurmd.n2.pid) $(tree $steps)
	say "n2 is killed, with the tasks $(squeue -h -r -w n2 -o %K | xargs)"
	own+=("$(cat slurmd.n3.pid)")
	kill -STOP "$(cat slurmd.n3.pid)"
	say "n3 is cut off, and goes on with the tasks $(squeue -h -r -w n3 -o %K | xargs)"
	say "there are $(ls -A share/out | grep -c '^\.') private folders"
	want 1 "merge too early" "$KAS" merge slurm.yaml share/out
	say "merge too early: $(grep -c 'is not there' last.log) builds named, $(tail -n 1 last.log)"
	await 240 "end of the queue" sh -c '[ -z "$(squeue -h)" ]'
	say "the queue is empty; merge: $(tail -n 1 merge.out)"
	# The zombies of n3 end by themselves.
	await 90 "end of the zombies" sh -c "[ \$(grep -c 'on n3, try 1' events) = 2 ]"
	sort events | while read -r at text; do
		printf '%6.1f %s\n' "$(((at - t0) / 100000000))e-1" "$text"
	done | grep -E 'try [2-9]|already|exit [^0]| on n[23],'
	local differ
	differ=$(diff -rq slurm.one share/out | wc -l)
	say "$n builds compared with one machine's: $differ differ;" \
		"$(ls -A share/out | grep -c '^\.') private folders are left"
	grep -v 'exit 0' events && fail "a task"
	[ "$differ" = 0 ] || { fail "Slurm"; diff -rq slurm.one share/out | head -n 5; }
	# shellcheck disable=SC2046
	kill -CONT $(cat slurmd.n3.pid)
	own=()
}

# A task that asks to be tried again, because its modules are not mounted, is: three times.
again() {
	mkdir -p nothing
	printf 'version: 1\nbuilds: [{name: k, vmlinux: %s, modules: %s}]\n' \
		"$D/demo/matrix/arm64-gcc/vmlinux" "$D/nothing" >again.yaml
	rm -f events
	sbatch --array=1 --cpus-per-task=1 --mem=100 -o "$D/again.out" -w n1 \
		"$farm/slurm.sh" again.yaml @NODE@/again 1 >last.log 2>&1 || fail sbatch
	await 60 "end of the queue" sh -c '[ -z "$(squeue -h)" ]'
	local tries
	tries=$(grep -c 'exit 75' events)
	say "modules that are not mounted: exit 75, $tries tries"
	[ "$tries" = 4 ] || fail "tries"
}

thousand
hundred
twins
outage
full
slurm
again
[ $failed = 0 ] && say "all is as it should be"
exit $failed
