# The table of make bench. Exit status 1 if a row lacks what it needs.
#
#	awk -f harness/bench-judge.awk -f harness/bench.awk <raw.tsv> qemu-configs/bench

/^row/ { title[$2] = $3 }

# None was run: the row was not asked for.
/^run/ && columns(1, $2, $5) {
	printf "%s: %s\n", $2, title[$2]
	for (part = 1; part <= 2; part++) {
		printf "  %-54s", ""
		for (i = 1; i <= nr[1]; i++) {
			split(column[1, i], word, ":")
			printf " %17s", word[part]
		}
		print part == 2 ? "  required" : ""
	}
	for (i = 1; i <= nr[1]; i++) {
		said = lost(1, $2, column[1, i])
		if (!said)
			continue
		printf "  %s%s: %s\n", is_stock(column[1, i]) ? "" : "FAIL ", \
			column[1, i], said
		gone += !is_stock(column[1, i])
	}
	if (missing[1])
		printf "  not run:%s\n", missing[1]
	ended = $2
}

/^need/ && $2 == ended {
	printf "  %-54s", $5
	for (i = 1; i <= nr[1]; i++)
		printf " %17s", shown(1, $2, $3, $4, column[1, i])
	said = verdict(1, $2, $3, $4)
	print "  " ($4 == "-" ? "" : sprintf("%-10s", asked($4))) said
	checked += said ~ /^(PASS|FAIL)$/
	if (said == "FAIL")
		failed[++bad] = $2 ": " $5
}

/^row/ && ended { print ""; ended = "" }

END {
	printf "\n%d of %d requirements are met\n", checked - bad, checked
	for (i = 1; i <= bad; i++)
		print "  not met: " failed[i]
	exit bad + gone > 0 || !checked
}
