//! The ways by which a statement can reach a server.

use crate::support::raw;

/// What a session says about itself, whoever changed what.
pub(crate) const WHO: &str = "SELECT 'WHO:' || pg_catalog.concat_ws('|', public.who(), \
    pg_catalog.current_setting('app.role', true), pg_catalog.md5(pg_catalog.current_setting('request.jwt.claims', true)), \
    pg_catalog.current_setting('search_path'), pg_catalog.current_setting('row_security'))";

/// Reads whatever the session sees of everybody's rows.
pub(crate) const TITLES: &str = "SELECT string_agg(title, ',') FROM todos";

/// Reads what nobody but a service may.
pub(crate) const VAULT: &str = "SELECT secret FROM vault";

/// One way.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Route {
    /// A Query of its own.
    Simple,
    /// A Query within BEGIN … COMMIT.
    Block,
    /// One Query with the exploit behind it.
    Script,
    /// Parse, Bind, Describe, Execute, Sync.
    Extended,
    /// Between other statements of one pipeline, in one transaction.
    Pipelined,
    /// A named statement, bound in a later batch.
    Named,
    /// Within a savepoint that is then rolled back to.
    Savepoint,
    /// Every message twice, in one packet.
    Packet,
    /// As the query of COPY.
    Copied,
    /// As what EXPLAIN ANALYZE runs.
    Explained,
    /// As what EXPLAIN plans.
    Planned,
    /// As the body of PREPARE.
    Prepared,
    /// As the query of a cursor.
    Cursor,
    /// As the body of a CTE.
    Common,
}

impl Route {
    pub(crate) const ALL: [Self; 14] = [
        Self::Simple,
        Self::Block,
        Self::Script,
        Self::Extended,
        Self::Pipelined,
        Self::Named,
        Self::Savepoint,
        Self::Packet,
        Self::Copied,
        Self::Explained,
        Self::Planned,
        Self::Prepared,
        Self::Cursor,
        Self::Common,
    ];

    /// What is sent, packet by packet, each with how often the session becomes ready again. `None` where the
    /// text cannot go this way.
    pub(crate) fn packets(self, text: &str) -> Option<Vec<(Vec<u8>, usize)>> {
        let is_query = ["SELECT", "WITH", "VALUES", "TABLE"]
            .iter()
            .any(|word| text.starts_with(word))
            && !text.contains(';');
        let query = |sql: &str| (raw::query(sql), 1);
        let packets = match self {
            Self::Simple => vec![query(text)],
            Self::Block => vec![
                query("BEGIN"),
                query(text),
                query(WHO),
                query(TITLES),
                query("COMMIT"),
            ],
            Self::Script => vec![query(&format!("SELECT 1; {text}\n; {WHO}; {TITLES}; {VAULT}"))],
            Self::Extended => vec![
                ([run(text), raw::sync()].concat(), 1),
                ([run(WHO), raw::sync()].concat(), 1),
            ],
            Self::Pipelined => {
                let batch = [
                    run("SELECT 1"),
                    run(text),
                    run(WHO),
                    run(TITLES),
                    run(VAULT),
                    raw::sync(),
                ];
                vec![(batch.concat(), 1)]
            }
            Self::Named => vec![
                ([raw::parse("attack", text, &[]), raw::sync()].concat(), 1),
                ([named("attack"), run(WHO), raw::sync()].concat(), 1),
                ([named("attack"), raw::sync()].concat(), 1),
            ],
            Self::Savepoint => vec![
                query("BEGIN"),
                query("SAVEPOINT outer_one"),
                query(text),
                query(WHO),
                query("ROLLBACK TO outer_one"),
                query(WHO),
                query(TITLES),
                query("COMMIT"),
            ],
            Self::Packet => {
                let twice = [
                    raw::query(text),
                    raw::query(WHO),
                    raw::query(text),
                    raw::query(TITLES),
                ];
                vec![(twice.concat(), 4)]
            }
            Self::Copied if is_query => vec![query(&format!("COPY ({text}) TO STDOUT"))],
            Self::Explained if !text.contains(';') => vec![query(&format!("EXPLAIN ANALYZE {text}"))],
            Self::Planned if !text.contains(';') => vec![query(&format!("EXPLAIN {text}"))],
            Self::Prepared if !text.contains(';') => {
                vec![
                    query(&format!("PREPARE attack AS {text}")),
                    query("EXECUTE attack"),
                ]
            }
            Self::Cursor if is_query => vec![
                query("BEGIN"),
                query(&format!("DECLARE attack NO SCROLL CURSOR FOR {text}")),
                query("FETCH ALL FROM attack"),
                query(WHO),
                query("COMMIT"),
            ],
            Self::Common if is_query => vec![query(&format!(
                "WITH attack AS MATERIALIZED ({text}) TABLE attack"
            ))],
            Self::Copied | Self::Explained | Self::Planned | Self::Prepared | Self::Cursor | Self::Common => {
                return None;
            }
        };
        Some(packets)
    }
}

/// Parse, Bind, Describe and Execute of a text.
pub(crate) fn run(text: &str) -> Vec<u8> {
    let parts = [
        raw::parse("", text, &[]),
        raw::bind("", "", &[]),
        raw::describe('P', ""),
        raw::execute("", 0),
    ];
    parts.concat()
}

fn named(name: &str) -> Vec<u8> {
    [raw::bind("", name, &[]), raw::execute("", 0)].concat()
}
