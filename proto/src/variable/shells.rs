//! The shells' own variables, as far as their names can be names of secrets, which are in upper case.
//!
//! From bash 5.2 (`declare -pi`, `declare -pr`, the manual's "Shell Variables", `special_vars` in `variables.c`), bash in
//! POSIX mode, dash 0.5.12, zsh 5.9 (`$parameters` with its modules loaded, zshparam(1)), fish 3.6, mksh R59
//! (`typeset -i`, `typeset -r`, mksh(1)), ksh93u+m 1.0.4 (the same), yash 2.52 and busybox's ash 1.35; and from assigning
//! values to every name that their programs hold, which the tests do again with the shells that are there.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::Reason;

/// The names by what is done with them, separated by blanks; each stands with the first shell that has it.
#[rustfmt::skip]
pub(super) const TABLE: &[(Reason, &str)] = &[
    // Integers of bash.
    (Reason::Evaluated, "
        BASHPID EUID HISTCMD LINENO MAILCHECK OPTIND PPID RANDOM SECONDS SRANDOM UID
    "),
    // Of zsh, and those that zsh reads as numbers later.
    (Reason::Evaluated, "
        ARGC BAUD COLUMNS DIRSTACKSIZE EGID ERRNO FUNCNEST GID HISTSIZE KEYTIMEOUT LINES LISTMAX LOGCHECK PERIOD
        REPORTMEMORY REPORTTIME SAVEHIST SHLVL TMOUT TRY_BLOCK_ERROR TRY_BLOCK_INTERRUPT TTYIDLE ZLE_RPROMPT_INDENT
        ZSH_SUBSHELL
    "),
    // Of ksh93; of mksh, where COLUMNS, LINES, HISTSIZE and TMOUT are integers, too.
    (Reason::Evaluated, "
        JOBMAX KSHEGID KSHGID KSHUID PGRP PIPESTATUS USER_ID
    "),
    // Prompts of all shells, and what bash expands like one.
    (Reason::Executed, "
        PS0 PS1 PS2 PS3 PS4 PROMPT_COMMAND MAILPATH
    "),
    // Prompts of zsh, and what it expands like one.
    (Reason::Executed, "
        PROMPT PROMPT2 PROMPT3 PROMPT4 RPROMPT RPROMPT2 RPS1 RPS2 SPROMPT PROMPT_EOL_MARK PSVAR POSTEDIT TIMEFMT
        WATCHFMT
    "),
    // Prompts of yash.
    (Reason::Executed, "
        POST_PROMPT_COMMAND PS1P PS1R PS1S PS2P PS2R PS2S PS3P PS3R PS3S PS4P PS4R PS4S YASH_PS1 YASH_PS1P YASH_PS1R
        YASH_PS1S YASH_PS2 YASH_PS2P YASH_PS2R YASH_PS2S YASH_PS3 YASH_PS4 YASH_PS4S
    "),
    // Commands: yash, zsh; then what fc, line editors and mksh start.
    (Reason::Executed, "
        COMMAND_NOT_FOUND_HANDLER YASH_AFTER_CD NULLCMD READNULLCMD STTY EDITOR VISUAL FCEDIT HISTEDIT EXECSHELL SHELL
    "),
    // Where programs, functions, modules, start files, key bindings and descriptions of terminals are found.
    (Reason::Executed, "
        PATH FPATH MODULE_PATH BASH_LOADABLES_PATH YASH_LOADPATH CDPATH ENV BASH_ENV ZDOTDIR HOME INPUTRC TERMCAP
        TERMINFO TERMINFO_DIRS
    "),
    // Bash: read-only, dynamic, arrays, or set by the shell itself before they can be read.
    (Reason::NotKept, "
        _ BASH BASHOPTS BASH_ALIASES BASH_ARGC BASH_ARGV BASH_ARGV0 BASH_CMDS BASH_COMMAND BASH_EXECUTION_STRING
        BASH_LINENO BASH_REMATCH BASH_SOURCE BASH_SUBSHELL BASH_VERSINFO BASH_VERSION COMPREPLY COMP_CWORD COMP_KEY
        COMP_LINE COMP_POINT COMP_TYPE COMP_WORDS COPROC DIRSTACK EPOCHREALTIME EPOCHSECONDS FUNCNAME GROUPS MAPFILE
        OLDPWD OPTARG PWD READLINE_ARGUMENT READLINE_LINE READLINE_MARK READLINE_POINT REPLY SHELLOPTS
    "),
    // Zsh: the same; setting USERNAME changes the user.
    (Reason::NotKept, "
        HISTCHARS KEYBOARD_HACK MATCH MBEGIN MEND TTY USERNAME ZSH_ARGZERO ZSH_EVAL_CONTEXT ZSH_EXECUTION_STRING
        ZSH_NAME ZSH_PATCHLEVEL ZSH_SCRIPT ZSH_VERSION
    "),
    // Fish, mksh and ksh93, yash.
    (Reason::NotKept, "
        CMD_DURATION FISH_VERSION KSH_MATCH KSH_VERSION PATHSEP WORDS TARGETWORD HANDLED YASH_VERSION
    "),
    // Bash, and POSIX.
    (Reason::Setting, "
        BASH_COMPAT BASH_XTRACEFD CHILD_MAX COMP_WORDBREAKS EMACS EXECIGNORE FIGNORE GLOBIGNORE HISTCONTROL HISTFILE
        HISTFILESIZE HISTIGNORE HISTTIMEFORMAT HOSTFILE IFS IGNOREEOF INSIDE_EMACS LANG LANGUAGE MAIL OPTERR
        POSIXLY_CORRECT PROMPT_DIRTRIM TERM TEXTDOMAIN TEXTDOMAINDIR TIMEFORMAT TMPDIR
    "),
    // Languages, which ksh93 keeps only if it has them; locale(7).
    (Reason::Setting, "
        LC_ADDRESS LC_ALL LC_COLLATE LC_CTYPE LC_IDENTIFICATION LC_MEASUREMENT LC_MESSAGES LC_MONETARY LC_NAME LC_NUMERIC
        LC_PAPER LC_TELEPHONE LC_TIME
    "),
    // Zsh, yash, ksh93.
    (Reason::Setting, "
        CORRECT_IGNORE CORRECT_IGNORE_FILE HISTORY_IGNORE MANPATH TMPPREFIX TMPSUFFIX WATCH WORDCHARS ZBEEP HISTRMDUP
        _AST_FEATURES
    "),
];

/// How further settings of shells begin; those that come with the next version, too.
pub(super) const PREFIXES: &str = "BASH_ ZSH_ ZLE_ YASH_";

/// Those in lower case, which no secret has, but a template for a shell may: bash's, zsh's and fish's.
#[rustfmt::skip]
const LOWER: &str = "
    aliases argv auto_resume builtins cdpath commands dirstack dis_aliases dis_builtins dis_functions
    dis_functions_source dis_galiases dis_patchars dis_reswords dis_saliases epochtime errnos fignore fpath
    funcfiletrace funcsourcetrace funcstack functions functions_source functrace galiases histchars history
    historywords jobdirs jobstates jobtexts keymaps langinfo mailpath manpath mapfile match mbegin mend module_path
    modules nameddirs options parameters patchars path pipestatus prompt psvar reswords saliases signals status
    sysparams termcap terminfo userdirs usergroups watch widgets zle_bracketed_paste zsh_eval_context
    zsh_scheduled_events fish_complete_path fish_function_path fish_history fish_key_bindings fish_trace fish_user_paths
";

/// What each name is, looked up at once: the daemon does so for every secret that is stored.
static BY_NAME: LazyLock<HashMap<&str, Reason>> = LazyLock::new(|| {
    let of_row = |(reason, names): &(Reason, &'static str)| {
        let reason = *reason;
        names.split_ascii_whitespace().map(move |name| (name, reason))
    };
    TABLE.iter().chain(&[(Reason::Executed, LOWER)]).flat_map(of_row).collect()
});

/// What shells do with a variable of this name.
pub(super) fn reason(name: &str) -> Option<Reason> {
    let begins = || {
        PREFIXES.split_ascii_whitespace().any(|prefix| name.starts_with(prefix)).then_some(Reason::Setting)
    };
    BY_NAME.get(name).copied().or_else(begins)
}
