#!/bin/sh
# Reads this host's settings and says which differ from what corecast or a load generator needs, why that matters, and the
# command that changes it. Changes nothing itself.
#
#   check.sh [CONNECTIONS]      for this many connections on this host; 100000 if not given
#
# Exit status: 0 when everything could be read, whatever it says; 1 when something could not; 2 for wrong usage.
#
# Limits are those of this shell: a service has those of its unit, a container those of its runtime. README.md beside this
# file explains every line. `corecast doctor` checks the same host with a configuration at hand, and tries a ring.

# `ulimit -H` and `-l` are not POSIX, but every /bin/sh of a Linux has them.
# shellcheck disable=SC3045

set -u

connections=${1-100000}
case $connections in
    '' | *[!0-9]* | 0*)
        echo "usage: ${0##*/} [CONNECTIONS], a number from 1 on" >&2
        exit 2
        ;;
esac

differing=0
unreadable=0

ok() { printf 'ok       %s\n' "$1"; }

# differs WHAT EFFECT COMMAND
differs() {
    differing=$((differing + 1))
    printf 'differs  %s: %s\n         %s\n' "$1" "$2" "$3"
}

note() { printf 'note     %s\n' "$1"; }

# sysctl_value NAME: its value, fields separated by single spaces. 1: there is no such setting; 2: it can't be read.
sysctl_value() {
    path=/proc/sys/$(printf %s "$1" | tr . /)
    [ -e "$path" ] || return 1
    tr -s '\t ' '  ' 2>/dev/null <"$path" || return 2
}

# read_sysctl NAME: sets $value. Fails when the kernel has no such setting; then it bounds nothing.
read_sysctl() {
    value=$(sysctl_value "$1")
    case $? in
        0) return 0 ;;
        2)
            unreadable=$((unreadable + 1))
            printf 'UNREAD   %s: /proc/sys does not let this user read it\n' "$1"
            ;;
    esac
    return 1
}

# at_least NAME MINIMUM EFFECT: a sysctl that is a single number.
at_least() {
    read_sysctl "$1" || return 0
    if [ "$value" -ge "$2" ]; then
        ok "$1 is $value"
    else
        differs "$1 is $value, below $2" "$3" "sysctl -w $1=$2"
    fi
}

check_kernel() {
    release=$(uname -r)
    major=${release%%.*}
    minor=${release#*.}
    minor=${minor%%[!0-9]*}
    if [ "$major" -gt 6 ] || { [ "$major" -eq 6 ] && [ "$minor" -ge 7 ]; }; then
        ok "kernel $release"
    else
        differs "kernel $release" "corecast needs Linux 6.7 or newer and does not start" "upgrade the kernel"
    fi
    read_sysctl kernel.io_uring_disabled || return 0
    case $value in
        0) ok "kernel.io_uring_disabled is 0" ;;
        1) differs "kernel.io_uring_disabled is 1" \
            "only root and the group kernel.io_uring_group may use io_uring; others can't start corecast" \
            "sysctl -w kernel.io_uring_disabled=0" ;;
        *) differs "kernel.io_uring_disabled is $value" "nobody may use io_uring; corecast does not start" \
            "sysctl -w kernel.io_uring_disabled=0" ;;
    esac
}

check_limits() {
    # corecast raises the soft limit to the hard one by itself.
    files=$(ulimit -Hn)
    needed=$((connections + 256))
    if [ "$files" = unlimited ] || [ "$files" -ge "$needed" ]; then
        ok "RLIMIT_NOFILE is $files (hard)"
    else
        differs "RLIMIT_NOFILE is $files (hard), below $needed" "corecast takes at most $((files > 256 ? files - 256 : 0)) connections" \
            "service: LimitNOFILE=$needed    container: --ulimit nofile=$needed:$needed    shell, as root: ulimit -n $needed"
    fi
    at_least fs.nr_open "$needed" "no RLIMIT_NOFILE can be higher than this"
    at_least fs.file-max "$needed" "open files of the whole host, sockets of rings included"

    # Linux shells know it in KiB; a shell that does not is no reason to stop.
    locked=$(ulimit -l 2>/dev/null) || locked=
    case $locked in
        '') note "RLIMIT_MEMLOCK: this shell can't say (ulimit -l); prlimit --memlock can" ;;
        unlimited) ok "RLIMIT_MEMLOCK is unlimited" ;;
        *)
            if [ "$locked" -ge 8192 ]; then
                ok "RLIMIT_MEMLOCK is $locked KiB"
            else
                differs "RLIMIT_MEMLOCK is $locked KiB, below 8192" "rings are locked memory; the first or a later shard may not start" \
                    "service: LimitMEMLOCK=64M    container: --ulimit memlock=67108864    shell, as root: ulimit -l 65536"
            fi
            ;;
    esac
}

