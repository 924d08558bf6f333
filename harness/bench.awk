# The table of make bench: the numbers (raw.tsv), then qemu-configs/bench. Exit
# status 1 if a row lacks what it needs.

BEGIN { FS = "\t" }

FNR == 1 { file++ }

file == 1 {
	if (!/^#/ && NF == 5)
		value[$1, $2 ":" $3, $4] = $5
	next
}

# Is v what the condition asks for? base: the value to be relative to.
function holds(v, part, base,	limit) {
	limit = part[2]
	if (v == "" || v == "-")
		return 0
	if (part[1] == "=")
		return v == limit
	if (sub(/(x|[*].*)$/, "", limit)) {
		if (base == "" || base == "-")
			return 0
		limit *= base
	}
	return part[1] == ">=" ? v + 0 >= limit + 0 : v + 0 <= limit + 0
}

# Does a condition ask something of a column? Of all but the stock kernel's, and
# those it names after "except".
function asks(part, parts, name,	i) {
	if (parts < 2 || name ~ /^stock[:-]/)
		return 0
	for (i = 4; i <= parts; i++)
		if (part[i] == name)
			return 0
	return 1
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
		else
			missing = missing " " names[i]
	if (!n) {
		missing = ""
		next
	}
	printf "%s: %s\n", row, title[row]
	for (part = 1; part <= 2; part++) {
		printf "  %-54s", ""
		for (i = 1; i <= n; i++) {
			split(column[i], word, ":")
			printf " %17s", word[part]
		}
		print part == 2 ? "  required" : ""
	}
	for (i = 1; i <= n; i++) {
		if ((row, column[i], "deadlocked") in value) {
			stock = column[i] ~ /^stock[:-]/
			printf "  %s%s: panic, \"System is deadlocked on memory\"\n",
				stock ? "" : "FAIL ", column[i]
			lost += !stock
		}
		if ((row, column[i], "lost") in value) {
			stock = column[i] ~ /^stock[:-]/
			printf "  %s%s: the guest did not come to its end\n",
				stock ? "" : "FAIL ", column[i]
			lost += !stock
		}
	}
	if (missing)
		printf "  not run:%s\n", missing
	missing = ""
	ended = row
}

/^need/ && $2 == ended {
	printf "  %-54s", $5
	wants = split($4, want, " ")
	# 0.95*a: of what the same column has in row a
	other = want[2] ~ /[*]/ ? want[2] : ""
	sub(/.*[*]/, "", other)
	verdict = ""
	for (i = 1; i <= n; i++) {
		v = value[$2, column[i], $3]
		if (v == "")
			v = "-"
		asked = asks(want, wants, column[i])
		# In parentheses: nothing is asked of it.
		printf " %17s", $4 == "-" || asked || column[i] ~ /^stock[:-]/ ? v : "(" v ")"
		if (!asked)
			continue
		if (!verdict)
			verdict = "PASS"
		base = other ? value[other, column[i], $3] : value[$2, column[1], $3]
		if (other && base == "") {
			if (verdict != "FAIL")
				verdict = "needs row " other
		} else if (!holds(v, want, base)) {
			verdict = "FAIL"
		}
	}
	print "  " ($4 == "-" ? "" : sprintf("%-10s", want[1] " " want[2])) verdict
	checked += verdict ~ /^(PASS|FAIL)$/
	if (verdict == "FAIL")
		failed[++bad] = $2 ": " $5
}

/^row/ && ended { print ""; ended = "" }

END {
	printf "\n%d of %d requirements are met\n", checked - bad, checked
	for (i = 1; i <= bad; i++)
		print "  not met: " failed[i]
	exit bad + lost > 0 || !checked
}
