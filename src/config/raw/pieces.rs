//! Long lists of tables, read a piece at a time: parsed as a whole, a file takes some thirty times its size.

use toml::de::DeTable;

use super::{Notes, Section, Source};

/// Size from which on a piece ends where the next table begins.
const PIECE_BYTES: usize = 64 * 1024;

impl Source {
    /// Reads a file that holds arrays of tables of these names, in one or more pieces that together say what the
    /// file says. `false`: it is not valid TOML, which is noted.
    ///
    /// Only a file that has nothing else is cut up, ahead of a line that begins such a table. A piece that turns
    /// out not to be TOML by itself, as a line within a text can look like a table's beginning, is read with all
    /// that follows it.
    pub(in super::super) fn in_pieces(
        self,
        notes: &Notes,
        names: &[&str],
        mut read: impl FnMut(&Section<'_>),
    ) -> bool {
        if !self.text.lines().all(|line| is_cut_or_body(line, names)) || !self.begins_with_table() {
            return self.whole(notes, read);
        }
        let mut at = Place::default();
        while at.offset < self.text.len() {
            let piece = self.piece(&at, self.next_cut(at.offset));
            match DeTable::parse(&piece.text) {
                Ok(table) => {
                    at.go_beyond(&piece.text, table.get_ref());
                    read(&piece.top(notes, table.get_ref()));
                }
                Err(_) => return self.piece(&at, self.text.len()).whole(notes, read),
            }
        }
        true
    }

    fn whole(&self, notes: &Notes, mut read: impl FnMut(&Section<'_>)) -> bool {
        let table = self.parse(notes);
        if let Some(table) = &table {
            read(&self.top(notes, table.get_ref()));
        }
        table.is_some()
    }

    fn top<'s>(&'s self, notes: &'s Notes, table: &'s DeTable<'s>) -> Section<'s> {
        Section::new(notes, self, String::new(), Some(table), None)
    }

    /// Whether nothing but empty lines and comments comes before the first table.
    fn begins_with_table(&self) -> bool {
        let mut lines = self.text.lines().map(str::trim_start);
        let first = lines.find(|line| !line.is_empty() && !line.starts_with('#'));
        first.is_some_and(|line| line.starts_with("[["))
    }

    /// Where the piece that begins at an offset ends.
    fn next_cut(&self, offset: usize) -> usize {
        let rest = self
            .text
            .as_bytes()
            .get(offset + PIECE_BYTES..)
            .unwrap_or_default();
        let cut = rest.windows(3).position(|bytes| bytes == b"\n[[");
        cut.map_or(self.text.len(), |cut| offset + PIECE_BYTES + cut + 1)
    }

    fn piece(&self, at: &Place, end: usize) -> Self {
        Self {
            path: self.path.clone(),
            text: self.text.get(at.offset..end).unwrap_or_default().to_owned(),
            before: at.clone(),
        }
    }
}

/// Whether a line can be part of a table, or is one of the lines that begin a table of these names.
fn is_cut_or_body(line: &str, names: &[&str]) -> bool {
    let line = line.trim();
    let name = line.strip_prefix("[[").and_then(|line| line.strip_suffix("]]"));
    !line.starts_with('[') || name.is_some_and(|name| names.contains(&name))
}

/// What of a file comes before a text that is a piece of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    offset: usize,
    pub(super) lines: usize,
    /// Elements of the arrays at the top, by name.
    elements: Vec<(String, usize)>,
}

impl Place {
    /// The number of elements of an array that are not in this piece.
    pub(super) fn elements(&self, name: &str) -> usize {
        let found = self.elements.iter().find(|(known, _)| known == name);
        found.map_or(0, |(_, count)| *count)
    }

    fn go_beyond(&mut self, text: &str, table: &DeTable<'_>) {
        self.offset += text.len();
        self.lines += text.bytes().filter(|byte| *byte == b'\n').count();
        for (name, value) in table {
            let count = value.get_ref().as_array().map_or(0, |array| array.len());
            match self
                .elements
                .iter_mut()
                .find(|(known, _)| known == name.get_ref())
            {
                Some((_, known)) => *known += count,
                None => self.elements.push((name.get_ref().to_string(), count)),
            }
        }
    }
}
