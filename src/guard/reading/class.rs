//! What kind of statement a statement is.

use std::fmt;

macro_rules! classes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $grant:ident;)*) => {
        /// The kind of a statement, decided by its first keywords alone.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum StatementClass {
            $($(#[$doc])* $name,)*
        }

        impl StatementClass {
            /// Every class.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The class as policies, metrics and messages spell it, e.g. `SELECT`.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// Who may be given it.
            pub(crate) fn grant(self) -> Grant {
                match self {
                    $(Self::$name => Grant::$grant,)*
                }
            }
        }
    };
}

/// Who may be given a class of statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grant {
    /// Everyone has it: it only ends or marks what the session itself began.
    Always,
    /// An end-user policy may name it.
    Policy,
    /// Trusted roles alone.
    Trusted,
    /// In session mode an end-user policy may name it; in transaction mode it cannot work.
    Session,
    /// Nobody: it cannot work when server connections are shared between transactions.
    Never,
}

classes! {
    /// No statement of any kind: text that could not be read.
    Unknown = "UNKNOWN", Never;
    /// `SELECT`, `VALUES`, `TABLE`, and `WITH` over one of them.
    Select = "SELECT", Policy;
    /// `SELECT … INTO`, which creates a table.
    SelectInto = "SELECT INTO", Trusted;
    /// `INSERT`
    Insert = "INSERT", Policy;
    /// `UPDATE`
    Update = "UPDATE", Policy;
    /// `DELETE`
    Delete = "DELETE", Policy;
    /// `MERGE`
    Merge = "MERGE", Policy;
    /// `COPY … FROM STDIN`
    CopyFrom = "COPY FROM", Policy;
    /// `COPY … TO STDOUT`
    CopyTo = "COPY TO", Policy;
    /// `COPY` from or to a file or program of the server.
    CopyFile = "COPY FILE", Trusted;
    /// `CALL`
    Call = "CALL", Policy;
    /// `DO`
    Do = "DO", Trusted;
    /// `EXPLAIN`
    Explain = "EXPLAIN", Policy;
    /// `SHOW`
    Show = "SHOW", Policy;
    /// `SET` of a setting.
    Set = "SET", Policy;
    /// `RESET` of a setting.
    Reset = "RESET", Policy;
    /// `SET TRANSACTION`
    SetTransaction = "SET TRANSACTION", Always;
    /// `SET CONSTRAINTS`
    SetConstraints = "SET CONSTRAINTS", Policy;
    /// `SET SESSION CHARACTERISTICS`
    SetCharacteristics = "SET SESSION CHARACTERISTICS", Always;
    /// `BEGIN`, `START TRANSACTION`
    Begin = "BEGIN", Always;
    /// `COMMIT`, `END`
    Commit = "COMMIT", Always;
    /// `ROLLBACK`, `ABORT`
    Rollback = "ROLLBACK", Always;
    /// `SAVEPOINT`
    Savepoint = "SAVEPOINT", Always;
    /// `RELEASE`
    Release = "RELEASE", Always;
    /// `ROLLBACK TO`
    RollbackTo = "ROLLBACK TO", Always;
    /// `PREPARE TRANSACTION`
    PrepareTransaction = "PREPARE TRANSACTION", Trusted;
    /// `COMMIT PREPARED`
    CommitPrepared = "COMMIT PREPARED", Trusted;
    /// `ROLLBACK PREPARED`
    RollbackPrepared = "ROLLBACK PREPARED", Trusted;
    /// `PREPARE` of a statement in SQL, which is judged as if it were sent.
    Prepare = "PREPARE", Always;
    /// `EXECUTE` of a statement prepared in SQL.
    Execute = "EXECUTE", Always;
    /// `DEALLOCATE`
    Deallocate = "DEALLOCATE", Always;
    /// `DECLARE … CURSOR`
    Declare = "DECLARE CURSOR", Policy;
    /// `FETCH`
    Fetch = "FETCH", Policy;
    /// `MOVE`
    Move = "MOVE", Policy;
    /// `CLOSE`
    Close = "CLOSE", Always;
    /// `DISCARD ALL`
    DiscardAll = "DISCARD ALL", Always;
    /// `DISCARD PLANS`, `SEQUENCES` or `TEMP`
    Discard = "DISCARD", Trusted;
    /// `LISTEN`
    Listen = "LISTEN", Session;
    /// `UNLISTEN`
    Unlisten = "UNLISTEN", Always;
    /// `NOTIFY`
    Notify = "NOTIFY", Policy;
    /// `LOCK TABLE`
    Lock = "LOCK", Policy;
    /// `TRUNCATE`
    Truncate = "TRUNCATE", Policy;
    /// `LOAD`
    Load = "LOAD", Trusted;
    /// `ANALYZE`
    Analyze = "ANALYZE", Trusted;
    /// `VACUUM`
    Vacuum = "VACUUM", Trusted;
    /// `CLUSTER`
    Cluster = "CLUSTER", Trusted;
    /// `REINDEX`
    Reindex = "REINDEX", Trusted;
    /// `CHECKPOINT`
    Checkpoint = "CHECKPOINT", Trusted;
    /// `REFRESH MATERIALIZED VIEW`
    Refresh = "REFRESH MATERIALIZED VIEW", Trusted;
    /// Any `CREATE`.
    Create = "CREATE", Trusted;
    /// Any `ALTER`.
    Alter = "ALTER", Trusted;
    /// Any `DROP`.
    Drop = "DROP", Trusted;
    /// `GRANT`
    Grant = "GRANT", Trusted;
    /// `REVOKE`
    Revoke = "REVOKE", Trusted;
    /// `COMMENT`
    Comment = "COMMENT", Trusted;
    /// `SECURITY LABEL`
    SecurityLabel = "SECURITY LABEL", Trusted;
    /// `IMPORT FOREIGN SCHEMA`
    ImportForeignSchema = "IMPORT FOREIGN SCHEMA", Trusted;
    /// `REASSIGN OWNED`
    ReassignOwned = "REASSIGN OWNED", Trusted;
}

impl StatementClass {
    /// The class of that spelling, in any case; `None` if there is none.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|class| class.as_str().eq_ignore_ascii_case(text))
    }
}

impl fmt::Display for StatementClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClassSet(u128);

impl ClassSet {
    pub(crate) fn insert(&mut self, class: StatementClass) {
        self.0 |= 1 << class as u8;
    }

    pub(crate) fn remove(&mut self, class: StatementClass) {
        self.0 &= !(1 << class as u8);
    }

    pub(crate) fn contains(self, class: StatementClass) -> bool {
        self.0 & (1 << class as u8) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_is_found_by_its_text() {
        for class in StatementClass::ALL {
            assert_eq!(StatementClass::parse(class.as_str()), Some(*class));
            assert!((*class as u8) < 128, "a ClassSet holds 128 classes");
        }
        assert_eq!(StatementClass::parse("selects"), None);
    }

    #[test]
    fn a_set_holds_what_was_put_in() {
        let mut set = ClassSet::default();
        set.insert(StatementClass::Select);
        set.insert(StatementClass::ReassignOwned);
        set.remove(StatementClass::Select);
        assert!(set.contains(StatementClass::ReassignOwned) && !set.contains(StatementClass::Select));
    }
}
