# Completion of secretctl for fish: ~/.config/fish/completions/secretctl.fish
# The words go through a pipe: arguments can be seen by others.

function __secretctl_complete
    set -l words (commandline -opc)[2..-1] (commandline -ct)
    string join0 -- $words | command secretctl __complete 2>/dev/null | while read -l line
        switch $line
            case ':files*' ':directories*'
                set -l typed (commandline -ct)
                set -l before (string match -r '^--[^=]*=' -- $typed; or echo)
                # What comes back is quoted for a command line, and fish is about to quote what we say.
                set -l found (complete -C "'' "(string replace -r '^--[^=]*=' '' -- $typed))
                set -l paths (string replace -r '\t.*' '' -- $found | string unescape)
                test (count $paths) -gt 0; and printf '%s\n' $before$paths
            case ':command*'
                set -l at (math (string replace ':command ' '' -- $line) + 1)
                complete -C (string join ' ' -- (string escape -- $words[$at..-2]) $words[-1])
            case '*'
                echo $line
        end
    end
end

complete -c secretctl -f -a '(__secretctl_complete)'
