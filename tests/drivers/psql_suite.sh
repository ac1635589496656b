#!/usr/bin/env bash
# The gateway seen by psql (libpq, simple queries, backslash commands). suite.py says what the environment
# holds. One line per check: `ok NAME` or `FAIL NAME: reason`.
set -u
export PGCONNECT_TIMEOUT=60 PGAPPNAME=psql_suite LC_ALL=C
unset PGOPTIONS PGUSER PGPASSWORD PGDATABASE PGHOST PGPORT PGSERVICE
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
copy_rows=100000
big=$((64 * 1024 * 1024))
turns=5

# One session: statements on stdin, bare values on stdout, errors with their SQLSTATE in $work/errors.
session() {
    local url=$1
    shift
    timeout 100 psql -X -q -At -v VERBOSITY=verbose "$@" "$url" 2>"$work/errors"
}

ask() { session "$1" -c "$2"; }

expect() { # what, expected, got
    if [ "$2" != "$3" ]; then
        echo "$1: expected '${2:0:200}', got '${3:0:200}' $(head -c 300 "$work/errors" | tr '\n' ' ')"
        return 1
    fi
}

sqlstates() { grep -oE '(ERROR|FATAL):  [0-9A-Z]{5}' "$work/errors" | awk '{print $2}' | tr '\n' ' '; }

login() {
    expect alice 'authenticated|alice|acme' "$(ask "$URL_ALICE" 'SELECT who()')" &&
        expect bob 'authenticated|bob|globex' "$(ask "$URL_BOB" 'SELECT who()')" &&
        expect conninfo 0 "$(session "$URL_ALICE" -c '\conninfo' >/dev/null && echo 0)"
}

password_in_environment() {
    # postgres://user:password@rest
    local rest=${URL_ALICE#postgres://} password
    password=${rest#*:}
    password=${password%%@*}
    expect login 'authenticated|alice|acme' \
        "$(PGPASSWORD=$password session "postgres://${rest%%:*}@${rest#*@}" -c 'SELECT who()')"
}

bad_tokens() {
    [ "$POOL_SIZE" = 0 ] && return
    ask "$URL_FOREIGN" 'SELECT 1'
    grep -q signature "$work/errors" || { echo "foreign: $(cat "$work/errors")"; return 1; }
    ask "$URL_EXPIRED" 'SELECT 1'
    grep -q expired "$work/errors" || { echo "expired: $(cat "$work/errors")"; return 1; }
}

rows() {
    local sql="SELECT string_agg(title, ',' ORDER BY title) FROM todos"
    expect alice 'alice one,alice two' "$(ask "$URL_ALICE" "$sql")" &&
        expect bob 'bob one,bob three,bob two' "$(ask "$URL_BOB" "$sql")" &&
        expect carol 'carol one' "$(ask "$URL_CAROL" "$sql")"
}

parameters() {
    # psql's own: variables that it quotes.
    local text="it's \"quoted\" \\ é中 \$1"
    expect variables "$text|42" "$(session "$URL_ALICE" -v text="$text" -v number=42 <<<"SELECT :'text', :number")"
}

backslash_commands() {
    local out command list='\l'
    # An older psql asks for columns of pg_database that a newer server does not have.
    [ "$(psql -V | grep -oE '[0-9]+' | head -1)" -ge "$(ask "$URL_ALICE" "SELECT current_setting('server_version_num')::int / 10000")" ] || list='\dn'
    for command in '\d' '\d todos' '\dt' "$list" '\du' '\dn' '\df' '\dp todos' '\dT' '\di' '\dv' '\d+ scratch' '\df+ who' '\dRp' '\dx'; do
        out=$(session "$URL_ALICE" -c "$command")
        [ -s "$work/errors" ] && { echo "$command: $(head -c 300 "$work/errors")"; return 1; }
        case $command in '\d' | '\dt') grep -q todos <<<"$out" || { echo "$command does not show todos"; return 1; } ;; esac
    done
}

gdesc_and_gexec() {
    # Unnamed statements that are described, and statements made by statements.
    expect gdesc $'n|integer\nwho|text' "$(session "$URL_ALICE" <<<'SELECT 1 AS n, who() \gdesc')" &&
        expect gexec $'7\n8' "$(session "$URL_ALICE" <<<"SELECT 'SELECT ' || n FROM generate_series(7, 8) AS n \\gexec")"
}

bind_command() {
    # The extended protocol; psql has it since 16.
    [ "$(psql -V | grep -oE '[0-9]+' | head -1)" -ge 16 ] || return 0
    expect bind $'3\nauthenticated|alice|acme' "$(session "$URL_ALICE" <<'SQL'
SELECT $1::int + $2::int \bind 1 2 \g
SELECT who() \bind \g
SQL
    )"
}

