//! Secrets: `{ file = "…" }`, `{ env = "NAME" }`, or the secret itself. None is ever printed.

use std::path::PathBuf;

use crate::base::Secret;

use super::files;
use super::raw::{Item, Origin, Section};

/// A secret that may be absent. The description shows where it comes from, not what it is.
pub(super) fn maybe(section: &Section<'_>, key: &'static str) -> Option<Secret> {
    let item = section.get(key)?;
    let (secret, source) = read(&item)?;
    section.record(key, source, Origin::Given);
    Some(secret)
}

/// Where a secret is that is in a file, without reading it.
pub(super) fn path(section: &Section<'_>, key: &'static str) -> Option<PathBuf> {
    let item = section.get(key)?;
    let path = item.section()?.get("file")?.path()?;
    section.record(
        key,
        format!("<secret from file {}>", path.display()),
        Origin::Given,
    );
    Some(path)
}

/// A secret, and where it comes from.
pub(super) fn read(item: &Item<'_>) -> Option<(Secret, String)> {
    let (bytes, source) = if item.is_table() {
        from_table(&item.section()?, item)?
    } else {
        (item.any_text()?.into_bytes(), "<secret>".to_owned())
    };
    if bytes.is_empty() {
        item.mistake("the secret is empty");
        return None;
    }
    Some((Secret::new(bytes), source))
}

fn from_table(section: &Section<'_>, item: &Item<'_>) -> Option<(Vec<u8>, String)> {
    match (section.get("file"), section.get("env")) {
        (Some(file), None) => {
            let path = file.path()?;
            let mut bytes = files::read(&path, files::SMALL)
                .map_err(|message| file.mistake(message))
                .ok()?;
            // An editor or `echo` ends the file with a line break, which is no part of the secret.
            if bytes.ends_with(b"\n") {
                bytes.pop();
                if bytes.ends_with(b"\r") {
                    bytes.pop();
                }
            }
            Some((bytes, format!("<secret from file {}>", path.display())))
        }
        (None, Some(env)) => {
            let name = env.text()?;
            if name.contains('=') {
                env.mistake("must be the name of an environment variable");
                return None;
            }
            let Some(value) = (env.notes().environment)(&name) else {
                env.mistake(format!("the environment variable {name} is not set"));
                return None;
            };
            Some((
                value.into_encoded_bytes(),
                format!("<secret from environment {name}>"),
            ))
        }
        _ => {
            item.mistake("must be the secret itself, { file = \"…\" } or { env = \"NAME\" }");
            None
        }
    }
}
