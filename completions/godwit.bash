# SPDX-License-Identifier: LGPL-2.1-or-later
# Completion of the godwit command in bash. The words come from godwit itself, so nothing here knows a command.

_godwit() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
	local program=${COMP_WORDS[0]} command= connection=() parted=() i

	# the program's own options come first; what they take is no command
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-c | --connect | --socket | --root) connection+=("${COMP_WORDS[i]}" "${COMP_WORDS[i + 1]}"); ((i++)) ;;
		--timeout) ((i++)) ;;
		-*) ;;
		*) command=${COMP_WORDS[i]}; break ;;
		esac
	done
	case $prev in
	--socket | --file | --xml | --persistent-xml | --hook) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
	--comp-methods) COMPREPLY=($(compgen -W "xbzrle zlib zstd" -- "$cur")); return ;;
	--image-format) COMPREPLY=($(compgen -W "raw zstd sparse" -- "$cur")); return ;;
	--root | --disk-dir) compopt -o filenames; COMPREPLY=($(compgen -d -- "$cur")); return ;;
	esac
	# "image info" is image-info: behind "image" come the words that such names end in
	if [[ -n $command && $cur != -* ]] && ((i + 1 == COMP_CWORD)); then
		parted=($("$program" help --complete 2>/dev/null))
		if [[ " ${parted[*]} " != *" $command "* && " ${parted[*]} " == *" $command-"* ]]; then
			parted=($(compgen -W "${parted[*]}" -- "$command-$cur"))
			COMPREPLY=("${parted[@]#"$command-"}")
			return
		fi
	fi
	if ((i + 1 < COMP_CWORD)) && "$program" help "$command-${COMP_WORDS[i + 1]}" &>/dev/null; then
		command+=-${COMP_WORDS[++i]}
	fi
	if [[ $command == image-convert && $prev == --format ]]; then
		COMPREPLY=($(compgen -W "raw zstd sparse" -- "$cur"))
		return
	fi
	if [[ -z $command ]]; then
		if [[ $cur == -* ]]; then
			COMPREPLY=($(compgen -W "--connect --socket --root --readonly --quiet --timeout --help --version" -- "$cur"))
		else
			COMPREPLY=($(compgen -W "$("$program" help --complete 2>/dev/null)" -- "$cur"))
		fi
	elif [[ $cur == -* ]]; then
		COMPREPLY=($(compgen -W "$("$program" help --complete "$command" 2>/dev/null)" -- "$cur"))
	elif [[ $command == help ]]; then
		COMPREPLY=($(compgen -W "$("$program" help --complete 2>/dev/null)" -- "$cur"))
	else
		# the first word of most commands is a VM; of the others, and behind it, a file is the best guess
		local IFS=$'\n'
		if ((i + 1 == COMP_CWORD)) && "$program" help "$command" 2>/dev/null | grep -q "<domain>"; then
			COMPREPLY=($(compgen -W "$("$program" -q --timeout 2 "${connection[@]}" list --all --name 2>/dev/null)" -- "$cur"))
		else
			compopt -o filenames
			COMPREPLY=($(compgen -f -- "$cur"))
		fi
	fi
}

complete -F _godwit godwit