watch_command() {
    local seen
    seen=$(timeout 5 psql -X -q -At "$URL_ALICE" 2>"$work/errors" <<<'SELECT who() \watch 0.1' | grep -c 'authenticated|alice|acme')
    [ "$seen" -ge 3 ] || { echo "seen $seen times $(head -c 300 "$work/errors")"; return 1; }
}

tab_completion() {
    local out
    command -v script >/dev/null || return 0
    # At a terminal: Tab asks the server what begins so. The columns' names are asked for by a query, too.
    out=$(printf 'SELECT DISTINCT tenant FROM cross\t LIMIT 0;\n\\d cross\t\nSELECT who();\n\\q\n' |
        TERM=dumb PAGER= timeout 60 script -qec "psql -X '$URL_ALICE'" /dev/null 2>&1)
    grep -q '(0 rows)' <<<"$out" || { echo "the name of a table: $(tail -c 500 <<<"$out")"; return 1; }
    grep -q 'Table "public.crossing"' <<<"$out" || { echo "\\d: $(tail -c 500 <<<"$out")"; return 1; }
    grep -q 'authenticated|alice|acme' <<<"$out" || { echo "afterwards: $(tail -c 500 <<<"$out")"; return 1; }
}

password_refused() {
    # There is no password to change: the password is a token. Without a terminal psql asks on standard input.
    [ "$POOL_SIZE" = 0 ] && return
    expect afterwards 'authenticated|alice|acme' "$(printf 'new\nnew\n' |
        timeout 60 setsid -w psql -X -q -At -v VERBOSITY=verbose "$URL_ALICE" -c '\password' -c 'SELECT who()' 2>"$work/errors" | tail -1)" &&
        expect error '42501 ' "$(sqlstates)" || return 1
    grep -q '^HINT:.*token' "$work/errors" || { echo "no hint: $(cat "$work/errors")"; return 1; }
}

error_and_recovery() {
    local out
    out=$(session "$URL_ALICE" <<'SQL'
SELECT 1/0;
SELEC 1;
SELECT who();
BEGIN;
SELECT 1/0;
SELECT 1;
ROLLBACK;
SELECT who();
SQL
    )
    expect rows $'authenticated|alice|acme\nauthenticated|alice|acme' "$out" &&
        expect errors '22012: 42601: 22012: 25P02: ' "$(sqlstates | sed 's/\([0-9A-Z]\{5\}\) /\1: /g')"
}

refused_statements() {
    local sql
    local refused=('DROP TABLE todos' 'SET ROLE service_role' 'CREATE TABLE mine (a int)')
    [ "$POOL_SIZE" = 0 ] || refused+=("SELECT set_config('app.user_id', 'bob', false)" "SET app.user_id = 'bob'"
        'RESET ROLE' 'TRUNCATE todos' 'SELECT 1; COMMIT; SET ROLE service_role; SELECT * FROM todos')
    for sql in "${refused[@]}"; do
        ask "$URL_ALICE" "$sql" >"$work/out"
        expect "$sql" '42501 ' "$(sqlstates)" || return 1
        [ "$POOL_SIZE" = 0 ] || grep -q '^HINT:' "$work/errors" || { echo "$sql: no hint"; return 1; }
    done
}

