//! The keywords the guard decides by; every other keyword is an ordinary word to it.

/// Slots of the lookup table: a power of two, about three times the number of keywords.
const SLOTS: usize = 512;

/// Longest keyword of the list, in bytes.
const LONGEST: usize = 15;

macro_rules! keywords {
    ($($name:ident = $text:literal,)*) => {
        /// A keyword, or `None` for a word that is none of those the guard looks for.
        ///
        /// A quoted identifier never is a keyword (kwlist.h, scan.l).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub(crate) enum Kw {
            None,
            $($name,)*
        }

        const ALL: &[(&str, Kw)] = &[$(($text, Kw::$name),)*];
    };
}

keywords! {
    Abort = "abort", All = "all", Alter = "alter", Analyse = "analyse", Analyze = "analyze", And = "and",
    As = "as", Atomic = "atomic", Authorization = "authorization", Begin = "begin", Binary = "binary",
    By = "by", Call = "call", Case = "case", Catalog = "catalog", Chain = "chain",
    Characteristics = "characteristics", Checkpoint = "checkpoint", Close = "close", Cluster = "cluster",
    Comment = "comment", Commit = "commit", Committed = "committed", Concurrently = "concurrently",
    Constraints = "constraints", Copy = "copy", Create = "create", Current = "current", Cursor = "cursor",
    Data = "data", Database = "database", Deallocate = "deallocate", Declare = "declare",
    Default = "default", Deferrable = "deferrable", Delete = "delete", Discard = "discard", Do = "do",
    Document = "document", Drop = "drop", End = "end", Execute = "execute", Explain = "explain",
    Fetch = "fetch", For = "for", From = "from", Function = "function", Global = "global", Grant = "grant",
    Hold = "hold", Import = "import", Index = "index", Insert = "insert", Into = "into",
    Isolation = "isolation", Key = "key", Level = "level", Listen = "listen", Load = "load",
    Local = "local", Lock = "lock", Materialized = "materialized", Merge = "merge", Move = "move",
    Names = "names", No = "no", Not = "not", Notify = "notify", On = "on", Only = "only",
    Option = "option", Or = "or", Out = "out", Overriding = "overriding", Plans = "plans", Prepare = "prepare",
    Prepared = "prepared", Procedure = "procedure", Program = "program", Query = "query", Read = "read",
    Reassign = "reassign", Recursive = "recursive", Refresh = "refresh", Reindex = "reindex",
    Release = "release", Repeatable = "repeatable", Replace = "replace", Reset = "reset",
    Revoke = "revoke", Role = "role", Rollback = "rollback", Savepoint = "savepoint", Schema = "schema",
    Security = "security", Select = "select", Sequences = "sequences", Serializable = "serializable",
    Session = "session", Set = "set", Show = "show", Snapshot = "snapshot", Start = "start",
    Stdin = "stdin", Stdout = "stdout", Subscription = "subscription", System = "system", Table = "table",
    Tables = "tables", Tablespace = "tablespace", Temp = "temp", Temporary = "temporary", Then = "then",
    Time = "time", To = "to", Transaction = "transaction", Treat = "treat", Truncate = "truncate",
    Uescape = "uescape", Uncommitted = "uncommitted", Unlisten = "unlisten", Update = "update",
    Using = "using", Vacuum = "vacuum", Values = "values", View = "view", Where = "where", With = "with", Work = "work",
    Write = "write", Xml = "xml", Zone = "zone",
}

impl Kw {
    /// The keyword in lower case; `None` for [`Kw::None`].
    pub(crate) fn text(self) -> Option<&'static str> {
        ALL.get((self as usize).wrapping_sub(1)).map(|(text, _)| *text)
    }

    /// The keyword an unquoted word is, compared without regard to ASCII case.
    pub(crate) fn lookup(word: &[u8]) -> Self {
        if word.len() > LONGEST {
            return Self::None;
        }
        let mut folded = [0_u8; LONGEST];
        for (to, from) in folded.iter_mut().zip(word) {
            *to = from.to_ascii_lowercase();
        }
        let Some(folded) = folded.get(..word.len()) else {
            return Self::None;
        };
        let mut slot = hash(folded);
        while let Some(Some(index)) = TABLE.get(slot) {
            match ALL.get(usize::from(*index)) {
                Some((text, kw)) if text.as_bytes() == folded => return *kw,
                _ => slot = (slot + 1) % SLOTS,
            }
        }
        Self::None
    }
}

/// Where each keyword sits: open addressing, filled when the crate is compiled.
static TABLE: [Option<u8>; SLOTS] = table();

#[expect(
    clippy::indexing_slicing,
    reason = "runs at compile time, where a bad index is a build error"
)]
const fn table() -> [Option<u8>; SLOTS] {
    let mut table = [None; SLOTS];
    let mut index = 0;
    while index < ALL.len() {
        let word = ALL[index].0.as_bytes();
        assert!(word.len() <= LONGEST);
        let mut slot = hash(word);
        while table[slot].is_some() {
            slot = (slot + 1) % SLOTS;
        }
        table[slot] = Some(index as u8);
        index += 1;
    }
    table
}

#[expect(
    clippy::indexing_slicing,
    reason = "every index is checked against the length"
)]
const fn hash(word: &[u8]) -> usize {
    let mut hash = word.len();
    let mut at = 0;
    while at < word.len() {
        hash = (hash.wrapping_mul(31)).wrapping_add(word[at] as usize);
        at += 1;
    }
    (hash ^ (hash >> 9)) % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_keyword_is_found_in_any_case() {
        for (text, kw) in ALL {
            assert_eq!(Kw::lookup(text.as_bytes()), *kw);
            assert_eq!(kw.text(), Some(*text));
            assert_eq!(Kw::lookup(text.to_ascii_uppercase().as_bytes()), *kw);
        }
    }

    #[test]
    fn other_words_are_none() {
        assert_eq!(Kw::None.text(), None);
        for word in [
            "",
            "selects",
            "selec",
            "todos",
            "characteristicss",
            "séléct",
            "a_very_long_identifier",
        ] {
            assert_eq!(Kw::lookup(word.as_bytes()), Kw::None, "{word}");
        }
    }
}
