//! Reads a Rust file far enough to judge its shape: comments and literals blanked, test modules cut out.

use std::fs;
use std::path::{Path, PathBuf};

/// One file of `src/`.
pub(crate) struct Source {
    /// Relative to the repository, e.g. `src/guard/lexer.rs`.
    pub(crate) path: String,
    /// As it was written.
    pub(crate) text: String,
    /// The same bytes with comments and the insides of literals turned into spaces; line breaks stay.
    pub(crate) code: String,
    /// `code` with `#[cfg(test)]` items turned into spaces as well.
    pub(crate) product: String,
}

/// A function with a body.
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) lines: usize,
}

impl Source {
    /// A source from a text, for the tests of this reader.
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let code = mask(text);
        let product = without_tests(&code);
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            code,
            product,
        }
    }

    /// The module path that the file's place gives it: `src/guard/lexer.rs` is `["guard", "lexer"]`.
    pub(crate) fn module(&self) -> Vec<&str> {
        let trimmed = self.path.trim_start_matches("src/").trim_end_matches(".rs");
        trimmed
            .split('/')
            .filter(|part| !matches!(*part, "mod" | "lib"))
            .collect()
    }

    /// Modules in files of their own that are compiled for tests only.
    fn test_modules(&self) -> Vec<Vec<String>> {
        let names = self.code.split("#[cfg(test)]").skip(1).filter_map(|after| {
            let name = after.trim_start().strip_prefix("mod ")?;
            name.split_once(';').map(|(name, _)| name.trim().to_owned())
        });
        let parent: Vec<String> = self.module().into_iter().map(str::to_owned).collect();
        names
            .filter(|name| name.chars().all(is_word))
            .map(|name| [parent.clone(), vec![name]].concat())
            .collect()
    }

    /// Every path outside tests to another module of the crate, from the crate's root, with its line: through `crate::`,
    /// `super::` or `self::`, or through the name of a module that this file declares.
    pub(crate) fn paths(&self) -> Vec<(usize, Vec<String>)> {
        let module: Vec<String> = self.module().into_iter().map(str::to_owned).collect();
        let declared = self.declared_modules();
        let mut found = Vec::new();
        for (at, word) in words(&self.product) {
            let before = self.product[..at].trim_end();
            let continues = self.product[at + word.len()..].trim_start().starts_with("::");
            // `pub(in crate::guard)` says who may look, it looks at nothing.
            if !continues || before.ends_with("::") || before.ends_with("(in") {
                continue;
            }
            if !matches!(word, "crate" | "super" | "self") && !declared.contains(&word) {
                continue;
            }
            let line = 1 + self.product[..at].matches('\n').count();
            for path in paths(&self.product[at..]) {
                found.push((line, resolved(&module, &path)));
            }
        }
        found
    }

    /// The modules that the file declares outside tests.
    fn declared_modules(&self) -> Vec<&str> {
        let all: Vec<(usize, &str)> = words(&self.product).collect();
        let after_mod = all.windows(2).filter(|pair| pair[0].1 == "mod");
        after_mod.map(|pair| pair[1].1).collect()
    }

    /// Lines that hold code outside tests.
    pub(crate) fn code_lines(&self) -> usize {
        self.product
            .lines()
            .filter(|line| !line.trim().is_empty())
            .count()
    }

    /// The functions outside tests.
    pub(crate) fn functions(&self) -> Vec<Function> {
        let bytes = self.product.as_bytes();
        words(&self.product)
            .filter(|(_, word)| *word == "fn")
            .filter_map(|(at, _)| {
                let rest = &self.product[at + 2..];
                let name: String = rest.trim_start().chars().take_while(|c| is_word(*c)).collect();
                let open = body_start(bytes, at + 2)?;
                let close = matching_brace(bytes, open)?;
                let line = 1 + self.product[..at].matches('\n').count();
                let lines = 1 + self.product[at..close].matches('\n').count();
                // `fn(…)` without a name is a type.
                (!name.is_empty()).then_some(Function { name, line, lines })
            })
            .collect()
    }

    /// Every top-level module that a path in this file reaches through `crate::` (or through enough
    /// `super::` to come out at the crate's root), with its line.
    pub(crate) fn arrows(&self) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        for (at, word) in words(&self.code) {
            let line = 1 + self.code[..at].matches('\n').count();
            if word == "crate" && self.code[at + 5..].trim_start().starts_with("::") {
                let rest = self.code[at + 5..].trim_start().trim_start_matches("::");
                found.extend(heads(rest).into_iter().map(|head| (line, head)));
            }
        }
        let depth = self.module().len();
        for (at, word) in words(&self.product) {
            let before = self.product[..at].trim_end();
            if word == "super" && !before.ends_with("::") {
                let mut rest = &self.product[at..];
                let mut supers = 0;
                while let Some(next) = rest.strip_prefix("super::") {
                    rest = next;
                    supers += 1;
                }
                if supers >= depth {
                    let line = 1 + self.product[..at].matches('\n').count();
                    found.extend(heads(rest).into_iter().map(|head| (line, head)));
                }
            }
        }
        found
    }
}

