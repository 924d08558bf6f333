# What console logs of make kcsan have: reports of KCSAN by the two functions that raced.
#
#	awk -v allow=harness/kcsan.allow -f kcsan.awk LOG...
#
# Logs whose directory is kcsan-stock-* are of the stock kernel. Exit status 1 if there
# is a race in the others only, that no expression of the file allow names, or a log
# that ends before its guest did.

BEGIN {
	while ((getline line <allow) > 0)
		if (line !~ /^(#|[ \t]*$)/)
			allowed[++allows] = line
}

FNR == 1 {
	stock = FILENAME ~ /\/kcsan-stock-[^\/]*\/[^\/]*$/
	name = FILENAME
	sub(/\/[^\/]*$/, "", name)
	sub(/.*\/kcsan-/, "", name)
	names[++logs] = name
	inside = 0
}

{
	sub(/\r$/, "")
	sub(/^\[ *[0-9.]+\](\[[^]]*\])? /, "")
}

# The compiler's copies of a function are that function.
/^BUG: KCSAN: / {
	title = $0
	sub(/^BUG: KCSAN: /, "", title)
	gsub(/\.(isra|part|constprop|cold)(\.[0-9]+)?/, "", title)
	gsub(/\+0x[0-9a-f]+\/0x[0-9a-f]+/, "", title)
	count[stock, title]++
	if (!stock && !(title in first)) {
		titles[++n] = title
		first[title] = ""
		text = title
	} else {
		text = ""
	}
	reports[name]++
	inside = 1
	next
}
inside && /^=+$/ { inside = 0; next }
inside && text != "" { first[text] = first[text] "    " $0 "\n" }

/hotremove: setup_watchpoints: / { watched[name] = $NF }
/reboot: Power down/ { ended[name] = 1 }

END {
	for (i = 1; i <= logs; i++) {
		printf "%-12s %9d accesses watched, %4d reports%s\n", names[i],
			watched[names[i]], reports[names[i]],
			names[i] in ended ? "" : ", and the guest was LOST"
		bad += !(names[i] in ended) || !watched[names[i]]
	}
	for (i = 1; i <= n; i++) {
		title = titles[i]
		if ((1, title) in count) {
			both++
			continue
		}
		for (j = 1; j <= allows; j++)
			if (title ~ allowed[j])
				break
		if (j <= allows) {
			known++
			continue
		}
		fresh++
		printf "\n%s (%d times)\n%s", title, count[0, title], first[title]
	}
	printf "\n%d races with the series: %d on the stock kernel too, %d in kcsan.allow, %d new\n",
		n, both, known, fresh
	exit !!(fresh + bad)
}
