"""The gateway seen by psycopg 3 (libpq)."""

import asyncio
import datetime
import decimal
import hashlib
import zlib

import psycopg
from psycopg import AsyncConnection, errors
from psycopg.types.json import Jsonb
from suite import *

S = psycopg.sql


def connect(url, **more):
    return AsyncConnection.connect(url, connect_timeout=30, **more)


async def value(connection, sql, parameters=None, **more):
    cursor = await connection.execute(sql, parameters, **more)
    return (await cursor.fetchone())[0]


async def column(connection, sql, parameters=None):
    cursor = await connection.execute(sql, parameters)
    return [row[0] for row in await cursor.fetchall()]


@check
async def login():
    for url, who in ((ALICE, "authenticated|alice|acme"), (BOB, "authenticated|bob|globex")):
        async with await connect(url) as connection:
            equal(await value(connection, "SELECT who()"), who)
            equal(connection.info.parameter_status("standard_conforming_strings"), "on")
            equal(connection.info.encoding, "utf-8")
            if not 140000 <= connection.info.server_version < 300000:
                raise AssertionError(f"server version {connection.info.server_version}")


@check
async def login_blocking():
    def run():
        with psycopg.connect(ALICE) as connection:
            return connection.execute("SELECT who()").fetchone()[0]

    equal(await asyncio.to_thread(run), "authenticated|alice|acme")


@through_proxy
async def bad_tokens():
    for url, word in ((FOREIGN, "signature"), (EXPIRED, "expired")):
        try:
            await connect(url)
        except psycopg.OperationalError as error:
            if word not in str(error):
                raise AssertionError(f"the refusal does not say {word!r}: {error}")
        else:
            raise AssertionError(f"{word}: let in")


@check
async def rows():
    for url, who in ((ALICE, "alice"), (BOB, "bob"), (CAROL, "carol")):
        async with await connect(url) as connection:
            equal(await column(connection, "SELECT title FROM todos ORDER BY title"), TITLES[who])


@check
async def rows_written():
    async with await connect(ALICE, autocommit=True) as alice, await connect(BOB, autocommit=True) as bob:
        for connection, who in ((alice, "acme/alice"), (bob, "globex/bob")):
            sql = "INSERT INTO scratch (run, n, body) VALUES (%s, 1, 'x') RETURNING tenant || '/' || owner"
            equal(await value(connection, sql, [RUN + "-written"]), who)
        equal(await value(alice, "SELECT count(*) FROM scratch WHERE run = %s", [RUN + "-written"]), 1)
        try:
            await bob.execute("INSERT INTO scratch (run, tenant, n) VALUES (%s, 'acme', 9)", [RUN])
        except errors.InsufficientPrivilege:
            pass
        else:
            raise AssertionError("wrote into another tenant")
        cursor = await bob.execute("UPDATE scratch SET body = 'stolen' WHERE owner = 'alice'")
        equal(cursor.rowcount, 0)


@check
async def parameters():
    values = [
        42, -(2**40), 1.5, decimal.Decimal("12345678901234567890.123"), True, None, "it's \u00e9\u4e2d\U0001f600",
        b"\x00\xff\\bin", datetime.date(2024, 2, 29),
        datetime.datetime(2024, 2, 29, 12, 30, 15, 123456, tzinfo=datetime.timezone.utc), [1, 2, 3], ["a", 'b"c'],
    ]
    types = ["int", "bigint", "float8", "numeric", "bool", "text", "text", "bytea", "date", "timestamptz", "int[]",
             "text[]"]
    sql = "SELECT " + ", ".join(f"%s::{name}" for name in types)
    async with await connect(ALICE) as connection:
        for binary in (False, True):
            cursor = await connection.execute(sql, values, binary=binary)
            equal(list(await cursor.fetchone()), values, f"binary={binary}")
        equal(await value(connection, "SELECT %s::jsonb", [Jsonb({"a": [1, {"b": None}]})]), {"a": [1, {"b": None}]})
        sql = "SELECT count(*) FROM todos WHERE title = ANY(%s)"
        equal(await value(connection, sql, [["alice one", "bob one"]]), 1)
        many = [str(n) for n in range(300)]
        equal(await value(connection, "SELECT array_to_string(ARRAY[" + ",".join(["%s::text"] * 300) + "], \'\')", many), "".join(many))


