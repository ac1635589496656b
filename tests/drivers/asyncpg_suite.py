"""The gateway seen by asyncpg (its own protocol implementation, binary formats, named statements)."""

import asyncio
import datetime
import decimal
import hashlib
import uuid
import zlib

import asyncpg
from suite import *


class connect:
    """`async with connect(url) as connection`."""

    def __init__(self, url, **more):
        self.url, self.more = url, more

    async def __aenter__(self):
        self.connection = await asyncpg.connect(self.url, timeout=60, ssl=self.more.pop("ssl", "prefer"), **self.more)
        return self.connection

    async def __aexit__(self, *_):
        await self.connection.close(timeout=10)


async def fails(awaitable, error, what=""):
    try:
        got = await awaitable
    except error as seen:
        return seen
    raise AssertionError(f"{what}: expected {error.__name__}, got {got!r}")


@check
async def login():
    for url, who in ((ALICE, "authenticated|alice|acme"), (BOB, "authenticated|bob|globex")):
        async with connect(url) as connection:
            equal(await connection.fetchval("SELECT who()"), who)
            if connection.get_server_version().major < 14:
                raise AssertionError(connection.get_server_version())


@through_proxy
async def bad_tokens():
    await fails(asyncpg.connect(FOREIGN), asyncpg.InvalidPasswordError, "foreign")
    error = await fails(asyncpg.connect(EXPIRED), asyncpg.InvalidPasswordError, "expired")
    if "expired" not in str(error):
        raise AssertionError(f"the refusal does not say why: {error}")


@check
async def rows():
    for url, who in ((ALICE, "alice"), (BOB, "bob"), (CAROL, "carol")):
        async with connect(url) as connection:
            rows = await connection.fetch("SELECT title FROM todos ORDER BY title")
            equal([row["title"] for row in rows], TITLES[who])


@check
async def rows_written():
    run = RUN + "-written"
    async with connect(ALICE) as alice, connect(BOB) as bob:
        sql = "INSERT INTO scratch (run, n, body) VALUES ($1, 1, 'x') RETURNING tenant || '/' || owner"
        equal(await alice.fetchval(sql, run), "acme/alice")
        equal(await bob.fetchval(sql, run), "globex/bob")
        equal(await alice.fetchval("SELECT count(*) FROM scratch WHERE run = $1", run), 1)
        sql = "INSERT INTO scratch (run, tenant, n) VALUES ($1, 'acme', 9)"
        await fails(bob.execute(sql, run), asyncpg.InsufficientPrivilegeError, "another tenant")
        equal(await bob.execute("DELETE FROM scratch WHERE owner = $1", "alice"), "DELETE 0")


@check
async def parameters():
    values = [
        42, -(2**40), 1.5, decimal.Decimal("12345678901234567890.123"), True, None, "it's \u00e9\u4e2d\U0001f600",
        b"\x00\xff\\bin", datetime.date(2024, 2, 29),
        datetime.datetime(2024, 2, 29, 12, 30, 15, 123456, tzinfo=datetime.timezone.utc),
        uuid.UUID("12345678-1234-5678-1234-567812345678"), [1, 2, None], ["a", 'b"c'], '{"a": 1}',
    ]
    types = ["int", "bigint", "float8", "numeric", "bool", "text", "text", "bytea", "date", "timestamptz", "uuid",
             "int[]", "text[]", "json"]
    sql = "SELECT " + ", ".join(f"${n + 1}::{name}" for n, name in enumerate(types))
    async with connect(ALICE) as connection:
        equal(list(await connection.fetchrow(sql, *values)), values)
        many = [str(n) for n in range(300)]
        sql = "SELECT array_to_string(ARRAY[" + ",".join(f"${n + 1}::text" for n in range(300)) + "], \'\')"
        equal(await connection.fetchval(sql, *many), "".join(many))
        await connection.executemany("INSERT INTO scratch (run, n) VALUES ($1, $2)", [(RUN + "-many", n) for n in range(500)])
        equal(await connection.fetchval("SELECT sum(n) FROM scratch WHERE run = $1", RUN + "-many"), 499 * 250)


@check
async def own_types():
    # A type the driver does not know makes it ask the catalog, with statements of its own.
    async with connect(ALICE) as connection:
        equal(await connection.fetchval("SELECT 'happy'::mood"), "happy")
        equal(await connection.fetchval("SELECT $1::mood[]", ["sad", "ok"]), ["sad", "ok"])
        equal(dict(await connection.fetchval("SELECT t FROM todos AS t ORDER BY title LIMIT 1"))["title"], "alice one")


