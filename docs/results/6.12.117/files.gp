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
