# SPDX-License-Identifier: LGPL-2.1-or-later
# What the programs here share: their arguments, and one line for whoever asked. They define create, revert and delete for one disk.

set -eu

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

main() {
	[ $# -ge 4 ] || fail "usage: ${0##*/} create|revert|delete VM SNAPSHOT TARGET=PATH..."
	action=$1 vm=$2 snapshot=$3
	shift 3
	check_name "$vm"
	check_name "$snapshot"
	case $action in
	create | revert | delete) ;;
	*) fail "unknown action '$action'" ;;
	esac
	for disk; do
		"$action" "${disk#*=}"
	done
}
