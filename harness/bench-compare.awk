# make bench-compare: two files like raw.tsv, then qemu-configs/bench. For each number
# that the table has, in both and not the same: what it was, what it is, the ratio.
#
#	awk -f harness/bench-compare.awk <was.tsv> <is.tsv> qemu-configs/bench

BEGIN { FS = "\t" }

FNR == 1 { file++ }

file <= 2 {
	if (!/^#/ && NF == 5)
		value[file, $1, $2 ":" $3, $4] = $5
	next
}

/^row/ { title[$2] = $3 }

/^run/ { columns[$2] = $5 }

/^need/ && !(($2, $3) in seen) {
	seen[$2, $3] = 1
	n = split(columns[$2], column, " ")
	for (i = 1; i <= n; i++) {
		was = 1 SUBSEP $2 SUBSEP column[i] SUBSEP $3
		is = 2 SUBSEP $2 SUBSEP column[i] SUBSEP $3
		if (!(was in value) && !(is in value))
			continue
		if (!(was in value) || !(is in value)) {
			only[was in value ? 1 : 2]++
			continue
		}
		both++
		if (value[was] == value[is]) {
			same++
			continue
		}
		if (!($2 in said))
			printf "\n%s: %s\n  %-54s %25s %12s %12s  ratio\n", $2, \
				title[$2], "", "", "was", "is"
		said[$2] = 1
		ratio = "-"
		if (value[was] ~ /^-?[0-9.]+$/ && value[is] ~ /^-?[0-9.]+$/ &&
		    value[was] != 0) {
			ratio = sprintf("%.3f", value[is] / value[was])
			more += ratio + 0 > 1.05 || ratio + 0 < 0.95
		}
		printf "  %-54s %25s %12s %12s  %s\n", $5, column[i], \
			value[was], value[is], ratio
	}
}

END {
	printf "\n%d numbers in both, %d of them the same, %d ratios beyond 5 %%", \
		both, same, more
	printf "; %d only in the first file, %d only in the second\n", only[1], only[2]
	exit !both
}
