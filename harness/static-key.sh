#!/bin/sh
# The sites where a static key is asked in an object file, by function, and what
# stands there while the key is off.
#
#	harness/static-key.sh <file.o> [<key>]
#
# A no-op that is patched at run time, and code behind it that is reached by the
# patched jump only: that is all the key costs while it is off. A site with a
# jump in it would be on the wrong side. Exit status 1 if there is such a site.
set -eu

object=$1
key=${2:-hotremove_key}

# Offsets in .text of the sites of the key: an entry of the table is 16 bytes,
# code, target, key, and has a relocation for each.
sites() {
	objdump -r -j __jump_table "$object" | awk -v key="$key" '
		$2 == "R_X86_64_PC32" && !code { code = $3; next }
		$2 == "R_X86_64_PC64" {
			if ($3 ~ "^" key "[+]" && code ~ /^\.text[+]/) {
				sub(/.*0x0*/, "", code)
				print code
			}
			code = ""
		}'
}

sites | sort >"${TMPDIR:-/tmp}/sites.$$"
trap 'rm -f "${TMPDIR:-/tmp}/sites.$$"' EXIT
objdump -d -w -j .text "$object" | awk -v sites="${TMPDIR:-/tmp}/sites.$$" '
	BEGIN { FS = "\t"; while ((getline offset <sites) > 0) { wanted[offset]; n++ } }
	/^[0-9a-f]+ <.*>:$/ { name = $0; sub(/.*</, "", name); sub(/>:/, "", name) }
	/^ +[0-9a-f]+:/ {
		offset = $1
		gsub(/[ :]/, "", offset)
		if (!(offset in wanted))
			next
		if ($3 ~ /^(nop|xchg +%ax,%ax|data16)/)
			nop[name]++
		else
			jump[name] = jump[name] " " $3
		if (!(name in seen)) { seen[name]; order[++names] = name }
	}
	END {
		for (i = 1; i <= names; i++) {
			name = order[i]
			printf "%-40s %3d no-ops%s\n", name, nop[name], \
				(name in jump) ? ", NOT:" jump[name] : ""
			nops += nop[name]
		}
		printf "%d sites in .text, in %d functions, %d of them no no-op\n", \
			n, names, n - nops
		exit nops != n
	}'