/// Every `.rs` file under `src/`, in order.
pub(crate) fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    collect(&root.join("src"), &mut files);
    files.sort();
    let mut sources: Vec<Source> = files
        .iter()
        .map(|file| {
            let text = fs::read_to_string(file).unwrap();
            let path = file.strip_prefix(root).unwrap().to_str().unwrap();
            Source::new(path, &text)
        })
        .collect();
    let tests: Vec<Vec<String>> = sources.iter().flat_map(Source::test_modules).collect();
    for source in &mut sources {
        let module = source.module();
        if tests
            .iter()
            .any(|test| module.len() >= test.len() && module.iter().zip(test).all(|(a, b)| a == b))
        {
            source.product = String::new();
        }
    }
    sources
}

/// Positions and texts of the identifiers and keywords in masked code.
pub(crate) fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + code[at..].find(is_word)?;
        let length = code[start..].find(|c| !is_word(c)).unwrap_or(code.len() - start);
        at = start + length;
        Some((start, &code[start..at]))
    })
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// A path as it is written in a module, from the crate's root.
fn resolved(module: &[String], path: &[String]) -> Vec<String> {
    let mut from = module.to_vec();
    let mut rest = path;
    while let Some((first, behind)) = rest.split_first() {
        match first.as_str() {
            "crate" => from.clear(),
            "super" => drop(from.pop()),
            "self" => {}
            _ => break,
        }
        rest = behind;
    }
    from.extend(rest.iter().filter(|name| *name != "self").cloned());
    from
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// The paths that a path or a group of paths stands for: `a::{b::c, d}` gives `a::b::c` and `a::d`.
fn paths(text: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    read_path(text, &[], &mut found);
    found
}

/// Reads one path, which may end in a group, and returns what follows it.
fn read_path<'t>(text: &'t str, before: &[String], found: &mut Vec<Vec<String>>) -> &'t str {
    let mut path = before.to_vec();
    let mut rest = text.trim_start();
    loop {
        if let Some(group) = rest.strip_prefix('{') {
            return read_group(group, &path, found);
        }
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let (name, behind) = rest.split_at(end);
        if !name.is_empty() {
            path.push(name.to_owned());
        }
        match behind.trim_start().strip_prefix("::") {
            Some(further) if !name.is_empty() => rest = further.trim_start(),
            _ => {
                found.push(path);
                return behind;
            }
        }
    }
}

/// Reads the paths of a group up to its `}`, and returns what follows it.
fn read_group<'t>(text: &'t str, before: &[String], found: &mut Vec<Vec<String>>) -> &'t str {
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        if let Some(behind) = rest.strip_prefix('}') {
            return behind;
        }
        rest = read_path(rest, before, found);
        // `as name`, `*`, and the comma.
        let end = rest.find([',', '}']).unwrap_or(rest.len());
        rest = rest[end..].trim_start_matches(',').trim_start();
    }
    rest
}

/// The first names of a path or of a group of paths: `a::b` gives `a`; `{a::b, c}` gives `a` and `c`.
fn heads(rest: &str) -> Vec<String> {
    let firsts = paths(rest).into_iter().filter_map(|path| path.into_iter().next());
    firsts.collect()
}

