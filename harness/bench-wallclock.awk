# What several runs of the same guests, or machines, say of time.
#
#	awk -f harness/bench-wallclock.awk -f harness/bench-judge.awk <raw.tsv>... \
#		qemu-configs/bench
#
# The median for each column, and its ratio to that of the first column of the row,
# with the lowest and the highest one of a single round. Keys say their unit:
# x_us, ms_x. What a program computes from time as instructions of 2 ns each (x_insn,
# x_minsn) is time again, that of a CPU that is not idle, unless there is x_us, too.
#
# Exit status 1 if there is nothing, or a guest was lost.

# The unit of a number by its key; empty: it is none of time.
function unit(key) {
	if (key ~ /_(pct|mib|kb|ratio)$/ || key == "host_seconds" || key ~ /^insn_/)
		return ""
	if (key ~ /(^|_)minsn(_|$)/)
		return "ms busy"
	if (key ~ /(^|_)insn(_|$)/ || key ~ /(^|_)busy_page$/)
		return "ns busy"
	if (key ~ /(^|_)ns(_|$)/)
		return "ns"
	if (key ~ /(^|_)us(_|$)/)
		return "us"
	if (key ~ /(^|_)ms(_|$)/)
		return "ms"
	return key ~ /(^|_)seconds(_|$)/ ? "s" : ""
}

# Before bench-judge.awk, which would keep the last run only. With several files a run
# is one more all the same: medians go to what is the first file for it.
FILENAME != matrix {
	if (/^#/ || NF != 5)
		next
	by = $2 ":" $3
	if ($4 == "lost")
		gone[$1, by]++
	if ($4 == "host_seconds" || unit($4) && $5 ~ /^[0-9.]+$/) {
		nth = ++times[$1, by, $4]
		run[$1, by, $4, nth] = unit($4) ~ /busy/ ? 2 * $5 : $5 + 0
		# Not all programs say who ran them, and for how long.
		if (nth > runs[$1, by])
			runs[$1, by] = nth
		if (!(($1, $4) in seen)) {
			seen[$1, $4] = 1
			keys[$1] = keys[$1] " " $4
		}
	}
	next
}

function median(row, who, key,	n, i, j, v, in_order) {
	n = times[row, who, key]
	for (i = 1; i <= n; i++) {
		v = run[row, who, key, i]
		for (j = i - 1; j > 0 && in_order[j] > v; j--)
			in_order[j + 1] = in_order[j]
		in_order[j + 1] = v
	}
	return n % 2 ? in_order[(n + 1) / 2] : (in_order[n / 2] + in_order[n / 2 + 1]) / 2
}

# "0.980 0.95-1.03": of the medians, and of the rounds.
function ratio(row, who, to, key,	n, i, r, low, high) {
	n = times[row, who, key]
	if (times[row, to, key] < n)
		n = times[row, to, key]
	if (!n || !value[1, row, to, key])
		return "-"
	for (i = 1; i <= n; i++) {
		if (!run[row, to, key, i])
			return "-"
		r = run[row, who, key, i] / run[row, to, key, i]
		if (i == 1 || r < low)
			low = r
		if (i == 1 || r > high)
			high = r
	}
	return sprintf("%.3f %.2f-%.2f", value[1, row, who, key] / value[1, row, to, key],
		low, high)
}

# The first column has no ratio.
function cell(i) {
	return i == 1 ? " %17s" : " %30s"
}

function head(row, title, n, who,	part, i, word) {
	printf "%s: %s\n", row, title
	for (part = 1; part <= 2; part++) {
		printf "  %-36s", ""
		for (i = 1; i <= n; i++) {
			split(who[i], word, ":")
			printf cell(i), word[part]
		}
		print ""
	}
	printf "  %-36s", "runs (lost)"
	for (i = 1; i <= n; i++)
		printf cell(i), runs[row, who[i]] + 0 " (" gone[row, who[i]] + 0 ")"
	print ""
}

function line(row, key, n, who,	i, v) {
	printf "  %-28s %-7s", key, unit(key)
	for (i = 1; i <= n; i++) {
		v = number(1, row, who[i], key)
		if (v != "-")
			v = sprintf("%.6g", v)
		if (i == 1)
			printf cell(i), v
		else
			printf " %9s %20s", v, ratio(row, who[i], who[1], key)
	}
	print ""
}

function exponents(row, key, n, who,	i, v, any, text) {
	for (i = 1; i <= n; i++) {
		v = number(1, row, who[i], "^" key)
		any += v != "-"
		text = text (i == 1 ? sprintf(cell(i), v) : sprintf(" %9s %20s", v, ""))
	}
	if (any)
		printf "  %-36s%s\n", "  exponent", text
}

/^row/ { titles[$2] = $3 }

/^run/ { order[++rows] = $2; all[$2] = $5 }

END {
	for (r = 1; r <= rows; r++) {
		n = split(all[order[r]], who, " ")
		nr_keys = split(keys[order[r]], key, " ")
		for (i = 1; i <= n; i++) {
			if (runs[order[r], who[i]])
				ran[1, order[r], who[i]] = 1
			lost_guests += gone[order[r], who[i]]
			for (k = 1; k <= nr_keys; k++)
				if (times[order[r], who[i], key[k]])
					value[1, order[r], who[i], key[k]] = \
						median(order[r], who[i], key[k])
		}
	}
	for (r = 1; r <= rows; r++) {
		row = order[r]
		n = split(all[row], who, " ")
		nr_keys = split(keys[row], key, " ")
		if (!nr_keys)
			continue
		some++
		head(row, titles[row], n, who)
		for (k = 1; k <= nr_keys; k++) {
			us = key[k]
			sub(/m?insn$/, "us", us)
			if (key[k] == "host_seconds" || us != key[k] && (row, us) in seen)
				continue
			line(row, key[k], n, who)
			if (row in scale)
				exponents(row, key[k], n, who)
		}
		print ""
	}
	exit !some || lost_guests > 0
}