@check
async def prepared_across_transactions():
    async with connect(ALICE) as connection:
        statement = await connection.prepare("SELECT pg_backend_pid() + $1::int - 1")
        pid = await statement.fetchval(1)
        for _ in range(5):
            await statement.fetchval(1)
        if POOL_SIZE > 1:
            pid = await statement.fetchval(1)
            holders = []
            try:
                while True:
                    if len(holders) == POOL_SIZE - 1:
                        raise AssertionError("the pool never gave the first server connection out again")
                    holder = await asyncpg.connect(BOB)
                    holders.append(holder)
                    await holder.execute("BEGIN")
                    if await holder.fetchval("SELECT pg_backend_pid()") == pid:
                        break
                if await statement.fetchval(1) == pid:
                    raise AssertionError("the same server connection, although it was taken")
            finally:
                for holder in holders:
                    await holder.close(timeout=10)


@check
async def prepared_names_are_private():
    # Both connections name their first statement alike.
    async with connect(ALICE) as alice, connect(BOB) as bob:
        hers = await alice.prepare("SELECT 'alice' || $1 || who()", name="same")
        # asyncpg prepares with Flush: its batch stays open, with the server connection, until it executes.
        await hers.fetchval("x")
        his = await bob.prepare("SELECT 'bob' || $1 || who()", name="same")
        for turn in range(10):
            equal(await hers.fetchval(str(turn)), f"alice{turn}authenticated|alice|acme")
            equal(await his.fetchval(str(turn)), f"bob{turn}authenticated|bob|globex")
        equal([a.name for a in hers.get_attributes()], ["?column?"])


@check
async def many_statements():
    async with connect(ALICE, statement_cache_size=50) as connection:
        for lap in range(2):
            for n in range(300):
                equal(await connection.fetchval(f"SELECT {n} + $1::int", lap), n + lap)


@check
async def error_and_recovery():
    async with connect(ALICE) as connection:
        for sql, error in (("SELECT 1/0", asyncpg.DivisionByZeroError), ("SELEC 1", asyncpg.PostgresSyntaxError),
                           ("SELECT * FROM no_such_table", asyncpg.UndefinedTableError)):
            await fails(connection.execute(sql), error, sql)
            await fails(connection.fetch(sql), error, sql)
            equal(await connection.fetchval("SELECT who()"), "authenticated|alice|acme")
        await connection.execute("BEGIN")
        await fails(connection.fetch("SELECT 1/0"), asyncpg.DivisionByZeroError)
        await fails(connection.fetch("SELECT 1"), asyncpg.InFailedSQLTransactionError)
        await connection.execute("ROLLBACK")
        equal(await connection.fetchval("SELECT who()"), "authenticated|alice|acme")


@check
async def refused_statements():
    refused = ["DROP TABLE todos", "SET ROLE service_role", "CREATE TABLE mine (a int)"]
    if not DIRECT:
        refused += ["SELECT set_config('app.user_id', 'bob', false)", "SET app.user_id = 'bob'", "RESET ROLE", "TRUNCATE todos"]
    async with connect(ALICE) as connection:
        for sql in refused:
            await fails(connection.execute(sql), asyncpg.InsufficientPrivilegeError, sql)
            error = await fails(connection.fetch(sql), asyncpg.InsufficientPrivilegeError, sql)
            if not DIRECT and not error.hint:
                raise AssertionError(f"{sql}: no hint")
            equal(await connection.fetchval("SELECT who()"), "authenticated|alice|acme", sql)
        async with connection.transaction():
            await fails(nested(connection, "DROP TABLE todos"), asyncpg.InsufficientPrivilegeError)
            equal(await connection.fetchval("SELECT who()"), "authenticated|alice|acme")


async def nested(connection, *statements):
    async with connection.transaction():
        for sql in statements:
            await connection.execute(sql)