check_connecting() {
    at_least net.core.somaxconn 4096 "a larger burst of connects is dropped and tried again a second later"
    if read_sysctl net.ipv4.tcp_syncookies; then
        if [ "$value" -ne 0 ]; then
            ok "net.ipv4.tcp_syncookies is $value, so net.ipv4.tcp_max_syn_backlog does not drop anybody"
        else
            at_least net.ipv4.tcp_max_syn_backlog 4096 "a larger burst of connects is dropped and tried again a second later"
        fi
    fi
    if read_sysctl net.netfilter.nf_conntrack_max; then
        tracked=$value
        if [ "$tracked" -ge "$connections" ]; then
            ok "net.netfilter.nf_conntrack_max is $tracked"
        else
            differs "net.netfilter.nf_conntrack_max is $tracked, below $connections" \
                "where connections are tracked, packets of new ones are dropped beyond it" \
                "sysctl -w net.netfilter.nf_conntrack_max=$((connections * 5 / 4))    or don't track this port: README.md"
        fi
    fi
}

check_memory() {
    page=$(getconf PAGESIZE 2>/dev/null) || page=4096
    if read_sysctl net.ipv4.tcp_mem; then
        pages=${value##* }
        if [ "$pages" -ge "$connections" ]; then
            ok "net.ipv4.tcp_mem allows $((pages * page / 1048576)) MiB of queued data, a page or more for each connection"
        else
            differs "net.ipv4.tcp_mem allows $pages pages, fewer than $connections connections" \
                "a broadcast to all of them at once can run the kernel's TCP out of memory, and it drops" \
                "sysctl -w net.ipv4.tcp_mem=\"$connections $((connections * 3 / 2)) $((connections * 2))\""
        fi
    fi
    available=$(awk '$1 == "MemAvailable:" { print $2 }' /proc/meminfo 2>/dev/null)
    if [ -z "$available" ]; then
        unreadable=$((unreadable + 1))
        echo "UNREAD   /proc/meminfo has no MemAvailable"
        return 0
    fi
    # 200 bytes of the service and a page or so of the kernel for an idle connection, as `corecast budget` counts them.
    needed=$((connections * 43 / 10))
    if [ "$available" -ge "$needed" ]; then
        ok "$((available / 1024)) MiB of memory available, $((needed / 1024)) MiB for $connections idle connections"
    else
        differs "$((available / 1024)) MiB of memory available, below $((needed / 1024))" \
            "$connections idle connections need that, without logs and queues" "lower max_connections: corecast budget"
    fi
}

# No recommendation: these depend on the network and on what else runs here.
check_others() {
    if read_sysctl net.ipv4.ip_local_port_range; then
        low=${value%% *}
        high=${value##* }
        ports=$((high - low + 1))
        if [ "$ports" -ge "$connections" ]; then
            note "a load generator or proxy here has $ports local ports for each address it connects to"
        else
            addresses=$(((connections + ports - 1) / ports))
            note "a load generator or proxy here has $ports local ports for each address it connects to: $connections connections take
         $addresses source or target addresses, or sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\" and fewer of them"
        fi
    fi
    if read_sysctl net.ipv4.tcp_wmem; then
        note "one connection may queue up to ${value##* } bytes (net.ipv4.tcp_wmem); corecast's notsent_lowat stops far below"
    fi
    if read_sysctl net.ipv4.tcp_congestion_control; then
        note "congestion control is $value"
    fi
    if [ -r /sys/fs/cgroup/cpu.max ]; then
        read -r quota period </sys/fs/cgroup/cpu.max
        [ "$quota" = max ] || note "a CPU quota of $quota us in $period us stops shards in the middle of a turn; prefer a cpuset"
    fi
    note "cores this shell may use: $(awk '$1 == "Cpus_allowed_list:" { print $2 }' /proc/self/status 2>/dev/null)"
}

if [ ! -r /proc/sys/net/core ]; then
    echo "${0##*/}: /proc/sys can't be read here; mount /proc or run it on the host" >&2
    exit 1
fi
echo "For $connections connections:"
check_kernel
check_limits
check_connecting
check_memory
check_others
echo
echo "Differing: $differing. Could not be read: $unreadable. \`sysctl -w\` lasts until the next start; README.md says how to keep it."
[ "$unreadable" -eq 0 ]
