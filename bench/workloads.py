"""What is measured: each workload, and what each target is sent for it.

The data: pgbench_accounts (no RLS, granted to app_user) and todos, which a policy filters by the
transaction's app.tenant_id. PgBouncer and the bare server are used as an application uses them that
takes care of role and settings itself; Portcullis is sent the plain statement.
"""

from __future__ import annotations

from dataclasses import dataclass

SCALE = 10
TENANTS = 100
TODOS_PER_TENANT = 100
TENANT = "t7"
# Others, which flood: one as it likes, one whose plan allows it few connections.
NOISY, CAPPED = "t8", "t9"
CAP = 4
USER = "user-7"
ROLE = "app_user"

READ_ACCOUNT = f"""\\set aid random(1, {100_000 * SCALE})
SELECT abalance FROM pgbench_accounts WHERE aid = :aid;
"""

# 10,000 rows of some 120 bytes: 1.2 MB.
READ_ROWS = f"""\\set low random(1, {100_000 * SCALE - 10_000})
SELECT aid, bid, abalance, filler FROM pgbench_accounts WHERE aid BETWEEN :low AND :low + 9999;
"""

# The todos of TENANT (see SETUP_SQL): tenant n owns ids n * TODOS_PER_TENANT + 1 and up.
FIRST_TODO = int(TENANT[1:]) * TODOS_PER_TENANT + 1
PICK_TODO = f"\\set id random({FIRST_TODO}, {FIRST_TODO + TODOS_PER_TENANT - 1})\n"
READ_TODO = "SELECT id, body FROM todos WHERE id = :id"
BEGIN_AS_USER = [
    "BEGIN",
    f"SET LOCAL ROLE {ROLE}",
    f"SELECT set_config('app.user_id', '{USER}', true), set_config('app.tenant_id', '{TENANT}', true), "
    f"set_config('app.role', '{ROLE}', true)",
]
PLAIN = PICK_TODO + READ_TODO + ";\n"
# What Portcullis sends for PLAIN, sent by the client itself: one prepared statement for identity and role ahead of
# the read, both under one Sync (pgbench manual, "\\startpipeline"). The server's limit for this work.
IN_ONE_PIPELINE = f"""{PICK_TODO}\\startpipeline
SELECT set_config('app.user_id', '{USER}', true), set_config('app.tenant_id', '{TENANT}', true), \
    set_config('app.role', '{ROLE}', true), set_config('role', '{ROLE}', true);
{READ_TODO};
\\endpipeline
"""
ONE_BY_ONE = PICK_TODO + ";\n".join([*BEGIN_AS_USER, READ_TODO, "COMMIT"]) + ";\n"
# `\;` joins statements into one Query message (pgbench manual, "Custom Scripts").
IN_ONE_QUERY = PICK_TODO + " \\;\n".join([*BEGIN_AS_USER, READ_TODO, "COMMIT"]) + ";\n"

# Some 100 MB each way.
COPY_OUT = "COPY (SELECT aid, bid, abalance, filler FROM pgbench_accounts) TO STDOUT"
COPY_IN = "COPY copied FROM STDIN"

SETUP_SQL = f"""
CREATE ROLE {ROLE} NOLOGIN;
CREATE ROLE portcullis_app LOGIN NOINHERIT PASSWORD :'password' IN ROLE {ROLE};
CREATE ROLE plain_app LOGIN INHERIT PASSWORD :'password' IN ROLE {ROLE};
GRANT SELECT ON pgbench_accounts TO {ROLE};
CREATE TABLE todos (id bigint PRIMARY KEY, tenant_id text NOT NULL, body text NOT NULL);
INSERT INTO todos
    SELECT n, 't' || (n - 1) / {TODOS_PER_TENANT}, 'todo ' || n FROM generate_series(1, {TENANTS * TODOS_PER_TENANT}) n;
CREATE INDEX ON todos (tenant_id);
ALTER TABLE todos ENABLE ROW LEVEL SECURITY;
ALTER TABLE todos FORCE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON todos USING (tenant_id = nullif(current_setting('app.tenant_id', true), ''));
GRANT SELECT ON todos TO {ROLE};
CREATE TABLE copied (aid int, bid int, abalance int, filler text);
-- Rows are thrown away: the copy is measured, not the disk.
CREATE FUNCTION drop_row() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER drop_rows BEFORE INSERT ON copied FOR EACH ROW EXECUTE FUNCTION drop_row();
GRANT INSERT ON copied TO {ROLE};
VACUUM ANALYZE;
"""


@dataclass(frozen=True)
class Case:
    """One target under one workload."""

    target: str
    script: str
    protocol: str = "simple"
    variant: str = ""
    connect: bool = False

    @property
    def label(self) -> str:
        """The target, and how it is used where there are several ways."""
        name = "portcullis, auto_prepare" if self.target == PREPARING else self.target
        return f"{name}, {self.variant}" if self.variant else name


@dataclass(frozen=True)
class Workload:
    """A question, and the cases that answer it."""

    name: str
    title: str
    cases: tuple[Case, ...]


# What the proxy costs against the server itself.
LIMIT = "limit"
ORDINARY = ("postgres", "pgbouncer", "portcullis")
# Portcullis with `auto_prepare`: for what it is about alone.
PREPARING = "auto_prepare"
TARGETS = (*ORDINARY, PREPARING)


def _same(name: str, title: str, script: str, protocol: str = "simple", connect: bool = False,
          targets: tuple[str, ...] = ORDINARY) -> Workload:
    return Workload(name, title, tuple(Case(t, script, protocol, connect=connect) for t in targets))


WORKLOADS = (
    _same("simple", "one-row SELECT, simple protocol", READ_ACCOUNT, targets=TARGETS),
    _same("extended", "one-row SELECT, extended protocol", READ_ACCOUNT, "extended", targets=TARGETS),
    _same("prepared", "one-row SELECT, prepared statement", READ_ACCOUNT, "prepared"),
    Workload(
        "identity",
        "role, 3 settings and one read under RLS",
        (
            Case("postgres", IN_ONE_QUERY, variant="BEGIN … COMMIT in one Query"),
            Case("pgbouncer", ONE_BY_ONE, variant="BEGIN … COMMIT"),
            Case("pgbouncer", IN_ONE_QUERY, variant="BEGIN … COMMIT in one Query"),
            Case("portcullis", PLAIN, variant="plain SELECT"),
            Case(PREPARING, PLAIN, variant="plain SELECT"),
        ),
    ),
    Workload(
        LIMIT,
        "identity and one read under RLS, prepared: against the server itself",
        (
            Case("postgres", IN_ONE_PIPELINE, "prepared", variant="the same bytes, sent by the client"),
            Case("pgbouncer", IN_ONE_PIPELINE, "prepared", variant="the same bytes, sent by the client"),
            Case("portcullis", PLAIN, "prepared", variant="plain SELECT"),
        ),
    ),
    _same("rows", "10,000 rows, 1.2 MB", READ_ROWS),
    _same("connect", "connect, one-row SELECT, close", READ_ACCOUNT, connect=True, targets=TARGETS),
)
