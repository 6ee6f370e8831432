# SPDX-License-Identifier: LGPL-2.1-or-later
# What the programs here share: their arguments, and one line for whoever asked. They define create, exists (its status), revert and delete for one
# disk.

set -eu

# Of exists: there is none.
absent=3

fail() {
	echo "$*" >&2
	exit 1
}

# Names go into those of files, volumes and datasets.
check_name() {
	case $1 in
	'' | .* | -* | */*) fail "'$1' cannot be part of a name" ;;
	esac
}

# "yes" when there is something of any disk: it would go with what is kept now. A disk that cannot be looked at ends it.
answer() {
	found=no
	for disk; do
		status=0
		(exists "${disk#*=}") || status=$?
		case $status in
		0) found=yes ;;
		"$absent") ;;
		*) exit 1 ;;
		esac
	done
	echo "$found"
}

main() {
	[ $# -ge 4 ] || fail "usage: ${0##*/} create|exists|revert|delete VM SNAPSHOT TARGET=PATH..."
	action=$1 vm=$2 snapshot=$3
	shift 3
	check_name "$vm"
	check_name "$snapshot"
	case $action in
	create | revert | delete) ;;
	exists) answer "$@"; return ;;
	*) fail "unknown action '$action'" ;;
	esac
	for disk; do
		"$action" "${disk#*=}"
	done
}
