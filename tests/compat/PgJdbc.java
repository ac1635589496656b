// A program over pgjdbc: what Java applications, their pools and frameworks ask of a server. Prints a JSON object
// for each check. Reads libpq's variables; takes the name of one check to run only that.

import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.io.StringReader;
import java.io.StringWriter;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.sql.*;
import java.time.LocalDate;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import java.util.Properties;
import java.util.UUID;
import org.postgresql.PGConnection;
import org.postgresql.copy.CopyManager;
import org.postgresql.jdbc.PreferQueryMode;
import org.postgresql.largeobject.LargeObject;
import org.postgresql.largeobject.LargeObjectManager;
import org.postgresql.util.PGobject;
import org.postgresql.util.PSQLException;

public class PgJdbc {
    interface Check {
        void run(Properties properties) throws Exception;
    }

    static final Map<String, Check> CHECKS = new LinkedHashMap<>();

    public static void main(String[] arguments) throws Exception {
        fill();
        int failed = 0;
        for (String mode : new String[] {"extended", "extendedForPrepared", "extendedCacheEverything", "simple"}) {
            for (Map.Entry<String, Check> check : CHECKS.entrySet()) {
                String name = check.getKey() + "/" + mode;
                if (arguments.length > 0 && !name.startsWith(arguments[0])) continue;
                Properties properties = new Properties();
                properties.setProperty("user", System.getenv("PGUSER"));
                properties.setProperty("password", System.getenv("PGPASSWORD"));
                properties.setProperty("sslmode", "disable");
                properties.setProperty("preferQueryMode", mode);
                properties.setProperty("connectTimeout", "10");
                properties.setProperty("socketTimeout", "15");
                // From the second execution on by name, so that a few suffice to see it.
                properties.setProperty("prepareThreshold", "2");
                try {
                    check.getValue().run(properties);
                    System.out.println("{\"name\":" + quote(name) + ",\"state\":\"passed\"}");
                } catch (Throwable error) {
                    String state = error instanceof SQLException ? ((SQLException) error).getSQLState() + " " : "";
                    StackTraceElement[] trace = error.getStackTrace();
                    String place = Arrays.stream(trace).filter(at -> at.getClassName().startsWith("PgJdbc")).findFirst().map(Object::toString).orElse("");
                    System.out.println("{\"name\":" + quote(name) + ",\"state\":\"failed\",\"text\":" + quote(state + error + "\n" + place) + "}");
                    failed++;
                }
            }
        }
        System.exit(failed == 0 ? 0 : 1);
    }

    static Connection open(Properties properties) throws SQLException {
        String url = "jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/" + System.getenv("PGDATABASE");
        return DriverManager.getConnection(url, properties);
    }

    static Connection open(Properties properties, String... more) throws SQLException {
        Properties all = (Properties) properties.clone();
        for (int at = 0; at < more.length; at += 2) all.setProperty(more[at], more[at + 1]);
        return open(all);
    }

