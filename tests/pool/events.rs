//! Takes down the events a pool emits.

use std::sync::Arc;

use parking_lot::Mutex;
use portcullis::base::{Event, Events, Observe, Who};

/// Events by name, in order.
#[derive(Clone, Default)]
pub(crate) struct Recorder(Arc<Mutex<Vec<String>>>);

impl Recorder {
    pub(crate) fn events(&self) -> Events {
        Events::new(Arc::new(self.clone()))
    }

    /// Everything since the last call.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock())
    }

    /// How many events of a name there were so far.
    pub(crate) fn count(&self, name: &str) -> usize {
        self.0.lock().iter().filter(|event| *event == name).count()
    }
}

impl Observe for Recorder {
    fn observe(&self, event: &Event<'_>, _: Option<&dyn Who>) {
        let name = match event {
            Event::CheckedOut { .. } => "checked out".into(),
            Event::CheckedIn { verdict } => format!("checked in {verdict:?}"),
            Event::ServerOpened { .. } => "opened".into(),
            Event::ServerClosed { reason } => format!("closed {}", reason.as_str()),
            Event::ServerConnectFailed { .. } => "connect failed".into(),
            Event::WaitBegan { .. } => "wait began".into(),
            Event::WaitEnded => "wait ended".into(),
            other => format!("{other:?}"),
        };
        self.0.lock().push(name);
    }
}