@check
async def transactions_and_savepoints():
    run = RUN + "-savepoints"
    insert = f"INSERT INTO scratch (run, n) VALUES ('{run}', %d)"
    async with connect(ALICE) as connection:
        async with connection.transaction():
            await connection.execute(insert % 1)
            await fails(nested(connection, insert % 2, insert % 2), asyncpg.UniqueViolationError)
            equal(await connection.fetchval("SELECT who()"), "authenticated|alice|acme")
            await nested(connection, insert % 3)
        rows = await connection.fetch("SELECT n FROM scratch WHERE run = $1 ORDER BY n", run)
        equal([row["n"] for row in rows], [1, 3])
        for isolation in ("serializable", "repeatable_read"):
            async with connection.transaction(isolation=isolation, readonly=True):
                equal(await connection.fetchval("SHOW transaction_isolation"), isolation.replace("_", " "))
                equal(await connection.fetchval("SELECT who()"), "authenticated|alice|acme")
                await fails(nested(connection, insert % 9), asyncpg.ReadOnlySQLTransactionError)


@check
async def session_settings():
    async with connect(ALICE, server_settings={"application_name": "suite", "statement_timeout": "54321ms"}) as alice:
        async with connect(BOB) as bob:
            await alice.execute("SET TimeZone TO 'Asia/Tokyo'")
            for _ in range(3):
                equal(await alice.fetchval("SELECT current_setting('TimeZone')"), "Asia/Tokyo")
                equal(await alice.fetchval("SHOW statement_timeout"), "54321ms")
                equal(await alice.fetchval("SHOW application_name"), "suite")
                if await bob.fetchval("SHOW TimeZone") == "Asia/Tokyo":
                    raise AssertionError("a setting crossed to another client")
                equal(await bob.fetchval("SHOW statement_timeout"), "1min")
            equal(alice.get_settings().TimeZone, "Asia/Tokyo")
            # The text that asyncpg's own pool sends when a connection is given back.
            await alice.reset()
            equal(await alice.fetchval("SELECT who()"), "authenticated|alice|acme")
            if await alice.fetchval("SHOW TimeZone") == "Asia/Tokyo":
                raise AssertionError("RESET ALL did not reset")
            equal(await alice.fetchval("SHOW statement_timeout"), "54321ms", "a startup parameter after RESET ALL")


@check
async def copy_both_ways():
    run = RUN + "-copy"
    async with connect(ALICE) as connection:
        records = ((run, n, copy_line(n)) for n in range(COPY_ROWS))
        status = await connection.copy_records_to_table("scratch_in", records=records, columns=["run", "n", "body"])
        equal(status, f"COPY {COPY_ROWS}")
        sql = "SELECT count(*) || ' ' || md5(string_agg(body, '' ORDER BY n)) FROM scratch WHERE run = $1"
        equal(await connection.fetchval(sql, run), f"{COPY_ROWS} {copy_checksum()}")
        chunks = []

        async def take(chunk):
            chunks.append(bytes(chunk))

        sql = "SELECT body FROM scratch WHERE run = $1 ORDER BY n"
        status = await connection.copy_from_query(sql, run, output=take)
        equal(status, f"COPY {COPY_ROWS}")
        lines = b"".join(chunks).decode().split("\n")
        equal(lines.pop(), "")
        equal((len(lines), hashlib.md5("".join(lines).encode()).hexdigest()), (COPY_ROWS, copy_checksum()))
        equal(await connection.execute("DELETE FROM scratch WHERE run = $1", run), f"DELETE {COPY_ROWS}")


@check
async def copy_failures():
    run = RUN + "-copyfail"

    async def bad_rows():
        for n in range(1000):
            yield f"{run}\t{n}\n".encode() if n < 900 else b"not\ta number\n"

    async def changes_its_mind():
        yield f"{run}\t1\n".encode()
        raise KeyError("the application changed its mind")

    async with connect(ALICE) as connection:
        copy = connection.copy_to_table("scratch_in", source=bad_rows(), columns=["run", "n"])
        await fails(copy, asyncpg.InvalidTextRepresentationError)
        copy = connection.copy_to_table("scratch_in", source=changes_its_mind(), columns=["run", "n"])
        await fails(copy, KeyError)
        equal(await connection.fetchval("SELECT count(*) FROM scratch WHERE run = $1", run), 0)
        equal(await connection.fetchval("SELECT who()"), "authenticated|alice|acme")


@check
async def big_value():
    text = big_text()
    md5 = hashlib.md5(text.encode()).hexdigest()
    async with connect(ALICE) as connection:
        row = await connection.fetchrow("SELECT length(v), md5(v), v FROM (SELECT $1::text AS v) AS x", text)
        equal(tuple(row)[:2], (BIG, md5), "to the server")
        if row[2] != text:
            raise AssertionError("the value came back changed")


