# What is not the same in the guests of make upstream, and how many passed.
#
#	awk -f harness/upstream.awk <dir>/tests column=1 <tap> column=2 <tap> ...
#
# Columns: 1 stock, 2 patched and unused, 3 patched and in use, 4 and 5 what of 2 and 3 was
# run again. With -v again=2 (or 3) only the numbers of those tests that are to be run again.
# <dir>/tests is qemu-configs/upstream. A test is known by its line there, a part of it by what it says of itself.
#
# Exit status 1 if something passed on stock and not on the patched kernel.

# part(N, WHAT, VERDICT): what this column says of a part of test N, "" the test itself.
function part(n, what, verdict) {
	gsub(/0x[0-9a-f]+/, "0x", what)
	if (what != "" && verdict != "LOGGED")
		while ((column, n, what) in is)
			what = what "'"
	is[column, n, what] = verdict
	# The test itself is the first of its parts.
	if (what != "" && !((n, what) in known)) {
		known[n, what] = 1
		parts[n] = parts[n] SUBSEP what
	}
}

# What the kernel says is the same whichever process and page it is about.
function logged(n, line) {
	gsub(/0x[0-9a-f]+/, "X", line)
	gsub(/[0-9]+/, "N", line)
	part(n, "log: " line, "LOGGED")
}

# verdict(COLUMN, N, WHAT): "none" if the guest did not get there.
function verdict(c, n, what) {
	if ((c, n, what) in is)
		return is[c, n, what]
	if (what ~ /^log: /)
		return n == 0 || (c, n, "") in is ? "passed" : "none"
	return "none"
}

# Not FAILED before, and not now either.
function harm(n, what, c,    first) {
	if (verdict(1, n, what) != "passed" || verdict(c, n, what) == "passed")
		return 0
	# Of a test that ended early, itself is enough.
	first = verdict(c, n, "")
	return what == "" || verdict(c, n, what) != "none" || first == "passed"
}

function in_words(n, what, c,    v) {
	v = verdict(c, n, what)
	if (what ~ /^log: /)
		v = v == "passed" ? "-" : v
	if (c > 1 && harm(n, what, c) && (c + 2) in columns) {
		again_is = verdict(c + 2, n, what)
		v = v ", then " (what ~ /^log: / && again_is == "passed" ? "not" : again_is)
	}
	return v
}

function differs(n, what,    a, b, c) {
	a = verdict(1, n, what); b = verdict(2, n, what); c = verdict(3, n, what)
	if (a == b && b == c)
		return 0
	# What a test did not come to is seen by the test.
	return what == "" || (a != "none" && b != "none" && c != "none")
}

function count(column, own, v,    n, i, list, m, sum) {
	for (n = 1; n <= last; n++) {
		if (!(n in name))
			continue
		m = split(parts[n], list, SUBSEP)
		for (i = 2; i <= m; i++)
			if ((list[i] == "") == own && list[i] !~ /^log: / &&
			    verdict(column, n, list[i]) == v)
				sum++
	}
	return sum + 0
}

BEGIN { name[0] = "(boot)" }

FILENAME ~ /\/tests$/ {
	last = FNR
	next
}

{ columns[column] = 1 }

/^upstream: [0-9]+ / {
	n = $2
	run = ""
	if (!(n in name))
		parts[n] = SUBSEP
	name[n] = $0
	sub(/^upstream: [0-9]+ /, "", name[n])
	next
}