    static String ask(Connection connection, String sql, Object... values) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(sql)) {
            for (int at = 0; at < values.length; at++) statement.setObject(at + 1, values[at]);
            try (ResultSet rows = statement.executeQuery()) {
                return rows.next() ? rows.getString(1) : null;
            }
        }
    }

    static void run(Connection connection, String... statements) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            for (String sql : statements) statement.execute(sql);
        }
    }

    static void same(Object expected, Object got) {
        if (!Objects.equals(expected, got)) throw new AssertionError("expected " + expected + ", got " + got);
    }

    static SQLException fails(String state, Callable what) throws Exception {
        try {
            what.call();
        } catch (SQLException error) {
            same(state, error.getSQLState());
            return error;
        }
        throw new AssertionError("expected " + state + ", it passed");
    }

    /** Simple queries carry no types, which a few checks need. */
    static boolean isSimple(Properties properties) {
        return properties.getProperty("preferQueryMode").equals("simple");
    }

    interface Callable {
        void call() throws Exception;
    }

    static String quote(String text) {
        StringBuilder quoted = new StringBuilder("\"");
        for (char c : text.toCharArray()) {
            if (c == '"' || c == '\\') quoted.append('\\').append(c);
            else if (c < ' ') quoted.append(String.format("\\u%04x", (int) c));
            else quoted.append(c);
        }
        return quoted.append('"').toString();
    }

    static void fill() {
        connections();
        statements();
        transactions();
        types();
        streams();
        metadata();
    }

    static void connections() {
        CHECKS.put("properties", properties -> {
            try (Connection c = open(properties, "ApplicationName", "jdbc check", "currentSchema", "pg_catalog", "options", "-c statement_timeout=4321")) {
                same("jdbc check", ask(c, "SHOW application_name"));
                same("pg_catalog", ask(c, "SHOW search_path"));
                same("4321ms", ask(c, "SHOW statement_timeout"));
                c.setClientInfo("ApplicationName", "renamed");
                same("renamed", ask(c, "SHOW application_name"));
                c.setSchema("public");
                same("public", c.getSchema());
                same(true, c.isValid(2));
                same(PreferQueryMode.of(properties.getProperty("preferQueryMode")), c.unwrap(PGConnection.class).getPreferQueryMode());
                c.setNetworkTimeout(Runnable::run, 9000);
            }
        });
        CHECKS.put("read_only_property", properties -> {
            try (Connection c = open(properties, "readOnly", "true", "readOnlyMode", "always")) {
                same("on", ask(c, "SHOW transaction_read_only"));
            }
        });
        CHECKS.put("set_read_only", properties -> {
            try (Connection c = open(properties)) {
                run(c, "DROP TABLE IF EXISTS ro", "CREATE TABLE ro (n int)");
                c.setReadOnly(true);
                c.setAutoCommit(false);
                fails("25006", () -> run(c, "INSERT INTO ro VALUES (1)"));
                c.rollback();
                c.setAutoCommit(true);
                c.setReadOnly(false);
                run(c, "INSERT INTO ro VALUES (1)", "DROP TABLE ro");
            }
        });
        CHECKS.put("isolation", properties -> {
            try (Connection c = open(properties)) {
                c.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
                same(Connection.TRANSACTION_SERIALIZABLE, c.getTransactionIsolation());
                c.setAutoCommit(false);
                same("serializable", ask(c, "SHOW transaction_isolation"));
                c.commit();
                c.setTransactionIsolation(Connection.TRANSACTION_REPEATABLE_READ);
                same("repeatable read", ask(c, "SHOW transaction_isolation"));
                c.rollback();
            }
        });
        CHECKS.put("two_hosts", properties -> {
            String here = System.getenv("PGHOST") + ":" + System.getenv("PGPORT");
            Properties all = (Properties) properties.clone();
            all.setProperty("targetServerType", "primary");
            try (Connection c = DriverManager.getConnection("jdbc:postgresql://" + here + "," + here + "/" + System.getenv("PGDATABASE"), all)) {
                same("1", ask(c, "SELECT 1"));
            }
        });
        CHECKS.put("wrong_password", properties -> {
            Properties wrong = (Properties) properties.clone();
            wrong.setProperty("password", "wrong");
            fails("28P01", () -> open(wrong));
        });
        CHECKS.put("abort_and_close", properties -> {
            Connection c = open(properties);
            c.abort(Runnable::run);
            same(true, c.isClosed());
            try (Connection again = open(properties)) {
                same("1", ask(again, "SELECT 1"));
            }
        });
    }

    static void statements() {
        CHECKS.put("by_name_from_the_second_time", properties -> {
            try (Connection c = open(properties); PreparedStatement s = c.prepareStatement("SELECT ?::int + 1")) {
                for (int n = 0; n < 9; n++) {
                    s.setInt(1, n);
                    try (ResultSet rows = s.executeQuery()) {
                        rows.next();
                        same(n + 1, rows.getInt(1));
                    }
                }
            }
        });
        CHECKS.put("parameters_described", properties -> {
            if (isSimple(properties)) return;
            try (Connection c = open(properties); PreparedStatement s = c.prepareStatement("SELECT ?::int8 AS a, ?::text AS b")) {
                same("int8", s.getParameterMetaData().getParameterTypeName(1));
                same("b", s.getMetaData().getColumnName(2));
            }
        });
        CHECKS.put("several_results", properties -> {
            try (Connection c = open(properties); Statement s = c.createStatement()) {
                same(true, s.execute("SELECT 1; SELECT 2; CREATE TABLE several (n int); INSERT INTO several VALUES (1), (2); DROP TABLE several"));
                same(true, s.getMoreResults());
                same(false, s.getMoreResults());
                same(0, s.getUpdateCount());
                same(false, s.getMoreResults());
                same(2, s.getUpdateCount());
            }
        });
        CHECKS.put("batch", properties -> {
            for (String rewrite : new String[] {"false", "true"}) {
                try (Connection c = open(properties, "reWriteBatchedInserts", rewrite)) {
                    run(c, "DROP TABLE IF EXISTS batched", "CREATE TABLE batched (id serial PRIMARY KEY, n int UNIQUE)");
                    try (PreparedStatement s = c.prepareStatement("INSERT INTO batched (n) VALUES (?)", Statement.RETURN_GENERATED_KEYS)) {
                        for (int n = 0; n < 1000; n++) {
                            s.setInt(1, n);
                            s.addBatch();
                        }
                        same(1000, s.executeBatch().length);
                        int keys = 0;
                        for (ResultSet rows = s.getGeneratedKeys(); rows.next();) keys++;
                        same(1000, keys);
                        s.setInt(1, 5000);
                        s.addBatch();
                        s.setInt(1, 1);
                        s.addBatch();
                        fails("23505", s::executeBatch);
                    }
                    same("1000", ask(c, "SELECT count(*) FROM batched WHERE n < 1000"));
                    run(c, "DROP TABLE batched");
                }
            }
        });
        CHECKS.put("batch_of_texts", properties -> {
            try (Connection c = open(properties); Statement s = c.createStatement()) {
                s.addBatch("CREATE TABLE texts (n int)");
                s.addBatch("INSERT INTO texts VALUES (1)");
                s.addBatch("DROP TABLE texts");
                same("[0, 1, 0]", Arrays.toString(s.executeBatch()));
            }
        });
        CHECKS.put("generated_keys", properties -> {
            try (Connection c = open(properties)) {
                run(c, "DROP TABLE IF EXISTS keyed", "CREATE TABLE keyed (id serial, n int)");
                try (PreparedStatement s = c.prepareStatement("INSERT INTO keyed (n) VALUES (7)", new String[] {"id"})) {
                    s.executeUpdate();
                    ResultSet rows = s.getGeneratedKeys();
                    rows.next();
                    same(1, rows.getInt("id"));
                }
                run(c, "DROP TABLE keyed");
            }
        });
        CHECKS.put("functions_and_procedures", properties -> {
            if (isSimple(properties)) return;
            try (Connection c = open(properties, "escapeSyntaxCallMode", "callIfNoReturn")) {
                run(c, "CREATE OR REPLACE FUNCTION doubled(n int) RETURNS int LANGUAGE sql AS 'SELECT n * 2'",
                    "CREATE OR REPLACE PROCEDURE raised(INOUT n int) LANGUAGE plpgsql AS 'BEGIN n := n + 1; END'");
                try (CallableStatement s = c.prepareCall("{? = call doubled(?)}")) {
                    s.registerOutParameter(1, Types.INTEGER);
                    s.setInt(2, 21);
                    s.execute();
                    same(42, s.getInt(1));
                }
                try (CallableStatement s = c.prepareCall("{call raised(?)}")) {
                    s.setInt(1, 1);
                    s.registerOutParameter(1, Types.INTEGER);
                    s.execute();
                    same(2, s.getInt(1));
                }
                run(c, "DROP FUNCTION doubled", "DROP PROCEDURE raised");
            }
        });
        CHECKS.put("table_changed_under_a_statement", properties -> {
            try (Connection c = open(properties, "autosave", "conservative")) {
                run(c, "DROP TABLE IF EXISTS changing", "CREATE TABLE changing (a int)", "INSERT INTO changing VALUES (1)");
                try (PreparedStatement s = c.prepareStatement("SELECT * FROM changing")) {
                    for (int n = 0; n < 4; n++) s.executeQuery().close();
                    run(c, "ALTER TABLE changing ADD b text DEFAULT 'b'");
                    ResultSet rows = s.executeQuery();
                    rows.next();
                    same("b", rows.getString("b"));
                }
                run(c, "DROP TABLE changing");
            }
        });
        CHECKS.put("cancel_and_timeout", properties -> {
            try (Connection c = open(properties); Statement s = c.createStatement()) {
                Thread killer = new Thread(() -> {
                    try {
                        Thread.sleep(300);
                        s.cancel();
                    } catch (Exception error) {
                        error.printStackTrace();
                    }
                });
                killer.start();
                fails("57014", () -> s.execute("SELECT pg_sleep(10)"));
                killer.join();
                s.setQueryTimeout(1);
                fails("57014", () -> s.execute("SELECT pg_sleep(10)"));
                s.setQueryTimeout(0);
                same("1", ask(c, "SELECT 1"));
            }
        });
        CHECKS.put("errors_and_notices", properties -> {
            try (Connection c = open(properties); Statement s = c.createStatement()) {
                PSQLException error = (PSQLException) fails("42703", () -> s.execute("SELECT 1, missing"));
                same(11, error.getServerErrorMessage().getPosition());
                fails("22012", () -> s.execute("SELECT 1/0"));
                fails("42601", () -> s.execute("SELEC 1"));
                s.execute("DO $$ BEGIN RAISE WARNING 'careful'; RAISE NOTICE 'by the way'; END $$");
                same("careful", s.getWarnings().getMessage());
                same("by the way", s.getWarnings().getNextWarning().getMessage());
            }
        });
        CHECKS.put("many_parameters", properties -> {
            int count = 20000;
            try (Connection c = open(properties);
                 PreparedStatement s = c.prepareStatement("SELECT cardinality(ARRAY[?::int" + ",?".repeat(count - 1) + "])")) {
                for (int n = 1; n <= count; n++) s.setInt(n, n);
                ResultSet rows = s.executeQuery();
                rows.next();
                same(count, rows.getInt(1));
            }
        });
    }

    static void transactions() {
        CHECKS.put("savepoints", properties -> {
            try (Connection c = open(properties)) {
                run(c, "DROP TABLE IF EXISTS saved", "CREATE TABLE saved (n int PRIMARY KEY)");
                c.setAutoCommit(false);
                run(c, "INSERT INTO saved VALUES (1)");
                Savepoint point = c.setSavepoint("a point");
                fails("23505", () -> run(c, "INSERT INTO saved VALUES (1)"));
                fails("25P02", () -> run(c, "SELECT 1"));
                c.rollback(point);
                run(c, "INSERT INTO saved VALUES (2)");
                c.releaseSavepoint(c.setSavepoint());
                c.commit();
                same("2", ask(c, "SELECT count(*) FROM saved"));
                c.rollback();
                c.setAutoCommit(true);
                run(c, "DROP TABLE saved");
            }
        });
        CHECKS.put("autosave", properties -> {
            try (Connection c = open(properties, "autosave", "always")) {
                c.setAutoCommit(false);
                same("1", ask(c, "SELECT 1"));
                fails("22012", () -> ask(c, "SELECT 1/0"));
                same("2", ask(c, "SELECT 2"));
                c.commit();
            }
        });
        CHECKS.put("fetch_size", properties -> {
            if (isSimple(properties)) return;
            try (Connection c = open(properties)) {
                c.setAutoCommit(false);
                try (PreparedStatement s = c.prepareStatement("SELECT generate_series(1, 1000)")) {
                    s.setFetchSize(7);
                    int rows = 0;
                    ResultSet set = s.executeQuery();
                    while (set.next()) {
                        same(++rows, set.getInt(1));
                        if (rows % 100 == 0) same("1", ask(c, "SELECT 1"));
                    }
                    same(1000, rows);
                }
                try (PreparedStatement s = c.prepareStatement("SELECT generate_series(1, 1000)")) {
                    s.setMaxRows(5);
                    int rows = 0;
                    for (ResultSet set = s.executeQuery(); set.next();) rows++;
                    same(5, rows);
                }
                c.commit();
            }
        });
        CHECKS.put("holdable", properties -> {
            try (Connection c = open(properties);
                 Statement s = c.createStatement(ResultSet.TYPE_SCROLL_INSENSITIVE, ResultSet.CONCUR_READ_ONLY, ResultSet.HOLD_CURSORS_OVER_COMMIT)) {
                c.setAutoCommit(false);
                s.setFetchSize(2);
                ResultSet rows = s.executeQuery("SELECT generate_series(1, 5)");
                rows.absolute(4);
                same(4, rows.getInt(1));
                c.commit();
                rows.previous();
                same(3, rows.getInt(1));
            }
        });
        CHECKS.put("ref_cursor", properties -> {
            if (isSimple(properties)) return;
            try (Connection c = open(properties)) {
                run(c, "CREATE OR REPLACE FUNCTION walk() RETURNS refcursor LANGUAGE plpgsql AS "
                    + "'DECLARE c refcursor; BEGIN OPEN c FOR SELECT generate_series(1, 3); RETURN c; END'");
                c.setAutoCommit(false);
                try (CallableStatement s = c.prepareCall("{? = call walk()}")) {
                    s.registerOutParameter(1, Types.REF_CURSOR);
                    s.execute();
                    int rows = 0;
                    for (ResultSet set = (ResultSet) s.getObject(1); set.next();) rows++;
                    same(3, rows);
                }
                c.commit();
                run(c, "DROP FUNCTION walk");
                c.commit();
            }
        });
        CHECKS.put("updatable", properties -> {
            try (Connection c = open(properties)) {
                run(c, "DROP TABLE IF EXISTS updatable", "CREATE TABLE updatable (id int PRIMARY KEY, n int)", "INSERT INTO updatable VALUES (1, 1)");
                try (Statement s = c.createStatement(ResultSet.TYPE_SCROLL_INSENSITIVE, ResultSet.CONCUR_UPDATABLE)) {
                    ResultSet rows = s.executeQuery("SELECT id, n FROM updatable");
                    rows.next();
                    rows.updateInt("n", 9);
                    rows.updateRow();
                    rows.moveToInsertRow();
                    rows.updateInt("id", 2);
                    rows.insertRow();
                }
                same("9", ask(c, "SELECT n FROM updatable WHERE id = 1"));
                run(c, "DROP TABLE updatable");
            }
        });
        CHECKS.put("two_phase_refused_alike", properties -> {
            try (Connection c = open(properties)) {
                c.setAutoCommit(false);
                run(c, "SELECT 1");
                try {
                    run(c, "PREPARE TRANSACTION 'x'");
                } catch (SQLException error) {
                    c.rollback();
                }
                same("1", ask(c, "SELECT 1"));
                c.rollback();
            }
        });
        CHECKS.put("notifications", properties -> {
            try (Connection c = open(properties)) {
                run(c, "LISTEN heard", "NOTIFY heard, 'said'");
                same("said", c.unwrap(PGConnection.class).getNotifications(2000)[0].getParameter());
            }
        });
        CHECKS.put("temporary_table", properties -> {
            try (Connection c = open(properties)) {
                run(c, "CREATE TEMPORARY TABLE fleeting (n int)", "INSERT INTO fleeting VALUES (1)");
                same("1", ask(c, "SELECT count(*) FROM fleeting"));
            }
        });
    }

    static void types() {
        CHECKS.put("round_trips", properties -> {
            if (isSimple(properties)) return;
            for (String binary : new String[] {"true", "false"}) {
                try (Connection c = open(properties, "binaryTransfer", binary)) {
                    UUID id = UUID.randomUUID();
                    OffsetDateTime time = OffsetDateTime.of(2026, 3, 4, 5, 6, 7, 0, ZoneOffset.UTC);
                    for (int turn = 0; turn < 4; turn++) {
                        try (PreparedStatement s = c.prepareStatement("SELECT ?::int, ?::bigint, ?::numeric, ?::float8, ?::bool, ?::text, ?::bytea, ?::uuid, ?::date, ?::timestamptz, ?::jsonb, ?::int[]")) {
                            PGobject json = new PGobject();
                            json.setType("jsonb");
                            json.setValue("{\"a\": 1}");
                            Object[] values = {1, 2L, new BigDecimal("3.50"), 4.5, true, "fünf ' \\", new byte[] {0, 1, -1}, id, LocalDate.of(2026, 3, 4), time, json, c.createArrayOf("int4", new Integer[] {1, null, 3})};
                            for (int at = 0; at < values.length; at++) s.setObject(at + 1, values[at]);
                            ResultSet rows = s.executeQuery();
                            rows.next();
                            same(1, rows.getInt(1));
                            same(2L, rows.getLong(2));
                            same(new BigDecimal("3.50"), rows.getBigDecimal(3));
                            same(4.5, rows.getDouble(4));
                            same(true, rows.getBoolean(5));
                            same("fünf ' \\", rows.getString(6));
                            same("[0, 1, -1]", Arrays.toString(rows.getBytes(7)));
                            same(id, rows.getObject(8));
                            same(LocalDate.of(2026, 3, 4), rows.getObject(9, LocalDate.class));
                            same(time, rows.getObject(10, OffsetDateTime.class));
                            same("{\"a\": 1}", rows.getString(11));
                            same("[1, null, 3]", Arrays.toString((Object[]) rows.getArray(12).getArray()));
                        }
                    }
                }
            }
        });
        CHECKS.put("own_types", properties -> {
            try (Connection c = open(properties)) {
                run(c, "DROP TYPE IF EXISTS mood", "CREATE TYPE mood AS ENUM ('fine')", "DROP TYPE IF EXISTS pair", "CREATE TYPE pair AS (a int, b text)");
                same("fine", ask(c, "SELECT 'fine'::mood"));
                same("(1,x)", ask(c, "SELECT ROW(1, 'x')::pair"));
                run(c, "DROP TYPE mood", "DROP TYPE pair");
            }
        });
        CHECKS.put("time_zone", properties -> {
            try (Connection c = open(properties)) {
                same(java.util.TimeZone.getDefault().getID(), ask(c, "SHOW TimeZone"));
                run(c, "SET TimeZone = 'Asia/Tokyo'");
                same("2026-01-01 21:00:00+09", ask(c, "SELECT (timestamptz '2026-01-01 12:00Z')::text"));
            }
        });
    }

    static void streams() {
        CHECKS.put("copy", properties -> {
            try (Connection c = open(properties)) {
                run(c, "DROP TABLE IF EXISTS copied", "CREATE TABLE copied (n int, body text)");
                CopyManager manager = c.unwrap(PGConnection.class).getCopyAPI();
                StringBuilder rows = new StringBuilder();
                for (int n = 0; n < 20000; n++) rows.append(n).append("\trow ").append(n).append('\n');
                same(20000L, manager.copyIn("COPY copied FROM STDIN", new StringReader(rows.toString())));
                StringWriter out = new StringWriter();
                same(20000L, manager.copyOut("COPY (SELECT * FROM copied ORDER BY n) TO STDOUT", out));
                same(rows.toString(), out.toString());
                fails("22P02", () -> manager.copyIn("COPY copied FROM STDIN", new StringReader("x\ty\n")));
                var in = manager.copyIn("COPY copied FROM STDIN");
                in.writeToCopy("1\tone\n".getBytes(StandardCharsets.UTF_8), 0, 6);
                in.cancelCopy();
                same("20000", ask(c, "SELECT count(*) FROM copied"));
                run(c, "DROP TABLE copied");
            }
        });
        CHECKS.put("large_objects", properties -> {
            try (Connection c = open(properties)) {
                c.setAutoCommit(false);
                LargeObjectManager manager = c.unwrap(PGConnection.class).getLargeObjectAPI();
                long oid = manager.createLO(LargeObjectManager.READWRITE);
                LargeObject object = manager.open(oid, LargeObjectManager.READWRITE);
                object.write("large".getBytes(StandardCharsets.UTF_8));
                object.seek(0);
                same("large", new String(object.read(5), StandardCharsets.UTF_8));
                object.close();
                manager.delete(oid);
                c.commit();
            }
        });
        CHECKS.put("streamed_values", properties -> {
            if (isSimple(properties)) return;
            try (Connection c = open(properties); PreparedStatement s = c.prepareStatement("SELECT length(?::bytea)")) {
                byte[] bytes = new byte[3_000_000];
                s.setBinaryStream(1, new ByteArrayInputStream(bytes), bytes.length);
                ResultSet rows = s.executeQuery();
                rows.next();
                same(bytes.length, rows.getInt(1));
            }
            try (Connection c = open(properties); Statement s = c.createStatement()) {
                ResultSet rows = s.executeQuery("SELECT repeat('x', 3000000)::bytea");
                rows.next();
                try (InputStream in = rows.getBinaryStream(1)) {
                    same(3_000_000, in.readAllBytes().length);
                }
            }
        });
    }

    static void metadata() {
        CHECKS.put("metadata", properties -> {
            try (Connection c = open(properties)) {
                run(c, "DROP TABLE IF EXISTS child, parent", "CREATE TABLE parent (id int PRIMARY KEY, name text)",
                    "CREATE TABLE child (id int PRIMARY KEY, parent int REFERENCES parent)", "CREATE INDEX child_parent ON child (parent)");
                DatabaseMetaData about = c.getMetaData();
                same("PostgreSQL", about.getDatabaseProductName());
                same(1, rows(about.getTables(null, "public", "child", new String[] {"TABLE"})));
                same(2, rows(about.getColumns(null, "public", "child", "%")));
                same(1, rows(about.getPrimaryKeys(null, "public", "child")));
                same(1, rows(about.getImportedKeys(null, "public", "child")));
                same(1, rows(about.getExportedKeys(null, "public", "parent")));
                same(2, rows(about.getIndexInfo(null, "public", "child", false, false)));
                same(true, rows(about.getTypeInfo()) > 50);
                same(true, rows(about.getSchemas()) > 2);
                same(true, rows(about.getCatalogs()) > 0);
                same(true, rows(about.getFunctions(null, "pg_catalog", "upper")) > 0);
                same(0, rows(about.getProcedures(null, "public", "no_such_%")));
                same(true, rows(about.getTablePrivileges(null, "public", "child")) > 0);
                same(0, rows(about.getUDTs(null, "public", "no_such_%", null)));
                same(true, rows(about.getClientInfoProperties()) > 0);
                same(true, about.getSQLKeywords().length() > 100);
                same(true, about.getMaxColumnNameLength() == 63);
                try (Statement s = c.createStatement()) {
                    ResultSetMetaData columns = s.executeQuery("SELECT id, name FROM parent").getMetaData();
                    same("parent", columns.getTableName(1));
                    same(ResultSetMetaData.columnNoNulls, columns.isNullable(1));
                }
                run(c, "DROP TABLE child, parent");
            }
        });
        CHECKS.put("server_says", properties -> {
            try (Connection c = open(properties)) {
                Map<String, String> said = c.unwrap(PGConnection.class).getParameterStatuses();
                for (String name : new String[] {"server_version", "client_encoding", "standard_conforming_strings", "integer_datetimes", "DateStyle", "TimeZone"}) {
                    same(ask(c, "SHOW " + name), said.get(name));
                }
            }
        });
    }

    static int rows(ResultSet set) throws SQLException {
        int rows = 0;
        while (set.next()) rows++;
        return rows;
    }
}
