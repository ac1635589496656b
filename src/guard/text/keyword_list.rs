//! Every keyword of PostgreSQL's grammar, versions 15 to 18 (kwlist.h, as `pg_get_keywords()` lists it).
//!
//! An unquoted word of these lists may mean something else than the same word in quotes; every other word means
//! the same.

use std::collections::HashSet;
use std::sync::LazyLock;

/// Reserved words, and words that stand for types and constructs of the grammar: none of them names a function.
const NEVER_FUNCTIONS: &str = "\
    all analyse analyze and any array as asc asymmetric between bigint bit boolean both case cast char \
    character check coalesce collate column constraint create current_catalog current_date current_role \
    current_time current_timestamp current_user dec decimal default deferrable desc distinct do else end \
    except exists extract false fetch float for foreign from grant greatest group grouping having in \
    initially inout int integer intersect interval into json json_array json_arrayagg json_exists \
    json_object json_objectagg json_query json_scalar json_serialize json_table json_value lateral leading \
    least limit localtime localtimestamp merge_action national nchar none normalize not null nullif numeric \
    offset on only or order out overlay placing position precision primary real references returning row \
    select session_user setof smallint some substring symmetric system_user table then time timestamp to \
    trailing treat trim true union unique user using values varchar variadic when where window with \
    xmlattributes xmlconcat xmlelement xmlexists xmlforest xmlnamespaces xmlparse xmlpi xmlroot xmlserialize \
    xmltable";

/// Every other keyword.
const OTHER: &str = "\
    abort absent absolute access action add admin after aggregate also alter always asensitive assertion \
    assignment at atomic attach attribute authorization backward before begin binary breadth by cache call \
    called cascade cascaded catalog chain characteristics checkpoint class close cluster collation columns \
    comment comments commit committed compression concurrently conditional configuration conflict connection \
    constraints content continue conversion copy cost cross csv cube current current_schema cursor cycle \
    data database day deallocate declare defaults deferred definer delete delimiter delimiters depends depth \
    detach dictionary disable discard document domain double drop each empty enable encoding encrypted \
    enforced enum error escape event exclude excluding exclusive execute explain expression extension \
    external family filter finalize first following force format forward freeze full function functions \
    generated global granted groups handler header hold hour identity if ilike immediate immutable implicit \
    import include including increment indent index indexes inherit inherits inline inner input insensitive \
    insert instead invoker is isnull isolation join keep key keys label language large last leakproof left \
    level like listen load local location lock locked logged mapping match matched materialized maxvalue \
    merge method minute minvalue mode month move name names natural nested new next nfc nfd nfkc nfkd no \
    normalized nothing notify notnull nowait nulls object objects of off oids old omit operator option \
    options ordinality others outer over overlaps overriding owned owner parallel parameter parser partial \
    partition passing password path period plan plans policy preceding prepare prepared preserve prior \
    privileges procedural procedure procedures program publication quote quotes range read reassign recheck \
    recursive ref referencing refresh reindex relative release rename repeatable replace replica reset \
    restart restrict return returns revoke right role rollback rollup routine routines rows rule savepoint \
    scalar schema schemas scroll search second security sequence sequences serializable server session set \
    sets share show similar simple skip snapshot source sql stable standalone start statement statistics \
    stdin stdout storage stored strict string strip subscription support sysid system tables tablesample \
    tablespace target temp template temporary text ties transaction transform trigger truncate trusted type \
    types uescape unbounded uncommitted unconditional unencrypted unknown unlisten unlogged until update \
    vacuum valid validate validator value varying verbose version view views virtual volatile whitespace \
    within without work wrapper write xml year yes zone";

/// Whether an unquoted word, in lower case, is a keyword.
pub(in crate::guard) fn is_keyword(word: &str) -> bool {
    static ALL: LazyLock<HashSet<&str>> =
        LazyLock::new(|| NEVER_FUNCTIONS.split(' ').chain(OTHER.split(' ')).collect());
    ALL.contains(word)
}

/// Whether an unquoted word, in lower case, can never be the name of a function.
pub(in crate::guard) fn is_never_function(word: &str) -> bool {
    static LIST: LazyLock<HashSet<&str>> = LazyLock::new(|| NEVER_FUNCTIONS.split(' ').collect());
    LIST.contains(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_where_they_belong() {
        for word in ["select", "coalesce", "in", "values", "merge_action", "json_table"] {
            assert!(is_keyword(word) && is_never_function(word), "{word}");
        }
        for word in ["over", "left", "role", "zone"] {
            assert!(is_keyword(word) && !is_never_function(word), "{word}");
        }
        for word in ["", "todos", "count", "SELECT"] {
            assert!(!is_keyword(word), "{word}");
        }
    }
}
