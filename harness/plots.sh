#!/bin/sh
# What make bench found, for docs/results/<kernel>: the table, the numbers, and pictures
# with the data and the commands of gnuplot beside each, so that it can be drawn
# again.
#
#	harness/plots.sh	{files,ratio}.{svg,gp,tsv}, removal.{svg,gp} of raw.tsv,
#				raw.tsv, table.md
set -eu
cd "$(dirname "$0")/.."
. harness/lib.sh

from=$BUILD/bench
[ -s "$from/samples.tsv" ] || die "no numbers in $from" "next: make bench"
to=$(results_dir "$from/raw.tsv")
# Command lines name paths of this machine, and follow from the line "setup".
grep -v -P '\t(command|cmdline)\t' "$from/raw.tsv" >"$to/raw.tsv"

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
cat >"$to/removal.gp" <<'EOT'
# gnuplot removal.gp
set terminal svg noenhanced size 900,420 font "sans,12" background "white"
set output "removal.svg"
set datafile separator "\t"
column_of(key, kernel, keyword) = sprintf("< awk -F'\\t' -v want='%s' 'BEGIN { n = split(want, w, \" \") } $2 == \"%s\" && $3 == \"%s\" { v[$1 \"/\" $4] = $5 } END { for (i = 1; i <= n; i++) print i - 1 \"\\t\" (v[w[i]] > 0.001 ? v[w[i]] : 0.001) }' raw.tsv", key, kernel, keyword)
rows = "r-empty/walk_ratio r-pinned/wait_cpu_pct r-pinned/seconds r-no-memory/seconds r-hugetlb-pool/moved_ratio r-many/mean_minsn"
set title "Removing a memory block: less is better"
set logscale y
set bmargin 6
set yrange [0.001:1000]
set ylabel "see below each group"
set style fill solid 0.8
set boxwidth 0.27
set key top right
set xtics ("empty block,\nwalks of its\nstruct pages" 0, "pinned page,\npercent of a CPU\nwhile waiting" 1, "pinned page,\nseconds until\nit ends (stock: signal)" 2, "no memory,\nseconds until\nit ends (stock: signal)" 3, "hugetlb,\nmoves for each\npage in use" 4, "32 empty blocks,\nmillion instructions\nfor each" 5)
set xrange [-0.6:5.6]
plot column_of(rows, "stock", "online_movable") using ($1-0.28):2 with boxes title "stock, ZONE_MOVABLE", \
     column_of(rows, "patched", "online_movable") using 1:2 with boxes title "series, ZONE_MOVABLE", \
     column_of(rows, "patched", "online_hotremove") using ($1+0.28):2 with boxes title "series, hot-removable"
EOT
draw() {
	(cd "$to" && logged plots "make bench, then make plots" gnuplot "$1.gp")
	say PLOT "$to/$1.svg"
}
for plot in files ratio; do
	[ -s "$to/$plot.tsv" ] || { rm -f "$to/$plot".*; continue; }
	draw "$plot"
done
! grep -q '^r-empty	' "$to/raw.tsv" || draw removal
harness/table.sh
