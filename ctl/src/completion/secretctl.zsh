#compdef secretctl
# Completion of secretctl for zsh. A file named _secretctl in a directory of $fpath, or after compinit:
# eval "$(secretctl completions zsh)"
# The words go through a pipe: arguments can be seen by others.

_secretctl() {
    local line
    local -a values
    while IFS= read -r line; do
        case $line in
            :files*) compset -P 1 '--*=' ; _files ;;
            :directories*) compset -P 1 '--*=' ; _files -/ ;;
            :command*)
                local skip=$((${line#:command } + 1))
                shift $skip words
                ((CURRENT -= skip))
                _normal
                return
                ;;
            *) values+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}") ;;
        esac
    done < <(print -rNn -- "${(@)words[2,CURRENT]}" | command secretctl __complete 2>/dev/null)
    ((${#values})) && _describe -t values secretctl values -U
}

if [[ ${funcstack[1]} == _secretctl ]]; then
    _secretctl "$@"
else
    compdef _secretctl secretctl
fi
