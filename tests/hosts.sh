#!/usr/bin/env bash
# A split and its healing on hosts of their own: three network namespaces with one address each, joined by a bridge.
# Links are delayed and lose frames (tc, where the kernel has netem), and are cut (ip).
#
#   tests/hosts.sh [path of runtime-real, else target/release/runtime-real]
#
# Needs root, ip and tc (iproute2). Exit codes: 0 all held, 1 something did not, 77 it cannot run here.
set -euo pipefail
cd "$(dirname "$0")/.."

cannot() { echo "tests/hosts.sh cannot run here: $*"; exit 77; }
fail() { echo "FAILED: $*"; for n in a b c; do echo "-- $n"; tail -5 "$dir/$n.log" || true; done; exit 1; }
step() { echo "== $*"; }

[ "$(id -u)" = 0 ] || cannot "it needs root, for network namespaces"
command -v ip >/dev/null && command -v tc >/dev/null || cannot "it needs ip and tc (iproute2)"
bin=$(realpath "${1:-target/release/runtime-real}")
[ -x "$bin" ] || cannot "$bin is not there: cargo build --release -p runtime-real"

dir=$(mktemp -d)
mark=orr$$
ns() { echo "$mark-$1"; }
declare -A addr=([a]=10.77.0.1 [b]=10.77.0.2 [c]=10.77.0.3)
cleanup() {
    for n in a b c; do
        [ -f "$dir/$n.pid" ] && kill -9 "$(cat "$dir/$n.pid")" 2>/dev/null || true
        ip netns del "$(ns "$n")" 2>/dev/null || true
    done
    ip netns del "$(ns sw)" 2>/dev/null || true
    rm -rf "$dir"
}
trap cleanup EXIT
ip netns add "$(ns sw)" 2>/dev/null || cannot "network namespaces are not allowed"
ip -n "$(ns sw)" link add br0 type bridge || cannot "bridges are not allowed"
ip -n "$(ns sw)" link set br0 up
for n in a b c; do
    ip netns add "$(ns $n)"
    ip link add "v$n$$" netns "$(ns sw)" type veth peer name eth0 netns "$(ns $n)"
    ip -n "$(ns sw)" link set "v$n$$" master br0 up
    ip -n "$(ns $n)" addr add "${addr[$n]}/24" dev eth0
    ip -n "$(ns $n)" link set eth0 up
    ip -n "$(ns $n)" link set lo up
done

head -c 24 /dev/urandom | base64 >"$dir/secret"
export ORRERY_TOKEN
ORRERY_TOKEN=$(cat "$dir/secret")
start() {
    local n=$1
    shift
    ip netns exec "$(ns "$n")" "$bin" serve --node "$n" --data "$dir/$n" --listen "${addr[$n]}:7878" \
        --cluster-secret-file "$dir/secret" "$@" >"$dir/$n.log" 2>&1 &
    echo $! >"$dir/$n.pid"
}
cli() {
    local n=$1
    shift
    timeout 30 ip netns exec "$(ns "$n")" "$bin" "$@" --addr "${addr[$n]}:7878"
}
# Waits for a condition, a minute at most.
until_so() {
    local what=$1
    shift
    for _ in $(seq 600); do
        "$@" >/dev/null 2>&1 && return
        sleep 0.1
    done
    fail "it never came to this: $what"
}
alive() { [ "$(cli "$1" cluster members --format json | grep -o '"alive":true' | wc -l)" = "$2" ]; }
at_rest() { [ "$(cli "$1" cluster moves --format json)" = "[]" ]; }
holds() { [ "$(cli "$1" get m "$2" --consistency "${4:-owner}")" = "$3" ]; }

for n in a b c; do
    tc -n "$(ns $n)" qdisc add dev eth0 root netem delay 10ms 3ms loss 1% 2>/dev/null ||
        echo "this kernel has no netem: nothing that $n sends is delayed or lost"
done
step "three hosts become a cluster"
start a
until_so "a serves" cli a status
start b --join 10.77.0.1:7878
start c --join 10.77.0.2:7878
for n in a b c; do until_so "$n reaches three" alive $n 3; until_so "all moved" at_rest $n; done
for k in $(seq 20); do cli a set m "k$k" "$k" --consistency quorum >/dev/null || fail "a quorum write of three"; done

step "c is cut off: eventual writes go on on both sides, quorum writes on the greater one"
ip -n "$(ns sw)" link set "vc$$" down
until_so "a misses c" alive a 2
until_so "c misses both" alive c 1
for k in $(seq 20); do
    cli a set m "k$k" "$((100 + k))" --consistency quorum >/dev/null || fail "a quorum write on the greater side"
    cli b set m "ab$k" "$k" >/dev/null || fail "an eventual write on the greater side"
    cli c set m "c$k" "$k" >/dev/null || fail "an eventual write on the smaller side"
done
said=$(cli c set m lonely 1 --consistency quorum 2>&1) && fail "a quorum write on the smaller side was taken: $said"
grep -q "NoQuorum" <<<"$said" || fail "a quorum write on the smaller side was refused otherwise: $said"
said=$(cli c cluster remove a 2>&1) && fail "the smaller side changed the list of members: $said"

step "it heals: everything that was acknowledged, on either side, is everywhere"
ip -n "$(ns sw)" link set "vc$$" up
for n in a b c; do until_so "$n reaches three again" alive $n 3; done
for k in $(seq 20); do
    for n in a b c; do
        until_so "$n has k$k" holds $n "k$k" "$((100 + k))"
        until_so "$n has ab$k" holds $n "ab$k" "$k"
        until_so "$n has c$k" holds $n "c$k" "$k" quorum
    done
done

step "one way is cut: b hears, and is not heard"
for to in a c; do ip -n "$(ns b)" route add blackhole "${addr[$to]}/32"; done
until_so "a misses b" alive a 2
for k in $(seq 20); do cli a set m "k$k" "$((200 + k))" --consistency quorum >/dev/null || fail "a quorum write of two"; done
for to in a c; do ip -n "$(ns b)" route del blackhole "${addr[$to]}/32"; done
for n in a b c; do until_so "$n reaches three in the end" alive $n 3; done
for k in $(seq 20); do until_so "b has k$k" holds b "k$k" "$((200 + k))"; done
echo "all held"
