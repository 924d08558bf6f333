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
