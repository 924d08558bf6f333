# The table of make soak: files of schedules, as harness/soak.sh leaves them. Exit
# status 1 if anything failed, or there are fewer than there should be.
#
# seed pair hash overlap|apart offline rival before/while/after moved spins pace times

# What n without a failure prove with 95 % confidence: so many fail at most.
function bound(n) { return n ? sprintf("%.2f %%", 100 * (1 - 0.05 ^ (1 / n))) : "-" }

function add(pair) {
	n[pair]++
	if (!(($2, $3) in seen))
		distinct[pair]++
	order = $2 SUBSEP $5 SUBSEP $6 SUBSEP $7
	if (!((pair, order) in orders))
		kinds[pair]++
	orders[pair, order]
	together[pair] += $4 == "overlap"
	removed[pair] += $5 == "ok"
	refused[pair] += $5 != "ok" && $5 != "kept"
	kept[pair] += $5 == "kept"
	if ($6 != "ok")
		no[pair]++
}

/^setup / { next }
/^failed / {
	failed["all"]++
	pair = $4
	sub(/:$/, "", pair)
	if (pair in n)
		failed[pair]++
	says = says "\n  " substr($0, 8)
	next
}
{
	if (!($2 in n))
		names[++pairs] = $2
	add($2)
	add("all")
	seen[$2, $3]
}
END {
	names[++pairs] = "all"
	printf "%-10s%10s%10s%11s%9s%9s%9s%7s%10s%8s%12s\n", "offline", "schedules", "distinct", \
		"at a time", "orders", "removed", "refused", "kept", "rival not", "failed", "95 %: below"
	for (i = 1; i <= pairs; i++) {
		p = names[i]
		printf "%-10s%10d%10d%11d%9d%9d%9d%7d%10d%8d%12s\n", p, n[p], distinct[p], \
			together[p], kinds[p], removed[p], refused[p], kept[p], no[p], failed[p], \
			failed[p] ? "-" : bound(n[p])
	}
	if (says)
		print "Failed:" says
	if (n["all"] < wanted)
		printf "%d schedules of %d are missing\n", wanted - n["all"], wanted
	exit failed["all"] || n["all"] < wanted
}
