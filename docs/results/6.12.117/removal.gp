# removal.svg of removal.tsv: gnuplot removal.gp, in this directory
set terminal svg noenhanced size 900,420 font "sans,12" background "white"
set output "removal.svg"
set datafile separator "\t"
column_of(key, kernel, keyword) = sprintf("< awk -F'\\t' -v want='%s' 'BEGIN { n = split(want, w, \" \") } $2 == \"%s\" && $3 == \"%s\" { v[$1 \"/\" $4] = $5 } END { for (i = 1; i <= n; i++) print i - 1 \"\\t\" (v[w[i]] > 0.001 ? v[w[i]] : 0.001) }' removal.tsv", key, kernel, keyword)
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
