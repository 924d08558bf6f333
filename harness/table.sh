#!/bin/sh
# docs/results/<kernel>/table.md, of the numbers beside it and qemu-configs/bench.
#
#	harness/table.sh		write it
#	harness/table.sh --check	is it of these numbers?
set -eu
cd "$(dirname "$0")/.."

status=0
for dir in docs/results/*/; do
	table=$(awk -f harness/bench-judge.awk -f harness/bench-markdown.awk \
		"$dir"*.tsv qemu-configs/bench)
	if [ "${1:-}" != --check ]; then
		printf '%s\n' "$table" >"${dir}table.md"
	elif ! printf '%s\n' "$table" | cmp -s - "${dir}table.md"; then
		echo "${dir}table.md is not of the numbers there (make table)"
		status=1
	fi
done
exit $status