/// Where the body of a function opens; `None` for a declaration that ends with `;`.
fn body_start(code: &[u8], from: usize) -> Option<usize> {
    let mut depth = 0_i32;
    for (at, byte) in code.iter().enumerate().skip(from) {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth -= 1,
            b'{' if depth == 0 => return Some(at),
            b';' if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

fn matching_brace(code: &[u8], open: usize) -> Option<usize> {
    let mut depth = 0_i32;
    for (at, byte) in code.iter().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

fn blank(bytes: &mut [u8]) {
    for byte in bytes {
        if *byte != b'\n' {
            *byte = b' ';
        }
    }
}

/// Cuts each `#[cfg(test)]` item out of masked code.
fn without_tests(code: &str) -> String {
    let mut bytes = code.as_bytes().to_vec();
    for (at, _) in code.match_indices("#[cfg(test)]") {
        let after = at + "#[cfg(test)]".len();
        let end = match body_start(code.as_bytes(), after) {
            Some(open) => matching_brace(code.as_bytes(), open),
            None => code[after..].find(';').map(|semicolon| after + semicolon),
        };
        blank(&mut bytes[at..=end.unwrap_or(code.len() - 1)]);
    }
    String::from_utf8(bytes).unwrap()
}

/// Blanks comments and literals. Bytes that are not ASCII only occur inside those, or are blanked too.
fn mask(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_end(text, at);
        if end > at {
            blank(&mut out[at..end]);
            at = end;
        } else {
            if !bytes[at].is_ascii() {
                out[at] = b' ';
            }
            at += 1;
        }
    }
    String::from_utf8(out).unwrap()
}

/// The end of the comment or literal that starts at `at`; `at` itself if none does.
fn literal_end(text: &str, at: usize) -> usize {
    let bytes = text.as_bytes();
    let rest = &bytes[at..];
    let starts_word = at == 0 || !(bytes[at - 1] == b'_' || bytes[at - 1].is_ascii_alphanumeric());
    if rest.starts_with(b"//") {
        return at + rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
    }
    if rest.starts_with(b"/*") {
        return block_comment_end(bytes, at);
    }
    match rest {
        [b'"', ..] => quoted_end(bytes, at + 1),
        [b'b' | b'c', b'"', ..] if starts_word => quoted_end(bytes, at + 2),
        [b'r', b'"' | b'#', ..] if starts_word => raw_end(bytes, at, at + 1),
        [b'b' | b'c', b'r', b'"' | b'#', ..] if starts_word => raw_end(bytes, at, at + 2),
        [b'b', b'\'', ..] if starts_word => char_end(bytes, at + 1).unwrap_or(at),
        [b'\'', ..] => char_end(bytes, at).unwrap_or(at),
        _ => at,
    }
}

fn block_comment_end(bytes: &[u8], start: usize) -> usize {
    let mut depth = 0;
    let mut at = start;
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    bytes.len()
}

fn quoted_end(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// `r"…"`, `r#"…"#`; a raw identifier (`r#type`) is no literal.
fn raw_end(bytes: &[u8], start: usize, hashes_at: usize) -> usize {
    let hashes = bytes[hashes_at..].iter().take_while(|b| **b == b'#').count();
    let mut at = hashes_at + hashes;
    if bytes.get(at) != Some(&b'"') {
        return start;
    }
    at += 1;
    while at < bytes.len() {
        let closes = bytes[at] == b'"'
            && bytes[at + 1..]
                .iter()
                .take(hashes)
                .filter(|b| **b == b'#')
                .count()
                == hashes;
        if closes {
            return at + 1 + hashes;
        }
        at += 1;
    }
    bytes.len()
}

/// The end of a character literal; `None` for a lifetime.
fn char_end(bytes: &[u8], quote: usize) -> Option<usize> {
    if bytes.get(quote + 1) == Some(&b'\\') {
        let close = bytes
            .get(quote + 3..)?
            .iter()
            .take(12)
            .position(|b| *b == b'\'')?;
        return Some(quote + 3 + close + 1);
    }
    // One character of up to four bytes, then the closing quote; `'a` of a lifetime has none there.
    let width = match bytes.get(quote + 1)? {
        0..=0x7f => 1,
        0x80..=0xdf => 2,
        0xe0..=0xef => 3,
        _ => 4,
    };
    (bytes.get(quote + 1 + width) == Some(&b'\'')).then_some(quote + 2 + width)
}