@check
async def cancel():
    async with connect(ALICE) as connection:
        for _ in range(2):
            start = asyncio.get_running_loop().time()
            # asyncpg sends a CancelRequest when its timeout strikes, and waits for the server's answer.
            await fails(connection.fetch("SELECT pg_sleep(30)", timeout=0.5), asyncio.TimeoutError)
            equal(await connection.fetchval("SELECT who()"), "authenticated|alice|acme")
            took = asyncio.get_running_loop().time() - start
            if took > 15:
                raise AssertionError(f"cancelled only after {took:.1f} s")
        async with connection.transaction():
            sleep = asyncio.create_task(connection.fetch("SELECT pg_sleep(30)"))
            await asyncio.sleep(0.3)
            sleep.cancel()
            await fails(sleep, asyncio.CancelledError)
            await fails(connection.fetchval("SELECT 1"), asyncpg.InFailedSQLTransactionError)
            await connection.execute("ROLLBACK; BEGIN")
        equal(await connection.fetchval("SELECT who()"), "authenticated|alice|acme")


@check
async def cursors():
    async with connect(ALICE) as connection:
        async with connection.transaction():
            total = 0
            # Portals with a row limit.
            async for row in connection.cursor("SELECT generate_series(1, $1::int)", 1050, prefetch=100):
                total += row[0]
            equal(total, 1050 * 1051 // 2)
            cursor = await connection.cursor("SELECT generate_series(1, 100)")
            equal(len(await cursor.fetch(10)), 10)
            equal(await cursor.forward(5), 5)
            equal((await cursor.fetchrow())[0], 16)
        equal(await connection.fetchval("SELECT who()"), "authenticated|alice|acme")


@through_proxy
async def session_mode():
    # Suites run side by side on one server.
    lock = zlib.crc32(f"asyncpg {RUN}".encode())
    async with connect(SERVICE) as listener, connect(SERVICE) as sender:
        heard = asyncio.Queue()
        await listener.add_listener("asyncpg", lambda *told: heard.put_nowait(told[2:]))
        await sender.execute("NOTIFY asyncpg, 'while idle'")
        equal(await asyncio.wait_for(heard.get(), 20), ("asyncpg", "while idle"))
        await listener.execute("CREATE TEMP TABLE mine AS SELECT n FROM generate_series(1, 3) AS n")
        equal(await listener.fetchval("SELECT sum(n) FROM mine WHERE n > $1", 1), 5)
        equal(await listener.fetchval("SELECT pg_try_advisory_lock($1)", lock), True)
        equal(await sender.fetchval("SELECT pg_try_advisory_lock($1)", lock), False)
        await listener.reset()
        equal(await sender.fetchval("SELECT pg_try_advisory_lock($1)", lock), True)


@check
async def multiple_statements():
    run = RUN + "-multi"
    async with connect(ALICE) as connection:
        await connection.execute(f"INSERT INTO scratch (run, n) VALUES ('{run}', 1); INSERT INTO scratch (run, n) VALUES ('{run}', 2)")
        await fails(connection.execute(f"INSERT INTO scratch (run, n) VALUES ('{run}', 3); SELECT 1/0"), asyncpg.DivisionByZeroError)
        equal(await connection.fetchval("SELECT count(*) FROM scratch WHERE run = $1", run), 2)
        await connection.execute(f"BEGIN; INSERT INTO scratch (run, n) VALUES ('{run}', 4); COMMIT; INSERT INTO scratch (run, n) VALUES ('{run}', 5)")
        equal(await connection.fetchval("SELECT count(*) FROM scratch WHERE run = $1", run), 4)


@check
async def clients_do_not_cross():
    insert = "INSERT INTO crossing (run, note) VALUES ($1, $2)"
    select = "SELECT tenant, note, current_user_id() || '@' || current_tenant() FROM crossing WHERE run = $1"

    async def client(who):
        # `ssl` False: 200 extra round trips tell nothing new.
        async with connect(who["url"], ssl=False) as connection:
            note = f"{who['user']}@{who['tenant']}"
            for turn in range(TURNS):
                await connection.execute(insert, RUN, note)
                if turn % 2:
                    async with connection.transaction():
                        rows = await connection.fetch(select, RUN)
                else:
                    rows = await connection.fetch(select, RUN)
                expect_own(who, rows)
                if len(rows) <= turn:
                    raise AssertionError(f"{note}: own rows are missing")

    await together(client(who) for who in CLIENTS)


main()
