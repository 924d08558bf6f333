# The table of make bench: the numbers (raw.tsv), then qemu-configs/bench. Exit
# status 1 if a row lacks what it needs.

BEGIN { FS = "\t" }

FNR == 1 { file++ }

file == 1 {
	if (!/^#/ && NF == 5)
		value[$1, $2 ":" $3, $4] = $5
	next
}

# Is v what the condition asks for? stock: the value to be relative to.
function holds(v, condition, stock,	part, limit) {
	split(condition, part, " ")
	limit = part[2]
	if (v == "" || v == "-")
		return 0
	if (part[1] == "=")
		return v == limit
	if (limit ~ /x$/) {
		if (stock == "" || stock == "-")
			return 0
		limit = substr(limit, 1, length(limit) - 1) * stock
	}
	return part[1] == ">=" ? v + 0 >= limit + 0 : v + 0 <= limit + 0
}

/^row/ { title[$2] = $3 }

# Columns that were run; none: the row was not asked for.
/^run/ {
	row = $2
	n = 0
	all = split($5, names, " ")
	for (i = 1; i <= all; i++)
		if ((row, names[i], "host_seconds") in value)
			column[++n] = names[i]
	if (!n)
		next
	printf "%s: %s\n", row, title[row]
	for (part = 1; part <= 2; part++) {
		printf "  %-46s", ""
		for (i = 1; i <= n; i++) {
			split(column[i], word, ":")
			printf " %17s", word[part]
		}
		print part == 2 ? "  required" : ""
	}
	for (i = 1; i <= n; i++) {
		if ((row, column[i], "lost") in value) {
			printf "  FAIL %s: the guest did not come to its end\n", column[i]
			lost++
		}
	}
	ended = row
}

/^need/ && $2 == ended {
	printf "  %-46s", $5
	verdict = $4 == "-" ? "" : "PASS"
	for (i = 1; i <= n; i++) {
		v = value[$2, column[i], $3]
		printf " %17s", v == "" ? "-" : v
		if (verdict == "PASS" && column[i] !~ /^stock:/ &&
		    !holds(v, $4, value[$2, column[1], $3]))
			verdict = "FAIL"
	}
	print "  " ($4 == "-" ? "" : sprintf("%-10s", $4)) verdict
	checked += verdict != ""
	bad += verdict == "FAIL"
}

/^row/ && ended { print ""; ended = "" }

END {
	printf "\n%d of %d requirements are met\n", checked - bad, checked
	exit bad + lost > 0 || !checked
}
