# Shared by the scripts of this folder and the demo: where things are kept, and how a line of progress looks.
# Sourced, not run.

# Binaries built here are kept outside the tree and by version: a fresh clone finds what an older one built.
BERTH_CACHE=${BERTH_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/berth}
export BERTH_CACHE

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
    bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' red=$'\e[31m' yellow=$'\e[33m' plain=$'\e[0m' terminal=yes
else
    bold='' dim='' green='' red='' yellow='' plain='' terminal=''
fi

# say MARK TEXT [NOTE]: one line of progress.
say() {
    local colour=$green
    case $1 in ✗) colour=$red ;; …) colour=$yellow ;; esac
    printf '%s%s%s %-46s %s%s%s\n' "$colour" "$1" "$plain" "$2" "$dim" "${3:-}" "$plain"
}

# seconds_as_text N: 7 s, 2 min 05 s.
seconds_as_text() {
    if [ "$1" -lt 60 ]; then echo "$1 s"; else printf '%d min %02d s\n' $(($1 / 60)) $(($1 % 60)); fi
}

# run_logged TITLE LOG COMMAND...: runs the command into LOG; shows the seconds passed on a terminal, one line at the end
# anywhere, and what the command printed when it failed.
run_logged() {
    local title=$1 log=$2 started=$SECONDS status=0
    shift 2
    if [ -n "$terminal" ]; then
        "$@" >"$log" 2>&1 </dev/null &
        local job=$!
        # An interrupt must not leave the command behind.
        trap 'kill "$job" 2>/dev/null; exit 130' INT TERM
        while kill -0 "$job" 2>/dev/null; do
            printf '\r\e[K%s…%s %-46s %s%s%s' "$yellow" "$plain" "$title" "$dim" \
                "$(seconds_as_text $((SECONDS - started)))" "$plain"
            sleep 1
        done
        wait "$job" || status=$?
        trap - INT TERM
        printf '\r\e[K'
    else
        "$@" >"$log" 2>&1 </dev/null || status=$?
    fi
    if [ "$status" -eq 0 ]; then
        say ✓ "$title" "$(seconds_as_text $((SECONDS - started)))"
    else
        say ✗ "$title" "exit $status after $(seconds_as_text $((SECONDS - started)))"
        show_log "$log"
    fi
    return "$status"
}

# show_log FILE: the end of a long log, all of a short one.
show_log() {
    local lines
    lines=$(wc -l <"$1")
    if [ "$lines" -gt 200 ]; then
        printf '    … the last 200 of %s lines, all in %s\n' "$lines" "$1"
    fi
    tail -n 200 "$1" | sed 's/^/    /'
}

# version_at_least HAVE WANT: compares dotted versions.
version_at_least() {
    [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]
}

# pinned TOOL: the version that is built and used. A Go tool's is stated by its go.mod and nowhere else: that of the
# module which holds the tool's package, i.e. of the longest module path that begins the package's. (Kubernetes comes as
# one program of our own around the packages of that module, see its main.go.)
pinned() {
    if [ "$1" = cargo-deny ]; then echo 0.20.2 && return; fi
    awk -v tool="$1" '
        BEGIN { if (tool == "kubernetes") package = "k8s.io/kubernetes" }
        $1 == "tool" { package = $2 }
        $1 == "require" { sub(/^require[ \t]+/, "") }
        $2 ~ /^v[0-9]/ { version[$1] = $2 }
        END {
            for (module in version)
                if (index(package "/", module "/") == 1 && length(module) > length(best)) best = module
            print version[best]
        }' "$tools/$1/go.mod"
}

# tool_path TOOL: where the built binary of that version is kept. (`cargo install` wants a folder bin; so all have one.)
tool_path() {
    echo "$BERTH_CACHE/tools/$1-$(pinned "$1")/bin/$1"
}