async def other_server(mine, pid, sql):
    """Holds server connections in transactions until the one that served `mine` is taken."""
    holders = []
    try:
        for _ in range(POOL_SIZE - 1):
            holder = await connect(BOB)
            holders.append(holder)
            if await value(holder, "SELECT pg_backend_pid()") == pid:
                return await value(mine, sql, [1], prepare=True)
        raise AssertionError("the pool never gave the first server connection out again")
    finally:
        for holder in holders:
            await holder.close()


@check
async def prepared_across_transactions():
    sql = "SELECT pg_backend_pid() + %s::int - 1"
    async with await connect(ALICE, autocommit=True) as connection:
        connection.prepare_threshold = 0
        pid = await value(connection, sql, [1], prepare=True)
        for _ in range(5):
            await value(connection, sql, [1], prepare=True)
        if POOL_SIZE > 1:
            pid = await value(connection, sql, [1], prepare=True)
            other = await other_server(connection, pid, sql)
            if other == pid:
                raise AssertionError("the same server connection, although it was taken")


@check
async def prepared_names_are_private():
    # Both drivers count from _pg3_0: equal names, different texts, one server connection.
    alice = await connect(ALICE, autocommit=True)
    bob = await connect(BOB, autocommit=True)
    async with alice, bob:
        alice.prepare_threshold = bob.prepare_threshold = 0
        for turn in range(10):
            equal(await value(alice, "SELECT 'alice' || %s::text || who()", [turn]), f"alice{turn}authenticated|alice|acme")
            equal(await value(bob, "SELECT 'bob' || %s::text || who()", [turn]), f"bob{turn}authenticated|bob|globex")


@check
async def many_statements():
    async with await connect(ALICE, autocommit=True) as connection:
        connection.prepare_threshold = 0
        connection.prepared_max = 400
        for lap in range(2):
            for n in range(300):
                equal(await value(connection, f"SELECT {n} + %s::int", [lap]), n + lap)
        # Beyond the driver's own limit it closes the oldest.
        connection.prepared_max = 10
        for n in range(30):
            equal(await value(connection, f"SELECT {n} - %s::int", [1]), n - 1)


@check
async def error_and_recovery():
    async with await connect(ALICE, autocommit=True) as connection:
        for sql, error in (("SELECT 1/0", errors.DivisionByZero), ("SELEC 1", errors.SyntaxError),
                           ("SELECT * FROM no_such_table", errors.UndefinedTable)):
            for prepare in (False, True):
                try:
                    await connection.execute(sql, prepare=prepare)
                except error:
                    pass
                else:
                    raise AssertionError(f"{sql}: no error")
                equal(await value(connection, "SELECT who()"), "authenticated|alice|acme")
    async with await connect(ALICE) as connection:
        try:
            await connection.execute("SELECT 1/0")
        except errors.DivisionByZero:
            pass
        try:
            await connection.execute("SELECT 1")
        except errors.InFailedSqlTransaction:
            pass
        else:
            raise AssertionError("the transaction went on after an error")
        await connection.rollback()
        equal(await value(connection, "SELECT who()"), "authenticated|alice|acme")


@check
async def refused_statements():
    refused = ["DROP TABLE todos", "SET ROLE service_role", "CREATE TABLE mine (a int)", "ALTER TABLE todos DISABLE ROW LEVEL SECURITY"]
    if not DIRECT:
        refused += ["SELECT set_config('app.user_id', 'bob', false)", "SET app.user_id = 'bob'", "RESET ROLE",
                    "SET SESSION AUTHORIZATION portcullis_app", "TRUNCATE todos"]
    async with await connect(ALICE, autocommit=True) as connection:
        for sql in refused:
            try:
                await connection.execute(sql)
            except errors.InsufficientPrivilege as error:
                if not DIRECT and not error.diag.message_hint:
                    raise AssertionError(f"{sql}: no hint")
            else:
                raise AssertionError(f"{sql}: let through")
            equal(await value(connection, "SELECT who()"), "authenticated|alice|acme", sql)
    async with await connect(ALICE) as connection:
        await connection.execute("INSERT INTO scratch (run, n) VALUES (%s, 7)", [RUN + "-refused"])
        try:
            await connection.execute("DROP TABLE todos")
        except errors.InsufficientPrivilege:
            pass
        try:
            await connection.execute("SELECT 1")
        except errors.InFailedSqlTransaction:
            pass
        else:
            raise AssertionError("the transaction went on after a refused statement")
        await connection.rollback()
        equal(await value(connection, "SELECT count(*) FROM scratch WHERE run = %s", [RUN + "-refused"]), 0)


