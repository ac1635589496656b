//! Which portals the protocol has opened on the server connection, exactly as the server has them: what a
//! portal runs decides whether the identity is still in force afterwards.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::base::limits;
use crate::base::memory::{Account, Charge, Full};
use crate::session::memory::statement::Statement;

/// As many as an ordinary transaction has at a time. The memory for more is given up with its end.
const ORDINARY: usize = 8;

/// Open portals and the changes that the server has not confirmed. An error drops those: the server has
/// skipped them, and has kept what was there before.
#[derive(Debug, Default)]
pub(crate) struct Portals {
    open: Vec<(Box<[u8]>, Arc<Statement>)>,
    unconfirmed: VecDeque<Change>,
    /// What both take.
    bytes: usize,
    /// What that is charged with.
    charge: Option<Charge>,
}

/// Changes that the server has not confirmed, oldest first.
#[derive(Debug)]
pub(crate) struct Unconfirmed(VecDeque<Change>);

#[derive(Debug)]
enum Change {
    Open(Box<[u8]>, Arc<Statement>),
    Close(Box<[u8]>),
}

impl Change {
    fn bytes(&self) -> usize {
        match self {
            Self::Open(name, statement) => cost(name, statement),
            Self::Close(name) => name.len() + size_of::<Self>(),
        }
    }
}

/// What a portal takes, in bytes. Its text may be held in other ways as well; then it counts here once more.
fn cost(name: &[u8], statement: &Statement) -> usize {
    name.len() + statement.bytes() + size_of::<Change>()
}

impl Portals {
    /// Asks for one portal more.
    ///
    /// # Errors
    /// There is no room for it.
    pub(crate) fn ask(
        &mut self,
        account: &Arc<Account>,
        name: &[u8],
        statement: &Statement,
    ) -> Result<(), Full> {
        let wanted = self.bytes + cost(name, statement);
        if wanted <= limits::PORTALS_UNASKED_BYTES {
            return Ok(());
        }
        self.charge
            .get_or_insert_with(|| Charge::new(account))
            .grow_to(wanted)
    }

    /// Bytes have become less.
    fn settle(&mut self) {
        if let Some(charge) = &mut self.charge {
            charge.shrink_to(self.bytes);
        }
    }

    fn push(&mut self, change: Change) {
        self.bytes += change.bytes();
        self.unconfirmed.push_back(change);
    }

    fn unconfirmed_bytes(&self) -> usize {
        self.unconfirmed.iter().map(Change::bytes).sum()
    }

    /// How many are open on the server. The unconfirmed ones are bounded by the replies that are awaited.
    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    /// What a portal runs after all that has been sent; `None` for one that the protocol did not open, as
    /// an SQL cursor.
    pub(crate) fn get(&self, name: &[u8]) -> Option<&Arc<Statement>> {
        let newest = self.unconfirmed.iter().rev().find_map(|change| match change {
            Change::Open(changed, statement) if **changed == *name => Some(Some(statement)),
            Change::Close(changed) if **changed == *name => Some(None),
            Change::Open(..) | Change::Close(_) => None,
        });
        newest.unwrap_or_else(|| {
            let mut open = self.open.iter();
            open.find(|(portal, _)| **portal == *name)
                .map(|(_, statement)| statement)
        })
    }

    /// A Bind was sent; its reply confirms it.
    pub(crate) fn open(&mut self, name: &[u8], statement: Arc<Statement>) {
        self.push(Change::Open(name.into(), statement));
    }

    /// Something was sent whose reply confirms that the portal is gone, or replaced by one of ours.
    pub(crate) fn close(&mut self, name: &[u8]) {
        self.push(Change::Close(name.into()));
    }

    /// The oldest change has happened on the server.
    pub(crate) fn confirm(&mut self) {
        let Some(change) = self.unconfirmed.pop_front() else {
            return;
        };
        let (Change::Open(name, _) | Change::Close(name)) = &change;
        if let Some(at) = self.open.iter().position(|(portal, _)| portal == name) {
            let (name, statement) = self.open.remove(at);
            self.bytes -= cost(&name, &statement);
        }
        match change {
            Change::Open(name, statement) => self.open.push((name, statement)),
            Change::Close(_) => self.bytes -= change.bytes(),
        }
        self.settle();
    }

    /// An error has come: the server has skipped what it has not confirmed.
    pub(crate) fn fail(&mut self) {
        self.bytes -= self.unconfirmed_bytes();
        self.unconfirmed.clear();
        self.settle();
    }

    /// An error has come, but what the server has skipped will be sent again.
    pub(crate) fn take_unconfirmed(&mut self) -> Unconfirmed {
        self.bytes -= self.unconfirmed_bytes();
        Unconfirmed(std::mem::take(&mut self.unconfirmed))
    }

    /// It has been sent again.
    pub(crate) fn restore(&mut self, unconfirmed: Unconfirmed) {
        self.unconfirmed = unconfirmed.0;
        self.bytes += self.unconfirmed_bytes();
    }

    /// The transaction is over, and all portals with it.
    pub(crate) fn clear(&mut self) {
        self.open.clear();
        self.open.shrink_to(ORDINARY);
        self.unconfirmed.clear();
        self.unconfirmed.shrink_to(ORDINARY);
        self.bytes = 0;
        self.charge = None;
    }
}
