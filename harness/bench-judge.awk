# What the tables of make bench share: files like raw.tsv, the last argument after
# them, which is qemu-configs/bench, and whether a row has what it needs.

BEGIN {
	FS = "\t"
	matrix = ARGV[ARGC - 1]
}

FILENAME != matrix {
	if (FNR == 1) {
		name[++files] = FILENAME
		first[files] = $0
	}
	if (!/^#/ && NF == 5) {
		value[files, $1, $2 ":" $3, $4] = $5
		ran[files, $1, $2 ":" $3] = 1
	}
	next
}

# Rows and their sizes, for exponents.
/^scale/ { scale[$2] = $3 }

# How does a number grow with the size of its row? The slope of a line through the
# logarithms of both, by least squares. Empty if one of the rows was not run.
function exponent(f, row, name, key,	n, part, i, at, v, x, y, sx, sy, sxx, sxy) {
	n = split(scale[row], part, " ")
	for (i = 1; i <= n; i++) {
		split(part[i], at, "=")
		if (!((f, at[1], name) in ran))
			return ""
	}
	for (i = 1; i <= n; i++) {
		split(part[i], at, "=")
		v = value[f, at[1], name, key]
		if (v + 0 <= 0)
			return "-"
		x = log(at[2])
		y = log(v)
		sx += x
		sy += y
		sxx += x * x
		sxy += x * y
	}
	if (n < 2)
		return "-"
	v = (n * sxy - sx * sy) / (n * sxx - sx * sx)
	# no -0.000
	return sprintf("%.3f", v * v < 0.0005 * 0.0005 ? 0 : v)
}

# The columns of a row that were run, how many; the others go to missing[f]. "2x" is
# against the first one, run or not.
function columns(f, row, all,	names, i, n) {
	n = split(all, names, " ")
	against[f] = names[1]
	nr[f] = 0
	missing[f] = ""
	for (i = 1; i <= n; i++)
		if ((f, row, names[i]) in ran)
			column[f, ++nr[f]] = names[i]
		else
			missing[f] = missing[f] " " names[i]
	return nr[f]
}

# What a column has, "-" if nothing.
function number(f, row, name, key,	v) {
	if (key ~ /^\^/) {
		v = exponent(f, row, name, substr(key, 2))
		return v == "" ? "-" : v
	}
	if ((f, row, name, key) in value && value[f, row, name, key] != "")
		return value[f, row, name, key]
	return "-"
}

# What became of a guest that has no numbers, if so.
function lost(f, row, name) {
	if ((f, row, name, "deadlocked") in value)
		return "panic, \"System is deadlocked on memory\""
	if ((f, row, name, "lost") in value)
		return "the guest did not come to its end"
	return ""
}

function is_stock(name) {
	return name ~ /^stock[:-]/
}

# Does a condition ask something of a column? Of all but the stock kernel's, and
# those it names after "except".
function asks(condition, name,	part, parts, i) {
	parts = split(condition, part, " ")
	if (parts < 2 || is_stock(name))
		return 0
	for (i = 4; i <= parts; i++)
		if (part[i] == name)
			return 0
	return 1
}

# As it is shown. In parentheses: nothing is asked of it.
function shown(f, row, key, condition, name,	v) {
	v = number(f, row, name, key)
	return condition == "-" || asks(condition, name) || is_stock(name) ? v : "(" v ")"
}

# What is asked, without whom it is not asked of.
function asked(condition,	part) {
	return split(condition, part, " ") < 2 ? "" : part[1] " " part[2]
}

# Is v what is asked for? base: the value to be relative to.
function holds(v, condition, base,	part, limit) {
	split(condition, part, " ")
	limit = part[2]
	if (v == "-")
		return 0
	if (part[1] == "=")
		return v == limit
	if (sub(/(x|[*].*)$/, "", limit)) {
		if (base == "-")
			return 0
		limit *= base
	}
	return part[1] == ">=" ? v + 0 >= limit + 0 : v + 0 <= limit + 0
}

# PASS, FAIL, "needs row x", "needs rows ..." with their sizes, or nothing if nothing is asked of the columns run.
function verdict(f, row, key, condition,	part, other, base, said, i) {
	split(condition, part, " ")
	# 0.95*a: of what the same column has in row a
	other = part[2] ~ /[*]/ ? part[2] : ""
	sub(/.*[*]/, "", other)
	for (i = 1; i <= nr[f]; i++) {
		if (!asks(condition, column[f, i]))
			continue
		if (!said)
			said = "PASS"
		if (other && !((f, other, column[f, i], key) in value)) {
			if (said != "FAIL")
				said = "needs row " other
			continue
		}
		if (key ~ /^\^/ && exponent(f, row, column[f, i], substr(key, 2)) == "") {
			if (said != "FAIL")
				said = "needs rows " scale[row]
			continue
		}
		base = other ? number(f, other, column[f, i], key) : number(f, row, against[f], key)
		if (!holds(number(f, row, column[f, i], key), condition, base))
			said = "FAIL"
	}
	return said
}