@check
async def transactions_and_savepoints():
    async with await connect(ALICE, autocommit=True) as connection:
        run = RUN + "-savepoints"
        insert = "INSERT INTO scratch (run, n) VALUES (%s, %s)"
        async with connection.transaction():
            await connection.execute(insert, [run, 1])
            try:
                async with connection.transaction():
                    await connection.execute(insert, [run, 2])
                    await connection.execute(insert, [run, 2])
            except errors.UniqueViolation:
                pass
            equal(await value(connection, "SELECT who()"), "authenticated|alice|acme")
            async with connection.transaction():
                await connection.execute(insert, [run, 3])
            async with connection.transaction(force_rollback=True):
                await connection.execute(insert, [run, 4])
        equal(await column(connection, "SELECT n FROM scratch WHERE run = %s ORDER BY n", [run]), [1, 3])
        async with connection.transaction(force_rollback=True):
            await connection.execute("DELETE FROM scratch WHERE run = %s", [run])
        equal(await value(connection, "SELECT count(*) FROM scratch WHERE run = %s", [run]), 2)
    for level in (psycopg.IsolationLevel.SERIALIZABLE, psycopg.IsolationLevel.REPEATABLE_READ):
        async with await connect(ALICE) as connection:
            await connection.set_isolation_level(level)
            await connection.set_read_only(True)
            equal(await value(connection, "SHOW transaction_isolation"), level.name.lower().replace("_", " "))
            equal(await value(connection, "SELECT who()"), "authenticated|alice|acme")
            try:
                await connection.execute(insert, [run, 5])
            except errors.ReadOnlySqlTransaction:
                pass
            else:
                raise AssertionError("wrote in a read-only transaction")


@check
async def session_settings():
    async with await connect(ALICE, autocommit=True) as alice, await connect(BOB, autocommit=True) as bob:
        await alice.execute("SET TimeZone TO 'Asia/Tokyo'")
        await alice.execute("SET statement_timeout = '54321ms'")
        for _ in range(3):
            equal(await value(alice, "SHOW TimeZone"), "Asia/Tokyo")
            equal(await value(alice, "SELECT current_setting('statement_timeout')"), "54321ms")
            if await value(bob, "SHOW TimeZone") == "Asia/Tokyo":
                raise AssertionError("a setting crossed to another client")
            equal(await value(bob, "SELECT current_setting('statement_timeout')"), "1min")
        equal(alice.info.parameter_status("TimeZone"), "Asia/Tokyo")
        await alice.execute("RESET statement_timeout")
        equal(await value(alice, "SELECT current_setting('statement_timeout')"), "1min")
    async with await connect(ALICE, autocommit=True, options="-c statement_timeout=12s", application_name="suite") as alice:
        equal(await value(alice, "SHOW statement_timeout"), "12s")
        equal(await value(alice, "SHOW application_name"), "suite")


