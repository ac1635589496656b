//! Order inside a layer: its rooms have ranks, and none of its files import each other in a loop.

use std::collections::{BTreeMap, BTreeSet};

use super::source::Source;

/// A layer that is ordered inside.
pub(crate) struct Layer {
    pub(crate) name: &'static str,
    /// Its rooms, lowest first, and their ranks: a file or a folder of the layer each. A room may import rooms of a lower
    /// rank. The layer's own `mod.rs` is above them all.
    pub(crate) rooms: &'static [(&'static str, u32)],
}

/// One import: the file, the line, and the file that it goes to.
pub(crate) struct Arrow<'s> {
    from: &'s str,
    line: usize,
    to: &'s str,
}

impl Layer {
    /// The imports between files of the layer, tests left out.
    pub(crate) fn arrows<'s>(&self, files: &'s [Source]) -> Vec<Arrow<'s>> {
        let own: Vec<&Source> = files
            .iter()
            .filter(|source| source.module().first() == Some(&self.name))
            .collect();
        let by_module: BTreeMap<Vec<&str>, &str> = own
            .iter()
            .map(|source| (source.module(), source.path.as_str()))
            .collect();
        let mut arrows = Vec::new();
        for source in &own {
            for (line, path) in source.paths() {
                let path: Vec<&str> = path.iter().map(String::as_str).collect();
                // The longest part of the path that is a file; what follows is an item in it.
                let target = (1..=path.len()).rev().find_map(|end| by_module.get(&path[..end]));
                if let Some(to) = target.filter(|to| **to != source.path) {
                    arrows.push(Arrow {
                        from: &source.path,
                        line,
                        to,
                    });
                }
            }
        }
        arrows
    }

    /// The room of a file; `None` for the layer's own `mod.rs`.
    fn room<'p>(&self, path: &'p str) -> Option<&'p str> {
        let inside = path
            .strip_prefix("src/")?
            .strip_prefix(self.name)?
            .strip_prefix('/')?;
        let room = inside.split('/').next()?.trim_end_matches(".rs");
        (room != "mod").then_some(room)
    }

    fn rank(&self, room: Option<&str>) -> Option<u32> {
        let Some(room) = room else { return Some(u32::MAX) };
        self.rooms
            .iter()
            .find(|(name, _)| *name == room)
            .map(|(_, rank)| *rank)
    }

    /// The imports that do not go to a lower room, and the rooms without a rank.
    pub(crate) fn wrong_arrows(&self, files: &[Source]) -> Vec<String> {
        let mut findings = Vec::new();
        for Arrow { from, line, to } in self.arrows(files) {
            let (here, there) = (self.room(from), self.room(to));
            if here != there && self.rank(there) >= self.rank(here) {
                findings.push(format!("{from}:{line}: must not import {to}"));
            }
        }
        findings
    }

    /// Rooms without a rank, and ranks without a room.
    pub(crate) fn unknown_rooms(&self, files: &[Source]) -> Vec<String> {
        let rooms: BTreeSet<&str> = files
            .iter()
            .filter(|source| !source.product.is_empty())
            .filter_map(|source| self.room(&source.path))
            .collect();
        let without_rank = rooms
            .iter()
            .filter(|room| self.rank(Some(room)).is_none())
            .map(|room| format!("`{}/{room}` has no rank", self.name));
        let gone = self.rooms.iter().filter(|(name, _)| !rooms.contains(name));
        without_rank
            .chain(gone.map(|(name, _)| format!("`{}/{name}` has a rank and is gone", self.name)))
            .collect()
    }

    /// The loops of files: each as the files that reach each other.
    pub(crate) fn loops(&self, files: &[Source]) -> Vec<String> {
        let mut next: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for arrow in self.arrows(files) {
            next.entry(arrow.from).or_default().insert(arrow.to);
        }
        let reached: BTreeMap<&str, BTreeSet<&str>> =
            next.keys().map(|from| (*from, reach(&next, from))).collect();
        let loops: BTreeSet<Vec<&str>> = reached
            .iter()
            .filter(|(file, to)| to.contains(*file))
            .map(|(file, to)| {
                let back = |other: &&&str| reached.get(**other).is_some_and(|to| to.contains(file));
                to.iter().filter(back).copied().collect()
            })
            .collect();
        loops.into_iter().map(|files| files.join(", ")).collect()
    }
}

/// Every file that imports lead to from this one.
fn reach<'s>(next: &BTreeMap<&'s str, BTreeSet<&'s str>>, from: &str) -> BTreeSet<&'s str> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&str> = next.get(from).into_iter().flatten().copied().collect();
    while let Some(file) = open.pop() {
        if reached.insert(file) {
            open.extend(next.get(file).into_iter().flatten());
        }
    }
    reached
}
