# The tables of make bench as one file of Markdown, a section for each row.
#
#	awk -f harness/bench-judge.awk -f harness/bench-markdown.awk <raw.tsv>... \
#		qemu-configs/bench
#
# What is no file of such numbers is left out.

BEGIN {
	words["stock"] = "stock"
	words["n"] = "option off"
	words["patched"] = "series"
	words["lockstat"] = "series with lock_stat"
	words["stock-lockstat"] = "stock with lock_stat"
	words["online_movable"] = "ZONE_MOVABLE"
	words["online_hotremove"] = "hot-removable"
	words["online_kernel"] = "kernel zone"
	words["cma"] = "CMA"
	words["cma-always"] = "CMA always"
	words["cma-never"] = "CMA never"
	words["none"] = "offline"
}

function word(name) {
	return name in words ? words[name] : name
}

# A column, patched:cma, in words.
function in_words(name,	part) {
	split(name, part, ":")
	return word(part[1]) ", " word(part[2])
}

function file_name(path) {
	sub(/.*\//, "", path)
	return path
}

function link(path) {
	return "[" file_name(path) "](" file_name(path) ")"
}

# Text that Markdown is to leave alone.
function plain(text) {
	gsub(/[|*]/, "\\\\&", text)
	return text
}

function say(text) {
	out[++lines] = text
}

function not_met(f, row, what) {
	failed[++bad] = "* [" row "](#" row "), " file_name(name[f]) ": " plain(what)
}

# What the guests of a row say of themselves goes to the heading of their file.
function note_guests(f, row,	i, version, setup, own) {
	for (i = 1; i <= nr[f]; i++) {
		version = value[f, row, column[f, i], "kernel"]
		sub(/ .*/, "", version)
		if (version && !((f, version) in kernel_seen)) {
			kernel_seen[f, version] = 1
			kernels[f] = kernels[f] (kernels[f] ? ", " : "") version
		}
	}
	split(value[f, row, column[f, 1], "setup"], setup, " ")
	guest = setup[1] ? "`" setup[1] "` on `" setup[2] "`, " : ""
	# What BENCH_ARGS= added to the scenario, if it did to all of them.
	own = index(setup[1], scenario ",") == 1 ? substr(setup[1], length(scenario) + 2) : ""
	if (!rows[f]++)
		added[f] = own
	else if (added[f] != own)
		added[f] = ""
	have[f, row] = 1
}

function head(f, row,	i, n, names, line, rule, said) {
	note_guests(f, row)
	say("")
	n = split(missing[f], names, " ")
	line = guest link(name[f])
	for (i = 1; i <= n; i++)
		line = line (i == 1 ? "; not run: " : "; ") in_words(names[i])
	say(line)
	for (i = 1; i <= nr[f]; i++) {
		said = lost(f, row, column[f, i])
		if (!said)
			continue
		say("")
		say(in_words(column[f, i]) ": " said)
		if (!is_stock(column[f, i]))
			not_met(f, row, in_words(column[f, i]) ": " said)
	}
	line = "| requirement |"
	rule = "|---|"
	for (i = 1; i <= nr[f]; i++) {
		line = line " " in_words(column[f, i]) " |"
		rule = rule "--:|"
	}
	say("")
	say(line " required | verdict |")
	say(rule "---|---|")
}

function body(f, row,	i, j, line, said) {
	for (j = 1; j <= needs; j++) {
		line = "| " plain(what[j]) " |"
		for (i = 1; i <= nr[f]; i++)
			line = line " " plain(shown(f, row, key[j], condition[j], column[f, i])) " |"
		said = verdict(f, row, key[j], condition[j])
		if (said ~ /^(PASS|FAIL)$/)
			checked[f]++
		met[f] += said == "PASS"
		if (said == "FAIL") {
			not_met(f, row, what[j])
			said = "**FAIL**"
		}
		say(line " " (condition[j] == "-" ? "" : plain(asked(condition[j]))) " | " said " |")
	}
}

# All that the matrix says of a row is known.
function section(	f, found) {
	if (row == "")
		return
	for (f = 1; f <= files; f++) {
		if (!columns(f, row, all))
			continue
		if (!found++) {
			say("")
			say("## " row)
			say("")
			say(plain(title))
		}
		head(f, row)
		body(f, row)
	}
	if (!found)
		unmeasured = unmeasured (unmeasured ? ", " : "") row
}

/^row/ {
	section()
	row = $2
	title = $3
	needs = 0
	order[++nr_rows] = row
	family[nr_rows] = substr(row, 1, 1)
}

/^run/ {
	scenario = $3
	all = $5
}

/^need/ && $2 == row {
	key[++needs] = $3
	condition[needs] = $4
	what[needs] = $5
}

# make bench, with the rows of a file: r* if these are all whose names begin with r.
function command(f,	i, lacks, any, said, list) {
	for (i = 1; i <= nr_rows; i++)
		if (!((f, order[i]) in have)) {
			lacks[family[i]] = 1
			any = 1
		}
	for (i = 1; i <= nr_rows; i++) {
		if (!(family[i] in lacks)) {
			if (!(family[i] in said))
				list = list "," family[i] "*"
			said[family[i]] = 1
		} else if ((f, order[i]) in have) {
			list = list "," order[i]
		}
	}
	return "make bench" (any ? " BENCH='" substr(list, 2) "'" : "") \
		(added[f] ? " BENCH_ARGS=" added[f] : "")
}

END {
	section()
	print "# Results of make bench"
	print ""
	print "Made by `make table`, of the files below and what `qemu-configs/bench` asks:"
	print "what rows and columns are is in [testing](../../testing.md#numbers-make-bench),"
	print "what the numbers do not show in [results](../README.md). In parentheses is what a"
	print "requirement leaves out; \"2x\" is twice what the first column has."
	print ""
	print "| numbers | command | kernel | QEMU | requirements met |"
	print "|---|---|---|---|---|"
	for (f = 1; f <= files; f++) {
		if (!rows[f])
			continue
		qemu = first[f] ~ /^# / ? substr(first[f], 3) : ""
		sub(/^QEMU emulator version /, "", qemu)
		printf "| %s | `%s` | %s | %s | %d of %d |\n", link(name[f]), command(f), \
			kernels[f], plain(qemu), met[f], checked[f]
		all_met += met[f]
		all_checked += checked[f]
	}
	printf "| all | | | | %d of %d |\n", all_met, all_checked
	print ""
	print "Kernels by image and configuration, and the machine, are the first lines of each file."
	if (unmeasured)
		print "\nNot measured: " unmeasured "."
	if (bad)
		print "\nNot met:\n"
	for (i = 1; i <= bad; i++)
		print failed[i]
	for (i = 1; i <= lines; i++)
		print out[i]
	exit !all_checked
}