@check
async def copy_both_ways():
    run = RUN + "-copy"
    async with await connect(ALICE, autocommit=True) as connection:
        cursor = connection.cursor()
        async with cursor.copy("COPY scratch_in (run, n, body) FROM STDIN") as copy:
            for n in range(COPY_ROWS):
                await copy.write_row((run, n, copy_line(n)))
        equal(cursor.rowcount, COPY_ROWS)
        sql = "SELECT count(*) || ' ' || md5(string_agg(body, '' ORDER BY n)) FROM scratch WHERE run = %s"
        equal(await value(connection, sql, [run]), f"{COPY_ROWS} {copy_checksum()}")
        digest, count = hashlib.md5(), 0
        cursor = connection.cursor()
        # A subquery, so that the order is known.
        async with cursor.copy("COPY (SELECT body FROM scratch WHERE run = %s ORDER BY n) TO STDOUT", [run]) as copy:
            async for row in copy.rows():
                digest.update(row[0].encode())
                count += 1
        equal((count, digest.hexdigest()), (COPY_ROWS, copy_checksum()))
        cursor = await connection.execute("DELETE FROM scratch WHERE run = %s", [run])
        equal(cursor.rowcount, COPY_ROWS)


@check
async def copy_failures():
    run = RUN + "-copyfail"
    async with await connect(ALICE, autocommit=True) as connection:
        try:
            async with connection.cursor().copy("COPY scratch_in (run, n) FROM STDIN") as copy:
                await copy.write_row((run, 1))
                raise KeyError("the application changed its mind")
        except (KeyError, errors.QueryCanceled):
            pass
        try:
            async with connection.cursor().copy("COPY scratch_in (run, n) FROM STDIN") as copy:
                for _ in range(1000):
                    await copy.write(f"{run}\tnot a number\n")
        except errors.InvalidTextRepresentation:
            pass
        else:
            raise AssertionError("a bad row was taken")
        equal(await value(connection, "SELECT count(*) FROM scratch WHERE run = %s", [run]), 0)
        # The reader fails in the middle: psycopg cancels and drains.
        try:
            async with connection.cursor().copy("COPY (SELECT generate_series(1, 3000000)) TO STDOUT") as copy:
                await copy.read()
                raise KeyError("the application changed its mind")
        except KeyError:
            pass
        equal(await value(connection, "SELECT who()"), "authenticated|alice|acme")


@check
async def big_value():
    text = big_text()
    md5 = hashlib.md5(text.encode()).hexdigest()
    async with await connect(ALICE, autocommit=True) as connection:
        cursor = await connection.execute("SELECT length(v), md5(v), v FROM (SELECT %s::text AS v) AS x", [text], binary=True)
        length, server_md5, back = await cursor.fetchone()
        equal((length, server_md5), (BIG, md5), "to the server")
        if back != text:
            raise AssertionError("the value came back changed")
        await connection.execute("INSERT INTO scratch (run, n, body) VALUES (%s, 0, %s)", [RUN + "-big", text])
        equal(await value(connection, "SELECT md5(body) FROM scratch WHERE run = %s", [RUN + "-big"]), md5)
        await connection.execute("DELETE FROM scratch WHERE run = %s", [RUN + "-big"])


@check
async def cancel():
    async with await connect(ALICE, autocommit=True) as connection:
        for in_transaction in (False, True):
            if in_transaction:
                await connection.execute("BEGIN")
            sleep = asyncio.create_task(connection.execute("SELECT pg_sleep(30)"))
            await asyncio.sleep(0.5)
            start = asyncio.get_running_loop().time()
            await connection.cancel_safe()
            try:
                await sleep
            except errors.QueryCanceled:
                pass
            else:
                raise AssertionError("not cancelled")
            took = asyncio.get_running_loop().time() - start
            if took > 15:
                raise AssertionError(f"cancelled only after {took:.1f} s")
            if in_transaction:
                await connection.execute("ROLLBACK")
            equal(await value(connection, "SELECT who()"), "authenticated|alice|acme")


@check
async def cancel_reaches_nobody_else():
    async with await connect(ALICE, autocommit=True) as alice, await connect(BOB, autocommit=True) as bob:
        await alice.execute("SELECT 1")
        running = asyncio.create_task(value(bob, "SELECT 'unharmed' FROM pg_sleep(1.5)"))
        await asyncio.sleep(0.4)
        for _ in range(5):
            await alice.cancel_safe()
        equal(await running, "unharmed")


