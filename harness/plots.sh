#!/bin/sh
# What make bench found, for docs/results: the table, the numbers, and pictures
# with the data and the commands of gnuplot beside each, so that it can be drawn
# again.
#
#	harness/plots.sh	docs/results/{files,ratio}.{svg,gp,tsv}, raw.tsv, table.txt
set -eu
cd "$(dirname "$0")/.."
. harness/lib.sh

from=$BUILD/bench
to=docs/results
[ -s "$from/samples.tsv" ] || die "no numbers in $from" "next: make bench"
mkdir -p "$to"
# Command lines name paths of this machine, and follow from the line "setup".
grep -v -P '\t(command|cmdline)\t' "$from/raw.tsv" >"$to/raw.tsv"
# Without its last line, which names a path. A row that fails is no reason not
# to show it.
harness/bench.sh --table | grep -v "^Raw numbers" >"$to/table.txt" || :

# A block of lines per column of row a, each under its name.
awk -F '\t' '$1 == "a" {
	name = $2 " " $3
	if (name != last) printf "%s\"%s\"\n", last == "" ? "" : "\n\n", name
	last = name
	print $4 / 1000, $5 / 1e6, $6, $7
}' "$from/samples.tsv" >"$to/files.tsv"

# ratio, then the share of ordinary memory at the kill, a block per column
awk -F '\t' '
	$1 ~ /^f-/ && $4 == "kernel_pct" {
		name = $2 " " $3
		if (!(name in points)) order[++n] = name
		points[name] = points[name] substr($1, 3) " " $5 "\n"
	}
	END {
		for (i = 1; i <= n; i++)
			printf "%s\"%s\"\n%s", i == 1 ? "" : "\n\n", order[i], points[order[i]]
	}' "$from/raw.tsv" >"$to/ratio.tsv"

cat >"$to/files.gp" <<'EOT'
# gnuplot files.gp
set terminal svg size 800,640 background "white" font "sans,12"
set output "files.svg"
set multiplot layout 2,1 title "Empty files until a kill: 512 MiB, 330 MiB in use, 1 GiB hot-plugged"
set key autotitle columnheader left
set xlabel "files made, thousands"
set ylabel "free, kernel may use, MiB"
set yrange [0:*]
stats "files.tsv" using 1 nooutput
plot for [i=0:STATS_blocks-1] "files.tsv" index i using 1:3 with linespoints pointsize 0.4
set ylabel "virtual seconds"
plot for [i=0:STATS_blocks-1] "files.tsv" index i using 1:2 with linespoints pointsize 0.4
EOT
cat >"$to/ratio.gp" <<'EOT'
# gnuplot ratio.gp
set terminal svg size 800,400 background "white" font "sans,12"
set output "ratio.svg"
set title "Where it breaks: movable-only to ordinary memory"
set key autotitle columnheader right
set logscale x 2
set xtics (1, 2, 4, 8, 16, 32, 63)
set yrange [0:100]
set xlabel "ratio"
set ylabel "% of ordinary memory in files at the kill"
stats "ratio.tsv" using 1 nooutput
plot for [i=0:STATS_blocks-1] "ratio.tsv" index i using 1:2 with linespoints
EOT
for plot in files ratio; do
	[ -s "$to/$plot.tsv" ] || { rm -f "$to/$plot".*; continue; }
	(cd "$to" && logged plots "make bench, then make plots" gnuplot "$plot.gp")
	say PLOT "$to/$plot.svg"
done