/^(not )?ok [0-9]+ selftests: / {
	v = /^not/ ? "FAILED" : / # SKIP/ ? "skipped" : "passed"
	if (/ # SKIP CONFIG/) {
		why[n] = $0
		sub(/.* # SKIP /, "", why[n])
	} else if (/ # (TIMEOUT|exit)/) {
		how[column, n] = $0
		sub(/.* # /, "", how[column, n])
	}
	part(n, "", v)
	next
}

/^not ok 1 the guest was lost/ {
	lost[column] = $0
	sub(/^not ok 1 /, "", lost[column])
	next
}

/^log: [0-9]+ / {
	m = $2
	line = $0
	sub(/^log: [0-9]+ /, "", line)
	logged(m, line)
	next
}

# Parts of a test: TAP, with what "cow" and others say first, or what uffd-unit-tests prints.
/^# # \[RUN\] / {
	run = $0
	sub(/^# # \[RUN\] /, "", run)
	run = run ": "
	next
}
/^# (not )?ok [0-9]+/ {
	v = /^# not/ ? "FAILED" : / # SKIP/ ? "skipped" : "passed"
	what = $0
	sub(/^# (not )?ok [0-9]+ *(- )?/, "", what)
	sub(/ *# SKIP.*/, "", what)
	# What a program had not written when it forked is written again by its children.
	if (!((column, n, $0) in said))
		part(n, run (what == "" ? "?" : what), v)
	said[column, n, $0] = 1
	next
}
/^# Testing .*\.\.\. (done|failed|skipped)/ {
	what = $0
	sub(/^# Testing /, "", what)
	sub(/\.\.\. (done|failed|skipped).*/, "", what)
	part(n, what, /\.\.\. done/ ? "passed" : /\.\.\. failed/ ? "FAILED" : "skipped")
}

END {
	if (again) {
		for (n = 1; n <= last; n++) {
			if (!(n in name))
				continue
			m = split(parts[n], list, SUBSEP)
			for (i = 2; i <= m; i++)
				if (harm(n, list[i], again)) {
					numbers = numbers (numbers ? "," : "") n
					break
				}
		}
		if (numbers)
			print numbers
		exit
	}

	head[1] = "stock"; head[2] = "patched, unused"; head[3] = "patched, in use"
	head[4] = "unused, again"; head[5] = "in use, again"
	printf "%-26s %9s %8s %8s %28s %8s\n", "", "tests:", "", "", "parts of them, as they say:", ""
	printf "%-26s %9s %8s %8s %12s %8s %8s\n", "", "passed", "failed", "skipped",
		"passed", "failed", "skipped"
	for (c = 1; c <= 5; c++)
		if (c in columns) {
			printf "%-26s %9d %8d %8d %12d %8d %8d\n", head[c],
				count(c, 1, "passed"), count(c, 1, "FAILED"), count(c, 1, "skipped"),
				count(c, 0, "passed"), count(c, 0, "FAILED"), count(c, 0, "skipped")
			if (c in lost)
				printf "  %s\n", lost[c]
		}

	print "\nWhat is not the same in the first three (stock | patched, unused | patched, in use):"
	for (n = 0; n <= last; n++) {
		if (!(n in name))
			continue
		m = split(parts[n], list, SUBSEP)
		shown = 0
		for (i = 2; i <= m; i++) {
			what = list[i]
			if (!differs(n, what))
				continue
			if (!shown++)
				print "  " name[n]
			line = in_words(n, what, 1) " | " in_words(n, what, 2) " | " in_words(n, what, 3)
			printf "    %s%s\n", line, what == "" ? "" : ": " what
			differences++
			for (c = 2; c <= 3; c++)
				if (harm(n, what, c)) {
					if (verdict(c + 2, n, what) == "passed")
						chance++
					else
						bad = bad "  " head[c] ": " name[n] (what == "" ? "" : ": " what) "\n"
				}
		}
	}
	if (!differences)
		print "  nothing"

	for (n = 1; n <= last; n++) {
		if (!(n in name))
			continue
		all = verdict(1, n, "") "," verdict(2, n, "") "," verdict(3, n, "")
		if (all == "FAILED,FAILED,FAILED")
			failed = failed "  " name[n] (((1, n) in how) ? " (" how[1, n] ")" : "") "\n"
		if (all == "skipped,skipped,skipped") {
			if (n in why)
				option[why[n]] = option[why[n]] "  " name[n] "\n"
			else
				skipped = skipped "  " name[n] "\n"
		}
	}
	if (failed)
		printf "\nFailed in all three:\n%s", failed
	for (o in option)
		printf "\nSkipped in all three, %s:\n%s", o, option[o]
	if (skipped)
		printf "\nSkipped in all three, by themselves:\n%s", skipped

	print ""
	if (bad)
		printf "Passed on stock and not on the patched kernel, and not when run again:\n%s", bad
	else
		print "All that passed on stock passed on the patched kernel" \
			(chance ? ", " chance " of it only when run again." : ".")
	exit bad != ""
}