transactions_and_savepoints() {
    local run=$RUN-savepoints
    expect rows $'authenticated|alice|acme\n1,3\nserializable\nauthenticated|alice|acme\n2' "$(session "$URL_ALICE" -v run="$run" <<'SQL'
BEGIN;
INSERT INTO scratch (run, n) VALUES (:'run', 1);
SAVEPOINT a;
INSERT INTO scratch (run, n) VALUES (:'run', 2);
INSERT INTO scratch (run, n) VALUES (:'run', 2);
ROLLBACK TO SAVEPOINT a;
SELECT who();
INSERT INTO scratch (run, n) VALUES (:'run', 3);
RELEASE SAVEPOINT a;
COMMIT;
SELECT string_agg(n::text, ',' ORDER BY n) FROM scratch WHERE run = :'run';
START TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY;
SHOW transaction_isolation;
SELECT who();
ROLLBACK;
BEGIN;
DELETE FROM scratch WHERE run = :'run';
ROLLBACK;
SELECT count(*) FROM scratch WHERE run = :'run';
SQL
    )" && expect error '23505 ' "$(sqlstates)"
}

on_error_rollback() {
    # psql puts a savepoint before every statement.
    expect rows $'1\n2' "$(session "$URL_ALICE" -v ON_ERROR_ROLLBACK=on <<'SQL'
BEGIN;
SELECT 1;
SELECT 1/0;
SELECT 2;
COMMIT;
SQL
    )"
}

session_settings() {
    expect settings $'Asia/Tokyo\nAsia/Tokyo\npsql_suite\n1234ms' "$(session "$URL_ALICE" <<'SQL'
SET TimeZone TO 'Asia/Tokyo';
SHOW TimeZone;
BEGIN;
SHOW TimeZone;
COMMIT;
SHOW application_name;
SET statement_timeout = '1234ms';
SHOW statement_timeout;
SQL
    )" || return 1
    [ "$(ask "$URL_BOB" 'SHOW TimeZone')" != Asia/Tokyo ] || { echo 'a setting crossed to another client'; return 1; }
    expect timeout '57014 ' "$(session "$URL_ALICE" <<<"SET statement_timeout = '300ms'; SELECT pg_sleep(20);" >/dev/null; sqlstates)"
}

copy_both_ways() {
    local run=$RUN-copy sums
    awk -v run="$run" -v rows="$copy_rows" 'BEGIN { for (n = 0; n < rows; n++) printf "%s\t%d\trow %d é中 of %s\n", run, n, n, run }' >"$work/in"
    sums=$(cut -f3 "$work/in" | tr -d '\n' | md5sum | cut -d' ' -f1)
    session "$URL_ALICE" -c "\\copy scratch_in (run, n, body) FROM '$work/in'" || { cat "$work/errors"; return 1; }
    expect 'on the server' "$copy_rows|$sums" "$(ask "$URL_ALICE" \
        "SELECT count(*), md5(string_agg(body, '' ORDER BY n)) FROM scratch WHERE run = '$run'")" || return 1
    session "$URL_ALICE" -c "COPY (SELECT run, n, body FROM scratch WHERE run = '$run' ORDER BY n) TO STDOUT" >"$work/out"
    cmp -s "$work/in" "$work/out" || { echo 'what came back differs'; return 1; }
    expect bob 0 "$(ask "$URL_BOB" "SELECT count(*) FROM scratch WHERE run = '$run'")" || return 1
    expect deleted "$copy_rows" "$(ask "$URL_ALICE" "WITH gone AS (DELETE FROM scratch WHERE run = '$run' RETURNING 1) SELECT count(*) FROM gone")"
}

copy_failures() {
    expect 'after a bad row' 'authenticated|alice|acme' "$(printf '%s\n' 'COPY scratch_in (run, n) FROM STDIN;' "$RUN	x" '\.' 'SELECT who();' |
        session "$URL_ALICE")" && expect error '22P02 ' "$(sqlstates)"
}

big_value() {
    local sums run=$RUN-big
    head -c "$big" /dev/urandom | base64 | tr -d '\n' | head -c "$big" >"$work/big"
    sums=$(md5sum <"$work/big" | cut -d' ' -f1)
    { printf '%s\t0\t' "$run"; cat "$work/big"; echo; } |
        session "$URL_ALICE" -c 'COPY scratch_in (run, n, body) FROM STDIN' || { cat "$work/errors"; return 1; }
    expect 'on the server' "$big|$sums" "$(ask "$URL_ALICE" "SELECT length(body), md5(body) FROM scratch WHERE run = '$run'")" || return 1
    ask "$URL_ALICE" "SELECT body FROM scratch WHERE run = '$run'" | head -c "$big" >"$work/out"
    cmp -s "$work/big" "$work/out" || { echo 'what came back differs'; return 1; }
    ask "$URL_ALICE" "DELETE FROM scratch WHERE run = '$run'"
}

