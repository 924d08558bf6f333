#!/bin/sh
# An interactive guest with memory to plug. Leave with exit, or Ctrl-a x.
#
#	harness/shell.sh [<variant>]		VARIANT= works, too
exec "$(dirname "$0")/guest.sh" "${1:-${VARIANT:-small}}" shell
