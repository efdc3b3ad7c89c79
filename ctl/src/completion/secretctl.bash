# Completion of secretctl for bash. Load it with: eval "$(secretctl completions bash)"
# The words go through a pipe: arguments can be seen by others.

_secretctl() {
    local IFS=$'\n' words=() starts=() word line at prefix
    COMPREPLY=()
    # Bash splits words at "=" and ":" too, unlike the program; the last one is what Tab completes.
    for ((at = 1; at <= COMP_CWORD; at++)); do
        word=${COMP_WORDS[at]}
        if ((at > 1)) && [[ $word == [=:]* || ${COMP_WORDS[at - 1]} == [=:] ]] && [[ ${words[-1]} != -- ]]; then
            words[-1]+=$word
        else
            words+=("$word")
            starts+=("$at")
        fi
    done
    prefix=${words[-1]%"${COMP_WORDS[COMP_CWORD]}"}
    [[ ${COMP_WORDS[COMP_CWORD]} == [=:] ]] && prefix=${words[-1]}
    while IFS= read -r line; do
        case $line in
            :files*) compopt -o default 2>/dev/null ;;
            :directories*) compopt -o dirnames 2>/dev/null ;;
            :command*)
                at=${starts[${line#:command }]}
                if declare -F _command_offset >/dev/null; then
                    _command_offset "$at"
                elif ((at == COMP_CWORD)); then
                    mapfile -t COMPREPLY < <(compgen -c -- "${COMP_WORDS[COMP_CWORD]}")
                else
                    compopt -o default 2>/dev/null
                fi
                ;;
            *)
                line=${line%%$'\t'*}
                COMPREPLY+=("${line#"$prefix"}")
                ;;
        esac
    done < <(printf '%s\0' "${words[@]}" | secretctl __complete 2>/dev/null)
}

complete -F _secretctl secretctl
