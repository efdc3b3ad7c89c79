# Gives every user manager that runs these commands for systemctl. Its user can make it hang, or a unit wait without end,
# which must not hold up the package: each manager has 10 seconds, and all of them together a minute.
managers() {
    [ -d /run/systemd/system ] || return 0
    systemctl --quiet --no-legend list-units 'user@*.service' | sed -n 's/.*user@\([0-9]*\)[.]service.*/\1/p' |
        timeout --kill-after=2 60 xargs --replace=UID --max-procs=16 timeout --kill-after=2 10 \
            sh -fc 'for command; do systemctl --user --machine=UID@ --quiet $command; done' sh "$@" || true
}
