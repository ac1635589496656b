//! Where log lines go and what they look like.

use std::io::IsTerminal;
use std::sync::OnceLock;
use std::time::Duration;

use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::TryInitError;

use super::log_queue::LogQueue;

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// How to log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// How a line looks.
    pub format: LogFormat,
    /// What is logged: a level (`error`, `warn`, `info`, `debug`, `trace`), or directives such as
    /// `info,portcullis::pool=debug` (the syntax of `tracing_subscriber::EnvFilter`).
    pub level: String,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            format: LogFormat::default(),
            level: "info".into(),
        }
    }
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The level is neither a level nor a list of directives.
    #[error(
        "log.level: {0:?} is not a level: use error, warn, info, debug, trace or directives such as `info,portcullis::pool=debug`"
    )]
    Level(String),
    /// One of the directives cannot be read.
    #[error("log.level: {0}")]
    Directive(#[from] ParseError),
    /// The thread that writes could not be started.
    #[error("cannot start the log's thread: {0}")]
    Thread(#[from] std::io::Error),
    /// Logging was set up before.
    #[error("logging is set up already: {0}")]
    Twice(#[from] TryInitError),
}

static QUEUE: OnceLock<LogQueue> = OnceLock::new();

/// Sends this process's log lines to standard error, by way of a bounded queue and a thread of its own,
/// so that a reader that stalls does not stall the traffic: lines that find the queue full are counted
/// and left out. Call [`flush`] before the process ends.
pub fn init(settings: &LogSettings) -> Result<(), LogError> {
    use tracing_subscriber::util::SubscriberInitExt as _;
    let filter = filter(&settings.level)?;
    let queue = match QUEUE.get() {
        Some(queue) => queue,
        None => {
            let queue = LogQueue::start(std::io::stderr())?;
            QUEUE.get_or_init(|| queue)
        }
    };
    let colours = std::io::stderr().is_terminal();
    subscriber(settings.format, filter, colours, || queue.writer()).try_init()?;
    Ok(())
}

/// Waits until every line logged so far is written, but no longer than `limit`. Blocks the thread.
pub fn flush(limit: Duration) {
    if let Some(queue) = QUEUE.get() {
        queue.flush(limit);
    }
}

/// Reads `level`. A lone word that is no level would be read as the name of a module, and silence
/// everything else: a mistake in every case we know of.
fn filter(level: &str) -> Result<EnvFilter, LogError> {
    let level = level.trim();
    let word = level
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if level.is_empty() || word && level.parse::<tracing::level_filters::LevelFilter>().is_err() {
        return Err(LogError::Level(level.into()));
    }
    Ok(EnvFilter::try_new(level)?)
}

fn subscriber<W>(
    format: LogFormat,
    filter: EnvFilter,
    colours: bool,
    writer: W,
) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_ansi(colours);
    match format {
        LogFormat::Text => Box::new(registry.with(layer)),
        LogFormat::Json => Box::new(registry.with(layer.json().flatten_event(true))),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use parking_lot::Mutex;
    use std::sync::Arc;

    /// What `log` logs at `level`.
    pub(in crate::observe) fn logged(format: LogFormat, level: &str, log: impl FnOnce()) -> String {
        #[derive(Clone)]
        struct Buffer(Arc<Mutex<Vec<u8>>>);
        impl std::io::Write for Buffer {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.lock().extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let buffer = Buffer(Arc::default());
        let writer = buffer.clone();
        let subscriber = subscriber(format, filter(level).unwrap(), false, move || writer.clone());
        tracing::subscriber::with_default(subscriber, log);
        let bytes = buffer.0.lock().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn the_level_decides_what_is_written() {
        let lines = logged(LogFormat::Text, "warn", || {
            tracing::info!("quiet");
            tracing::warn!("loud");
        });
        assert!(lines.contains("loud") && !lines.contains("quiet"), "{lines}");
    }

    #[test]
    fn json_is_one_object_per_line() {
        let lines = logged(LogFormat::Json, "info", || {
            tracing::info!(reason = "two\nlines \u{1b}[31m\"quoted\"", "first");
            tracing::info!("second");
        });
        let lines: Vec<serde_json::Value> = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["message"], "first");
        assert_eq!(lines[0]["reason"], "two\nlines \u{1b}[31m\"quoted\"");
    }

    #[test]
    fn text_from_outside_cannot_forge_a_line_nor_a_colour() {
        let lines = logged(LogFormat::Text, "info", || {
            tracing::info!(reason = "x\n2026-01-01 ERROR forged \u{1b}[31m", "refused");
        });
        assert_eq!(lines.lines().count(), 1, "{lines}");
        assert!(!lines.contains('\u{1b}'), "{lines}");
    }

    #[test]
    fn a_level_that_is_none_is_refused() {
        for level in ["verbose", "", "portcullis", "info,portcullis=loud", "=,="] {
            assert!(filter(level).is_err(), "{level:?}");
        }
        for level in [
            "info",
            "INFO",
            "off",
            " debug ",
            "warn,portcullis::pool=trace",
            "portcullis=debug",
        ] {
            assert!(filter(level).is_ok(), "{level:?}");
        }
    }
}
