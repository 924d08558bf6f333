# Prints the documented targets and variables of a makefile: those with a line
# "## text" before them.
/^## / { text = substr($0, 4); next }
text && /\?=/ {
	value = $0
	sub(/^[^=]*= */, "", value)
	vars = vars sprintf("  %-22s %s\n", $1 "=" value, text)
}
text && /^[a-z-]+:/ {
	sub(/:.*/, "")
	targets = targets sprintf("  %-22s %s\n", $0, text)
}
{ text = "" }
END { printf "Targets:\n%s\nVariables and their defaults:\n%s", targets, vars }
