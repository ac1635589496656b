//! Texts that come again and again without a name of the client's, by the simple protocol or as the unnamed statement,
//! prepared once behind the client's back: the server then neither parses nor, as a rule, plans them anew.
//!
//! Only outside of a transaction block. A prepared statement may have been overtaken by a change of its tables, which a
//! text by itself cannot be: there the batch is sent once more ([`crate::session::link::Healing`]).

use std::sync::Arc;

use crate::guard::{Cleared, Script, Template};
use crate::session::Session;
use crate::session::answer::wording::Wording;
use crate::session::memory::statement::Statement;
use crate::wire::encode;

/// The OID of `integer` (`pg_type.dat`).
const INTEGER: u32 = 23;

/// A text that runs as a prepared statement, with values from the text.
pub(in crate::session) struct Repeated {
    pub(in crate::session) statement: Arc<Statement>,
    script: Arc<Script>,
    template: Template,
}

impl Session {
    /// Whether the unnamed statement that a text is to be is one that server connections keep.
    pub(in crate::session) fn repeats(&self, script: &Script) -> bool {
        script.keeps_coming() && self.link.as_ref().is_some_and(|link| link.can_begin_anew())
    }

    /// What the text runs as, if it need not be read by the server.
    pub(in crate::session) fn repeated(&self, script: &Arc<Script>) -> Option<Repeated> {
        let link = self.link.as_ref().filter(|link| link.can_begin_anew())?;
        let template = script.template()?;
        let types = integers(template.numbers.len());
        let statements = &self.shared.statements;
        let statement = statements.repeated(&template.script, &types, self.setup.context());
        link.shares(&statement).then(|| Repeated {
            statement,
            script: Arc::clone(script),
            template,
        })
    }
}

impl Repeated {
    /// The values of its parameters.
    pub(in crate::session) fn values(&self) -> Vec<&str> {
        let text = self.script.text();
        let value = |range: &std::ops::Range<usize>| text.get(range.clone()).unwrap_or_default();
        self.template.numbers.iter().map(value).collect()
    }

    /// How errors read; `None` if the server has the client's text.
    pub(in crate::session) fn wording(&self, cleared: &Cleared) -> Option<Box<Wording>> {
        let numbers = &self.template.numbers;
        (!numbers.is_empty()).then(|| Wording::numbered(cleared.whole(), numbers))
    }
}

/// Count and OIDs of so many parameters, as Parse carries them.
fn integers(count: usize) -> Vec<u8> {
    let Ok(number @ 1..) = u16::try_from(count) else {
        return encode::NO_TYPES.to_vec();
    };
    let mut types = number.to_be_bytes().to_vec();
    for _ in 0..count {
        types.extend_from_slice(&INTEGER.to_be_bytes());
    }
    types
}
