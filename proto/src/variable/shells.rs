//! The shells' own variables, as far as their names can be names of secrets, which are in upper case.
//!
//! From bash 5.2 (`declare -pi`, `declare -pr`, the manual's "Shell Variables", `special_vars` in `variables.c`), bash in
//! POSIX mode, dash 0.5.12, zsh 5.9 (`$parameters` with its modules loaded, zshparam(1)), fish 3.6, mksh R59
//! (`typeset -i`, `typeset -r`, mksh(1)), ksh93u+m 1.0.4 (the same), yash 2.52 and busybox's ash 1.35; and from assigning
//! values to every name that their programs hold, which the tests do again with the shells that are there.

use super::Reason;

/// The names by what is done with them, separated by blanks; of several reasons the first counts.
#[rustfmt::skip]
pub(super) const TABLE: &[(Reason, &str)] = &[
    // Integers.
    (Reason::Evaluated, "
        BASHPID EUID HISTCMD LINENO MAILCHECK OPTIND PPID RANDOM SECONDS SRANDOM UID
        ARGC BAUD COLUMNS DIRSTACKSIZE EGID ERRNO FUNCNEST GID HISTSIZE KEYTIMEOUT LINES LISTMAX LOGCHECK PERIOD
        REPORTMEMORY REPORTTIME SAVEHIST SHLVL TMOUT TRY_BLOCK_ERROR TRY_BLOCK_INTERRUPT TTYIDLE ZLE_RPROMPT_INDENT
        ZSH_SUBSHELL JOBMAX KSHEGID KSHGID KSHUID PGRP PIPESTATUS USER_ID
    "),
    // Prompts and what is printed like one; then commands; then where commands, functions, modules, start files and
    // key bindings are found.
    (Reason::Executed, "
        PS0 PS1 PS2 PS3 PS4 PROMPT PROMPT2 PROMPT3 PROMPT4 RPROMPT RPROMPT2 RPS1 RPS2 SPROMPT PROMPT_COMMAND
        PROMPT_EOL_MARK POST_PROMPT_COMMAND PS1P PS1R PS1S PS2P PS2R PS2S PS3P PS3R PS3S PS4P PS4R PS4S YASH_PS1 YASH_PS1P
        YASH_PS1R YASH_PS1S YASH_PS2 YASH_PS2P YASH_PS2R YASH_PS2S YASH_PS3 YASH_PS4 YASH_PS4S PSVAR MAILPATH POSTEDIT
        TIMEFMT WATCHFMT
        COMMAND_NOT_FOUND_HANDLER YASH_AFTER_CD NULLCMD READNULLCMD EDITOR VISUAL FCEDIT HISTEDIT EXECSHELL SHELL STTY
        PATH FPATH MODULE_PATH BASH_LOADABLES_PATH YASH_LOADPATH CDPATH ENV BASH_ENV ZDOTDIR HOME INPUTRC TERMCAP TERMINFO
        TERMINFO_DIRS
    "),
    // Read-only, dynamic, arrays, or set by the shell itself before the next command.
    (Reason::NotKept, "
        _ BASH BASHOPTS BASH_ALIASES BASH_ARGC BASH_ARGV BASH_ARGV0 BASH_CMDS BASH_COMMAND BASH_EXECUTION_STRING
        BASH_LINENO BASH_REMATCH BASH_SOURCE BASH_SUBSHELL BASH_VERSINFO BASH_VERSION COMPREPLY COMP_CWORD COMP_KEY
        COMP_LINE COMP_POINT COMP_TYPE COMP_WORDS COPROC DIRSTACK EPOCHREALTIME EPOCHSECONDS FUNCNAME GROUPS MAPFILE OLDPWD OPTARG PWD
        READLINE_ARGUMENT READLINE_LINE READLINE_MARK READLINE_POINT REPLY SHELLOPTS
        HISTCHARS KEYBOARD_HACK MATCH MBEGIN MEND TTY USERNAME ZSH_ARGZERO ZSH_EVAL_CONTEXT ZSH_EXECUTION_STRING ZSH_NAME
        ZSH_PATCHLEVEL ZSH_SCRIPT ZSH_VERSION
        CMD_DURATION FISH_VERSION KSH_MATCH KSH_VERSION PATHSEP WORDS TARGETWORD HANDLED YASH_VERSION
    "),
    (Reason::Setting, "
        BASH_COMPAT BASH_XTRACEFD CHILD_MAX COMP_WORDBREAKS EMACS EXECIGNORE FIGNORE GLOBIGNORE HISTCONTROL HISTFILE
        HISTFILESIZE HISTIGNORE HISTTIMEFORMAT HOSTFILE IFS IGNOREEOF INSIDE_EMACS LANG LANGUAGE MAIL OPTERR
        POSIXLY_CORRECT PROMPT_DIRTRIM TERM TEXTDOMAIN TEXTDOMAINDIR TIMEFORMAT TMPDIR
        CORRECT_IGNORE CORRECT_IGNORE_FILE HISTORY_IGNORE MANPATH TMPPREFIX TMPSUFFIX WATCH WORDCHARS ZBEEP HISTRMDUP
        _AST_FEATURES
    "),
];

/// How further settings of shells begin; those that come with the next version, too.
pub(super) const PREFIXES: &str = "BASH_ ZSH_ ZLE_ YASH_ LC_";

/// Those in lower case, which no secret has, but a template for a shell may: bash's and zsh's.
#[rustfmt::skip]
const LOWER: &str = "
    aliases argv auto_resume builtins cdpath commands dirstack dis_aliases dis_builtins dis_functions dis_functions_source
    dis_galiases dis_patchars dis_reswords dis_saliases epochtime errnos fignore fpath funcfiletrace funcsourcetrace
    funcstack functions functions_source functrace galiases histchars history historywords jobdirs jobstates jobtexts keymaps
    langinfo mailpath manpath mapfile match mbegin mend module_path modules nameddirs options parameters patchars path
    pipestatus prompt psvar reswords saliases signals status sysparams termcap terminfo userdirs usergroups watch widgets
    zle_bracketed_paste zsh_eval_context zsh_scheduled_events
";

/// What shells do with a variable of this name.
pub(super) fn reason(name: &str) -> Option<Reason> {
    let named = TABLE.iter().find(|(_, names)| names.split_whitespace().any(|word| word == name));
    let begins =
        || PREFIXES.split_whitespace().any(|prefix| name.starts_with(prefix)).then_some(Reason::Setting);
    let lower = || LOWER.split_whitespace().any(|word| word == name).then_some(Reason::Executed);
    named.map(|(reason, _)| *reason).or_else(begins).or_else(lower)
}