cancel() {
    local pid start took
    # `timeout` would be the one that gets the signal, so psql runs bare here.
    printf '%s\n' '\warn logged in' 'SELECT pg_sleep(30);' 'SELECT who();' |
        psql -X -q -At -v VERBOSITY=verbose "$URL_ALICE" >"$work/out" 2>"$work/errors" &
    pid=$!
    # A signal that comes before psql has logged in ends it.
    for _ in $(seq 100); do
        grep -q 'logged in' "$work/errors" && break
        sleep 0.1
    done
    sleep 1
    start=$(date +%s%N)
    kill -INT "$pid"
    wait "$pid"
    took=$((($(date +%s%N) - start) / 1000000))
    expect error '57014 ' "$(sqlstates)" || return 1
    [ "$took" -lt 15000 ] || { echo "cancelled only after $took ms"; return 1; }
    # psql reads no further after SIGINT unless it is interactive; another session shows that all is well.
    expect afterwards 'authenticated|alice|acme' "$(ask "$URL_ALICE" 'SELECT who()')"
}

cursors() {
    expect fetch $'1\n2\n3\nauthenticated|alice|acme' "$(session "$URL_ALICE" <<'SQL'
BEGIN;
DECLARE c CURSOR FOR SELECT generate_series(1, 10);
FETCH 3 FROM c;
MOVE 2 IN c;
CLOSE c;
SELECT who();
COMMIT;
SQL
    )" && expect FETCH_COUNT 1050 "$(session "$URL_ALICE" -v FETCH_COUNT=100 -c 'SELECT generate_series(1, 1050)' | wc -l | tr -d ' ')"
}

multiple_statements() {
    # One Query message for each -c.
    expect rows $'1\n2\nauthenticated|alice|acme' "$(session "$URL_ALICE" -c 'SELECT 1; BEGIN; SELECT 2; COMMIT; SELECT who()')"
}

# One client of the crossing test: user, tenant, url. Says what it saw that it must not see.
crossing_client() {
    local user=$1 tenant=$2 url=$3 turn mine=$1@$2
    for ((turn = 0; turn < turns; turn++)); do
        echo "INSERT INTO crossing (run, note) VALUES ('$RUN', '$mine');"
        [ $((turn % 2)) = 1 ] && echo 'BEGIN;'
        echo "SELECT tenant, note, current_user_id() || '@' || current_tenant() FROM crossing WHERE run = '$RUN';"
        [ $((turn % 2)) = 1 ] && echo 'COMMIT;'
    done | timeout 110 psql -X -q -At -v ON_ERROR_STOP=1 "$url" 2>&1 |
        awk -F'|' -v tenant="$tenant" -v mine="$mine" -v turns="$turns" '
            $1 != tenant || $2 !~ ("@" tenant "$") || $3 != mine { print "Crossing: " mine " saw " $0; exit }
            $2 == mine { own++ }
            END { if (own + 0 < turns) print mine ": own rows are missing" }' >"$work/crossing.$user"
}

clients_do_not_cross() {
    local user tenant url
    while IFS=$'\t' read -r user tenant url; do
        crossing_client "$user" "$tenant" "$url" &
    done <"$CLIENTS_TSV"
    wait
    cat "$work"/crossing.* >"$work/crossing"
    [ ! -s "$work/crossing" ] || { head -3 "$work/crossing" | tr '\n' ' '; return 1; }
}

for check in login password_in_environment bad_tokens rows parameters backslash_commands gdesc_and_gexec \
    bind_command watch_command tab_completion password_refused \
    error_and_recovery refused_statements transactions_and_savepoints on_error_rollback session_settings \
    copy_both_ways copy_failures big_value cancel cursors multiple_statements clients_do_not_cross; do
    [ -z "${ONLY:-}" ] || [[ " $ONLY " == *" $check "* ]] || continue
    start=$(date +%s%N)
    if why=$($check 2>&1); then
        echo "ok $check ($((($(date +%s%N) - start) / 1000000)) ms)"
    else
        echo "FAIL $check: $(tr '\n' ' ' <<<"${why:0:600}")"
        failed=1
    fi
done
exit $failed