@check
async def pipeline():
    run = RUN + "-pipeline"
    async with await connect(ALICE, autocommit=True) as connection:
        async with connection.pipeline():
            cursors = [await connection.execute("SELECT %s::int, who()", [n]) for n in range(200)]
            for n, cursor in enumerate(cursors):
                equal(await cursor.fetchone(), (n, "authenticated|alice|acme"))
        # Several Syncs, a transaction that ends in the middle, and statements after its end.
        async with connection.pipeline() as pipeline:
            await connection.execute("BEGIN")
            await connection.execute("INSERT INTO scratch (run, n) VALUES (%s, 1)", [run])
            await connection.execute("COMMIT")
            after = await connection.execute("SELECT who()")
            await pipeline.sync()
            later = await connection.execute("SELECT count(*) FROM scratch WHERE run = %s", [run])
            equal(await after.fetchone(), ("authenticated|alice|acme",), "after COMMIT")
            equal(await later.fetchone(), (1,))
        # An error skips the rest of its batch, no more.
        try:
            async with connection.pipeline() as pipeline:
                await connection.execute("SELECT 1")
                await connection.execute("SELECT 1/0")
                await connection.execute("INSERT INTO scratch (run, n) VALUES (%s, 2)", [run])
                await pipeline.sync()
        except errors.DivisionByZero:
            pass
        else:
            raise AssertionError("no error from the pipeline")
        equal(await column(connection, "SELECT n FROM scratch WHERE run = %s", [run]), [1])


@check
async def cursors():
    async with await connect(ALICE) as connection:
        async with connection.cursor(name="rows") as cursor:
            cursor.itersize = 100
            await cursor.execute("SELECT generate_series(1, 1050)")
            equal(sum([row[0] async for row in cursor]), 1050 * 1051 // 2)
        equal(await value(connection, "SELECT who()"), "authenticated|alice|acme")


@through_proxy
async def session_mode():
    # Suites run side by side on one server.
    lock = zlib.crc32(f"psycopg {RUN}".encode())
    async with await connect(SERVICE, autocommit=True) as listener, await connect(SERVICE, autocommit=True) as sender:
        await listener.execute('LISTEN "psycopg"')
        await sender.execute("NOTIFY psycopg, 'while idle'")
        heard = [notify async for notify in listener.notifies(timeout=20, stop_after=1)]
        equal([(notify.channel, notify.payload) for notify in heard], [("psycopg", "while idle")])
        await listener.execute("CREATE TEMP TABLE mine AS SELECT n FROM generate_series(1, 3) AS n")
        equal(await value(listener, "SELECT sum(n) FROM mine"), 6)
        async with listener.cursor(name="held", withhold=True) as cursor:
            await cursor.execute("SELECT n FROM mine ORDER BY n")
            equal(await cursor.fetchone(), (1,))
            equal(await value(listener, "SELECT pg_try_advisory_lock(%s)", [lock]), True)
            equal(await cursor.fetchall(), [(2,), (3,)])
        equal(await value(sender, "SELECT pg_try_advisory_lock(%s)", [lock]), False)


@check
async def many_rows():
    async with await connect(ALICE, autocommit=True) as connection:
        total = 0
        async for row in connection.cursor().stream("SELECT generate_series(1, 50000)"):
            total += row[0]
        equal(total, 50000 * 50001 // 2)


@check
async def clients_do_not_cross():
    insert = "INSERT INTO crossing (run, note) VALUES (%s, %s)"
    select = "SELECT tenant, note, current_user_id() || '@' || current_tenant() FROM crossing WHERE run = %s"

    async def client(who):
        connection = await connect(who["url"], autocommit=True)
        async with connection:
            connection.prepare_threshold = 1
            note = f"{who['user']}@{who['tenant']}"
            for turn in range(TURNS):
                await connection.execute(insert, [RUN, note])
                if turn % 2:
                    async with connection.transaction():
                        rows = await (await connection.execute(select, [RUN])).fetchall()
                else:
                    rows = await (await connection.execute(select, [RUN])).fetchall()
                expect_own(who, rows)
                if len(rows) <= turn:
                    raise AssertionError(f"{note}: own rows are missing")

    await together(client(who) for who in CLIENTS)


main()
